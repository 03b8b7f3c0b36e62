"""Check runs: created once, completed once, annotated once, however often the work changes hands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullrequest.checks import MAX_ANNOTATIONS, show_check_run
from pullrequest.display import Button, Display
from pullrequest.errors import GitHubRefused, GitHubUnavailable
from pullrequest.finding import Finding
from pullrequest.github import CheckRun
from pullrequest.showing import show
from tests.unit.processor.fakes import FakeClaim, FakeGitHub

if TYPE_CHECKING:
    from collections.abc import Callable

PENDING = Display("pending", "reading the changes")


def findings(count: int) -> tuple[Finding, ...]:
    return tuple(Finding(severity="warning", path=f"file-{n}", message=f"m{n}", line=n + 1) for n in range(count))


def result(count: int = 0, **fields: Any) -> Display:
    return Display("failure", "2 findings", findings=findings(count), **fields)


@dataclass
class ChecksGitHub(FakeGitHub):
    """GitHub as far as check runs go. ``faults`` are taken one a write: an error, and whether the write happened."""

    writes_checks: bool = True
    runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    faults: list[tuple[Exception, bool] | None] = field(default_factory=list)
    given_up: int = 0
    less: list[str] = field(default_factory=list)
    refuses: Callable[[dict[str, Any]], Exception | None] = lambda _: None

    def give_up_checks(self) -> None:
        self.writes_checks = False
        self.given_up += 1

    def told_less(self, tried: str) -> None:
        self.less.append(tried)

    def create_check_run(self, body: dict[str, Any]) -> int:
        return self._write(len(self.runs) + 1, body, is_new=True)

    def update_check_run(self, run: int, body: dict[str, Any]) -> None:
        self._write(run, body, is_new=False)

    def _write(self, run: int, body: dict[str, Any], *, is_new: bool) -> int:
        fault = self.faults.pop(0) if self.faults else None
        if fault and not fault[1]:
            raise fault[0]
        if error := self.refuses(body):
            raise error
        if not is_new and run not in self.runs:
            raise GitHubRefused("PATCH: 404", 404)
        mine = self.runs.setdefault(run, {"annotations": [], "conclusion": None})
        assert mine["conclusion"] is None, "written after it was complete"
        batch = body["output"].get("annotations", [])
        assert len(batch) <= MAX_ANNOTATIONS
        mine["annotations"] += batch
        mine["conclusion"] = body.get("conclusion")
        mine["last"] = body
        if fault:
            raise fault[0]
        return run

    def check_run(self, run: int) -> CheckRun | None:
        found = self.runs.get(run)
        if found is None:
            return None
        title = found["last"]["output"]["title"]
        return CheckRun(run, "x", found["conclusion"], len(found["annotations"]), title)

    def find_check_run(self) -> CheckRun | None:
        return self.check_run(max(self.runs)) if self.runs else None

    @property
    def paths(self) -> list[str]:
        return [one["path"] for run in self.runs.values() for one in run["annotations"]]


def test_it_is_created_in_progress_and_completed_once() -> None:
    github, claim = ChecksGitHub(), FakeClaim()
    show(github, claim, PENDING)
    assert (claim.check_run, github.runs[1]["conclusion"], github.runs[1]["last"]["status"]) == (1, None, "in_progress")
    show(github, claim, result(2, details_url="https://details.example", text="| a table |"))
    body = github.runs[1]["last"]
    assert (body["status"], body["conclusion"], body["details_url"]) == (
        "completed",
        "failure",
        "https://details.example",
    )
    assert body["output"]["summary"] == "2 findings\n\n| a table |"
    assert body["output"]["annotations"][1] == {
        "path": "file-1",
        "start_line": 2,
        "end_line": 2,
        "annotation_level": "warning",
        "message": "m1",
    }
    assert (len(github.runs), claim.said, github.statuses) == (1, ["writing", "writing"], [])


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (49, 1), (50, 1), (51, 2), (200, 4)])
def test_annotations_go_in_batches_and_the_last_one_completes(count: int, requests: int) -> None:
    github, claim = ChecksGitHub(), FakeClaim()
    show(github, claim, PENDING)
    show(github, claim, result(count, findings_left_out=7))
    assert github.paths == [f"file-{n}" for n in range(count)]
    assert len(claim.said) == 1 + requests
    assert "7 findings more, which no line shows." in github.runs[1]["last"]["output"]["summary"]


def test_what_was_never_pending_is_created_and_completed() -> None:
    github, claim = ChecksGitHub(), FakeClaim(is_taken_over=True)
    show(github, claim, Display("timed_out", "not finished: timed out"))
    assert [run["conclusion"] for run in github.runs.values()] == ["timed_out"]


def test_what_was_created_complete_is_found_by_a_successor() -> None:
    display = Display("cancelled", "not finished: aborted")
    github = ChecksGitHub()
    show(github, FakeClaim(), display)
    # The answer was lost.
    show(github, FakeClaim(is_taken_over=True, pending_shown=True), display)
    assert len(github.runs) == 1
    show(github, FakeClaim(is_taken_over=True, pending_shown=True), Display("cancelled", "not finished: failed"))
    assert len(github.runs) == 2, "another time that the work was done"


def test_a_successor_shows_pending_no_second_time() -> None:
    github = ChecksGitHub()
    show(github, FakeClaim(), PENDING)
    # The answer was lost: the record knows that something may be pending, and not its id.
    successor = FakeClaim(is_taken_over=True, pending_shown=True)
    show(github, successor, PENDING)
    assert (len(github.runs), successor.check_run, successor.said) == (1, 1, [])


def test_a_successor_leaves_what_is_complete() -> None:
    github, claim = ChecksGitHub(), FakeClaim()
    show(github, claim, PENDING)
    show(github, claim, result(3))
    successor = FakeClaim(is_taken_over=True, pending_shown=True, check_run=claim.check_run)
    show(github, successor, result(3))
    assert (successor.said, len(github.paths)) == ([], 3)


def test_a_check_run_that_is_gone_is_made_anew() -> None:
    github, claim = ChecksGitHub(), FakeClaim(check_run=99)
    show(github, claim, result(1))
    assert [run["conclusion"] for run in github.runs.values()] == ["failure"]


def test_without_permission_a_status_is_set_and_it_is_said_once() -> None:
    github, claim = ChecksGitHub(faults=[(GitHubRefused("POST: 403", 403), False)]), FakeClaim()
    show(github, claim, PENDING)
    show(github, claim, result(1))
    assert (github.states, github.runs, github.given_up) == (["pending", "failure"], {}, 1)


@pytest.mark.parametrize("status", [400, 401, 410])
def test_any_other_refusal_is_one(status: int) -> None:
    github = ChecksGitHub(faults=[(GitHubRefused("POST", status), False)])
    with pytest.raises(GitHubRefused):
        show(github, FakeClaim(), PENDING)
    assert github.statuses == []


def test_the_result_is_shown_where_an_annotation_is_not_taken() -> None:
    def refuses(body: dict[str, Any]) -> Exception | None:
        return GitHubRefused("PATCH: 422", 422) if body["output"].get("annotations") else None

    github, claim = ChecksGitHub(refuses=refuses), FakeClaim()
    show(github, claim, PENDING)
    show(github, claim, result(2))
    run = github.runs[1]
    assert (run["conclusion"], run["annotations"]) == ("failure", [])
    assert "| ` file-1 ` | 2 | warning | ` m1 ` |" in run["last"]["output"]["summary"]


def test_the_conclusion_is_shown_where_a_text_is_not_taken() -> None:
    def refuses(body: dict[str, Any]) -> Exception | None:
        return GitHubRefused("PATCH: 422", 422) if "\n" in body["output"]["summary"] else None

    github, claim = ChecksGitHub(refuses=refuses), FakeClaim()
    show(github, claim, PENDING)
    button = Button("Approve", "Do the work for this commit", "approve")
    show(github, claim, result(2, text="long\ntext", buttons=(button,)))
    assert github.runs[1]["conclusion"] == "failure"
    assert github.runs[1]["last"]["output"]["summary"] == "2 findings"


@given(
    count=st.integers(0, 200),
    faults=st.lists(
        st.none() | st.tuples(st.just(GitHubUnavailable("cut")), st.booleans()),
        max_size=8,
    ),
)
def test_whatever_is_cut_everything_is_said_once(count: int, faults: list[tuple[Exception, bool] | None]) -> None:
    """Each cut ends an attempt; the next one takes over what the record kept."""
    github, display = ChecksGitHub(faults=list(faults)), result(count)
    claim = FakeClaim()
    for _ in range(len(faults) + 1):
        try:
            show_check_run(github, claim, PENDING)
            show_check_run(github, claim, display)
            break
        except GitHubUnavailable:
            # Each announcement of a write keeps the id, where it is known.
            claim = FakeClaim(is_taken_over=True, pending_shown=claim.pending_shown, check_run=claim.check_run)
    assert [run["conclusion"] for run in github.runs.values()] == ["failure"]
    assert github.paths == [f"file-{n}" for n in range(count)]
