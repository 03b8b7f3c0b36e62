from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, get_args

import pytest
from msgspec import structs

from processor import registry
from processor.attempt import RESULT_MAX_BYTES, carry_out
from processor.errors import OutcomeTooLarge, Overtaken, TaskOver
from pullrequest.display import Display
from pullrequest.errors import GitHubUnavailable, WorkInProgress
from pullrequest.result import Result, StoredResult
from shared.job import Conclusion
from tests.unit.processor.fakes import NEWER_SHA, SHA, FakeClaim, FakeGitHub, FakeWork, a_job

if TYPE_CHECKING:
    from collections.abc import Callable

FINE = Result(conclusion="success", summary="fine", details_url="https://details.example")


class AnAction:
    """Gives a result, or raises; counts its runs."""

    TRIGGERS: ClassVar[dict[str, tuple[str, ...]]] = {}
    PENDING = "looking"

    def __init__(self, result: Result | Exception = FINE) -> None:
        self.result = result
        self.runs = 0

    def run(self, job: Any, work: Any) -> Result:
        self.runs += 1
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def carried_out(
    action: AnAction, work: FakeWork, claim: FakeClaim, confirm: Callable[[], None] = lambda: None
) -> StoredResult:
    return carry_out(a_job(), work, action, claim, confirm=confirm, held_back=lambda: None, elapsed_ms=lambda: 12)


def test_the_work_is_shown_as_pending_then_with_its_result() -> None:
    work, claim, action = FakeWork(), FakeClaim(), AnAction()

    result = carried_out(action, work, claim)

    assert (result.summary, result.duration_ms) == ("fine", 12)
    assert work.github.statuses == [("pending", "looking", None), ("success", "fine", "https://details.example")]
    # Every write is announced; the result is kept before it is shown.
    assert claim.said == ["writing", "written", "decided", "writing", "reported"]


@pytest.mark.parametrize("conclusion", get_args(Conclusion))
def test_every_conclusion_has_a_state(conclusion: Any) -> None:
    work = FakeWork()
    carried_out(AnAction(Result(conclusion=conclusion, summary="x")), work, FakeClaim())
    state = {"success": "success", "neutral": "success", "failure": "failure", "cancelled": "error"}[conclusion]
    assert work.github.states == ["pending", state]


def test_who_is_not_waited_for_any_more_writes_nothing() -> None:
    """The execution may have ended since the last heartbeat, and its status been closed."""

    def confirm() -> None:
        raise TaskOver("TaskTimedOut")

    work, claim, action = FakeWork(), FakeClaim(), AnAction()
    with pytest.raises(TaskOver):
        carried_out(action, work, claim, confirm)
    assert (action.runs, work.github.statuses, claim.said) == (0, [], ["released"])


@pytest.mark.parametrize("name", registry.names())
def test_every_action_says_what_it_does(name: str) -> None:
    assert 0 < len(registry.find(name).PENDING) <= 140


def test_a_reported_result_is_found_and_nothing_is_written() -> None:
    work, action = FakeWork(), AnAction()
    stored = StoredResult.of(FINE, 7)

    assert carried_out(action, work, FakeClaim("reported", stored)) == stored
    assert (action.runs, work.github.statuses) == (0, [])


@pytest.mark.parametrize("is_shown", [True, False])
def test_a_decided_result_is_shown_once_and_not_worked_out_again(is_shown: bool) -> None:
    work, action = FakeWork(), AnAction()
    work.github.statuses = [("pending", "looking", None)]
    if is_shown:
        work.github.statuses.append(("success", "fine", "https://details.example"))
    claim = FakeClaim("decided", StoredResult.of(FINE, 7), True, True)

    assert carried_out(action, work, claim).duration_ms == 7
    assert action.runs == 0
    assert work.github.states == ["pending", "success"]
    assert claim.phase == "reported"


def test_an_attempt_after_a_failed_one_does_not_show_pending_again() -> None:
    work = FakeWork()
    failing = FakeClaim()
    with pytest.raises(GitHubUnavailable):
        carried_out(AnAction(GitHubUnavailable("502")), work, failing)
    assert (failing.phase, failing.pending_shown) == ("released", True)
    assert work.github.states == ["pending"], "there may be another attempt"

    carried_out(AnAction(), work, FakeClaim(pending_shown=True, is_taken_over=True))

    assert work.github.states == ["pending", "success"]


def test_superseded_before_the_work_leaves_no_trace() -> None:
    work, claim, action = FakeWork(FakeGitHub(heads=[NEWER_SHA])), FakeClaim(), AnAction()

    result = carried_out(action, work, claim)

    assert (result.conclusion, result.summary, result.artifacts) == ("cancelled", "superseded by ccccccc", {})
    assert (action.runs, work.github.statuses, claim.said) == (0, [], ["released"])


def test_superseded_during_the_work_closes_the_pending_status_and_is_not_kept() -> None:
    work, claim = FakeWork(FakeGitHub(heads=[SHA, NEWER_SHA])), FakeClaim()

    assert carried_out(AnAction(), work, claim).conclusion == "cancelled"

    assert work.github.statuses[1:] == [("error", "superseded by ccccccc", None)]
    assert (claim.phase, claim.pending_shown, claim.result) == ("released", False, None)


def test_superseded_work_of_a_dead_attempt_is_closed_by_the_next_one() -> None:
    work = FakeWork(FakeGitHub(heads=[NEWER_SHA], statuses=[("pending", "looking", None)]))
    carried_out(AnAction(), work, FakeClaim(pending_shown=True, is_taken_over=True))
    assert work.github.states == ["pending", "error"]


@pytest.mark.parametrize("updates", range(5))
def test_who_has_lost_the_claim_writes_nothing_more(updates: int) -> None:
    work, claim = FakeWork(), FakeClaim(lost_at=updates)

    with pytest.raises(WorkInProgress):
        carried_out(AnAction(), work, claim)

    assert work.github.states == [[], ["pending"], ["pending"], ["pending"], ["pending", "success"]][updates]


@pytest.mark.parametrize("checkpoint", [1, 2])
def test_a_closed_task_writes_nothing_more(checkpoint: int) -> None:
    work = FakeWork(stops=(checkpoint, TaskOver("")))
    with pytest.raises(TaskOver):
        carried_out(AnAction(), work, FakeClaim())
    assert work.github.states == ["pending"]


def test_too_large_a_result_is_neither_kept_nor_shown() -> None:
    work, claim = FakeWork(), FakeClaim()
    large = Result(conclusion="success", summary="x", artifacts={"a": "x" * RESULT_MAX_BYTES})
    with pytest.raises(OutcomeTooLarge):
        carried_out(AnAction(large), work, claim)
    assert (claim.result, work.github.states) == (None, ["pending"])


def test_work_that_is_overtaken_in_its_middle_is_cancelled_and_shown_so() -> None:
    work, claim = FakeWork(), FakeClaim()
    result = carried_out(AnAction(Overtaken("the pull request is closed")), work, claim)
    assert (result.conclusion, result.summary) == ("cancelled", "the pull request is closed")
    assert work.github.states == ["pending", "error"]
    assert (claim.phase, claim.pending_shown, claim.result) == ("released", False, None)


def test_a_rerun_for_an_older_commit_does_nothing_and_says_why() -> None:
    work, claim, action = FakeWork(FakeGitHub(heads=[NEWER_SHA])), FakeClaim(), AnAction()
    job = structs.replace(a_job(), rerun="a-delivery")
    carry_out(job, work, action, claim, confirm=lambda: None, held_back=lambda: None, elapsed_ms=lambda: 12)
    assert (action.runs, work.github.statuses) == (0, [("error", "superseded by ccccccc", None)])


def test_what_was_found_in_files_is_kept_with_the_result() -> None:
    work = FakeWork()

    class Finding(AnAction):
        def run(self, job: Any, work: Any) -> Result:
            work.findings.add("warning", "a.py", "odd", line=3)
            return super().run(job, work)

    (finding,) = carried_out(Finding(), work, FakeClaim()).findings
    assert (finding.path, finding.line, finding.message) == ("a.py", 3, "odd")


@pytest.mark.parametrize("has_pending", [True, False])
def test_what_the_policy_holds_back_is_shown_in_place_of_the_work(has_pending: bool) -> None:
    work, claim, action = FakeWork(), FakeClaim(pending_shown=has_pending), AnAction()
    display = Display("action_required", "waits for approval")
    result = carry_out(a_job(), work, action, claim, confirm=lambda: None, held_back=lambda: display, elapsed_ms=int)
    assert (result.conclusion, result.summary, action.runs) == ("neutral", "waits for approval", 0)
    assert work.github.states == ["failure"]
    assert (claim.phase, claim.pending_shown) == ("released", False)
