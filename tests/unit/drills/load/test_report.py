"""The judgement of the load drill: what holds is called so, and each way in which it may not hold is seen."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drills.load.plan import plan
from drills.load.report import Answer, Execution, Observed, Report, percentile, report, table
from local.github import PullRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from drills.load.plan import Delivery

START = 1_800_000_000.0


def all_is_well() -> Observed:
    """What is seen of a drill in which everything holds: each execution runs from 0.1 s to 2 s after its delivery."""
    made = plan(120, seed=1)
    seen = Observed(made, [_pull_request(one.subject) for one in made.good])
    sent_at: dict[str, float] = {}
    for number, delivery in enumerate(made.deliveries):
        # A duplicate comes 0.2 s after its first.
        at = sent_at[delivery.id] + 0.2 if delivery.kind == "duplicate" else START + number
        sent_at[delivery.id] = at
        seen.answers.append(Answer(delivery, at, at, 40.0 + number, *_right_answer(delivery)))
        if delivery.kind == "good":
            seen.executions.append(_execution(delivery, at))
            sha = _pull_request(delivery.subject).head_sha
            context = f"pullback/{delivery.action}"
            seen.statuses += [{"sha": sha, "context": context, "state": state} for state in ("pending", "success")]
    return seen


def judged(seen: Observed) -> Report:
    return report(
        seen, n=120, seed=1, clients=16, memory_mb={"engine": 100.0, "github": 20.5}, cpu_seconds={"engine": 3.14159}
    )


def test_all_is_well() -> None:
    result = judged(all_is_well())
    assert result.holds, result.violations
    assert (result.accepted, result.duplicates, result.rejected, result.retried) == (90, 24, 6, 0)
    assert (result.executions, result.lost) == ({"SUCCEEDED": 90}, 0)
    assert result.completion_ms == {"p50": 2000.0, "p99": 2000.0}
    assert result.ack_ms == {"p50": 99.0, "p99": 158.0}
    last = max(one.stopped_at for one in all_is_well().executions if one.stopped_at)
    assert result.seconds == round(last - START, 1)
    assert result.throughput_per_s == round(90 / (last - START), 1)
    assert result.peak_memory_mb == 120.5
    assert result.cpu_seconds == {"engine": 3.14}


def _first(seen: Observed, **fields: Any) -> Answer:
    """The first answer to a delivery that is so."""
    return next(
        one for one in seen.answers if all(getattr(one.delivery, name) == value for name, value in fields.items())
    )


def _replace_answer(seen: Observed, old: Answer, **changes: Any) -> None:
    seen.answers[seen.answers.index(old)] = dataclasses.replace(old, **changes)


def _answer(kind: str, timing: str | None, status: int | None, result: str, **changes: Any) -> Callable[..., Any]:
    """Changes the answer to one delivery of this kind."""

    def change(seen: Observed) -> None:
        old = _first(seen, kind=kind, timing=timing)
        body = {"result": result, "execution": old.delivery.id} | changes.pop("body", {})
        _replace_answer(seen, old, status=status, body=body, **changes)

    return change


def _unsent(seen: Observed) -> None:
    seen.answers.remove(_first(seen, kind="good", timing=None))


def _no_execution(seen: Observed) -> None:
    seen.executions.pop()


def _second_execution(seen: Observed) -> None:
    one = seen.executions[0]
    seen.executions.append(dataclasses.replace(one, name=f"{one.name}-2"))


def _other_name(seen: Observed) -> None:
    seen.executions[0] = dataclasses.replace(seen.executions[0], name=f"{seen.executions[0].name}-2")


def _bad_one_ran(seen: Observed) -> None:
    bad = next(one for one in seen.plan.deliveries if one.kind == "bad")
    seen.executions.append(dataclasses.replace(seen.executions[0], name=bad.id))


def _execution_is(**changes: Any) -> Callable[[Observed], None]:
    def change(seen: Observed) -> None:
        seen.executions[0] = dataclasses.replace(seen.executions[0], **changes)

    return change


def _foreign_job(seen: Observed) -> None:
    seen.executions[0] = dataclasses.replace(seen.executions[0], input=seen.executions[1].input)


def _foreign_outcome(seen: Observed) -> None:
    seen.executions[0] = dataclasses.replace(seen.executions[0], output=seen.executions[1].output)


def _concluded(seen: Observed) -> None:
    output = seen.executions[0].output | {"conclusion": "cancelled"}
    seen.executions[0] = dataclasses.replace(seen.executions[0], output=output)


def _status_twice(seen: Observed) -> None:
    seen.statuses.append(seen.statuses[1])


def _status_missing(seen: Observed) -> None:
    seen.statuses.pop()


def _both_of_a_pair_are_second(seen: Observed) -> None:
    for kind in ("good", "duplicate"):
        old = _first(seen, kind=kind, timing="concurrent")
        _replace_answer(seen, old, status=200, body={"result": "duplicate", "execution": old.delivery.id})


def _wrong_refusal(seen: Observed) -> None:
    old = _first(seen, kind="bad")
    _replace_answer(seen, old, status=202, body={"result": "started", "execution": old.delivery.id})


def _refusal_names_another_field(seen: Observed) -> None:
    old = _first(seen, kind="bad")
    _replace_answer(seen, old, body=old.body | {"field": "sender"})


@pytest.mark.parametrize(
    ("change", "said", "lost"),
    [
        (_unsent, "was not sent", 0),
        (
            _answer("good", None, 503, "unavailable", unavailable=("503 unavailable",) * 4),
            "answered 503 unavailable",
            0,
        ),
        (_answer("good", None, None, "x", body={"result": None}), "answered None", 0),
        (_answer("good", None, 200, "duplicate"), "answered 200 duplicate", 0),
        (_answer("good", None, 202, "restarted"), "answered 202 restarted", 0),
        (_answer("good", None, 202, "started", body={"execution": "other"}), "execution other", 0),
        (_answer("duplicate", "late", 202, "started"), "answered 202 started", 0),
        (_answer("duplicate", "late", 202, "queued"), "answered 202 queued", 0),
        (_answer("duplicate", "after", 202, "started", asked_at=START + 10_000), "after the execution's start", 0),
        (_answer("duplicate", "after", 202, "restarted"), "answered 202 restarted", 0),
        (_both_of_a_pair_are_second, "answered 200 duplicate", 0),
        (_wrong_refusal, "answered 202 started", 0),
        (_refusal_names_another_field, "sender, not", 0),
        (_no_execution, "has no execution", 1),
        (_second_execution, "has the executions", 1),
        (_other_name, "has the executions", 0),
        (_bad_one_ran, "started", 0),
        (_execution_is(status="RUNNING", stopped_at=None), "is RUNNING", 1),
        (_execution_is(status="FAILED", error="GitHubRefused"), "is FAILED GitHubRefused", 0),
        (_foreign_job, "has the job of another one", 0),
        (_foreign_outcome, "outcome belongs to another job", 0),
        (_concluded, "concluded cancelled", 0),
        (_status_twice, "shows pending success success", 0),
        (_status_missing, "shows pending,", 0),
        (lambda seen: seen.problems.append("the deadline of the drill has passed"), "deadline", 0),
    ],
)
def test_what_does_not_hold_is_seen(change: Callable[[Observed], None], said: str, lost: int) -> None:
    seen = all_is_well()
    change(seen)
    result = judged(seen)
    assert not result.holds
    assert any(said in one for one in result.violations), result.violations
    assert len(result.violations) == 1
    assert result.lost == lost


def _overtaken(seen: Observed) -> None:
    first = _first(seen, kind="good", timing="concurrent")
    _replace_answer(seen, first, status=200, body={"result": "duplicate", "execution": first.delivery.id})
    second = _first(seen, kind="duplicate", timing="concurrent")
    _replace_answer(seen, second, status=202, body={"result": "started", "execution": second.delivery.id})


@pytest.mark.parametrize(
    "change",
    [
        _answer("good", None, 202, "queued"),
        _answer("good", None, 202, "queued", body={"execution": None}),
        _answer("good", None, 200, "duplicate", unavailable=("ReadTimeoutError",)),
        _answer("good", None, 200, "duplicate", ack_ms=2100.0),
        _answer("duplicate", "after", 202, "started"),
        _answer("duplicate", "concurrent", 202, "started"),
        _overtaken,
    ],
)
def test_what_holds_as_well(change: Callable[[Observed], None]) -> None:
    seen = all_is_well()
    change(seen)
    result = judged(seen)
    assert result.holds, result.violations


def test_tries_are_counted_and_completion_counts_from_the_first() -> None:
    seen = all_is_well()
    old = _first(seen, kind="good", timing=None)
    _replace_answer(seen, old, sent_at=old.sent_at - 60, unavailable=("429 throttled", "429 throttled"))
    result = judged(seen)
    assert (result.retried, result.retried_after) == (2, {"429 throttled": 2})
    assert result.completion_ms["p99"] == 62_000


def test_a_drill_that_saw_nothing_has_lost_everything() -> None:
    made = plan(40, seed=1)
    result = report(
        Observed(made, [_pull_request(one.subject) for one in made.good]),
        n=40,
        seed=1,
        clients=16,
        memory_mb={},
        cpu_seconds={},
    )
    assert (result.lost, result.accepted, result.seconds, result.throughput_per_s) == (30, 0, 0.0, 0.0)
    assert not result.holds


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from([0.01, 0.5, 0.99, 1.0]))
def test_a_percentile_is_the_smallest_value_that_enough_do_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert sum(1 for value in values if value <= found) >= share * len(values)
    assert sum(1 for value in values if value < found) < share * len(values)


def test_the_table_shows_growth_against_the_smallest() -> None:
    small = dataclasses.asdict(judged(all_is_well())) | {"n": 100, "seconds": 10.0, "peak_memory_mb": 500.0}
    large = small | {"n": 1000, "seconds": 85.0, "peak_memory_mb": 750.0, "executions": {"SUCCEEDED": 750}}
    first, second = table([large, small]).splitlines()[2:]
    assert first.startswith("| 100 | 90 | 0 |")
    assert "| 10.0 s |" in first
    assert "| 500 MB |" in first
    assert second.startswith("| 1,000 (×10) | 750 | 0 |")  # noqa: RUF001
    assert "| 85.0 s (×8.5) |" in second  # noqa: RUF001
    assert "| 750 MB (×1.5) |" in second  # noqa: RUF001
    assert len({line.count("|") for line in table([small]).splitlines()}) == 1


def _pull_request(subject: int) -> PullRequest:
    return PullRequest(
        full_name="octo-org/hello-pullback",
        number=subject + 8,
        title="A change",
        head_sha=f"{subject:040x}",
        head_ref=f"change-{subject}",
        base_sha="f" * 40,
        base_ref="main",
        installation_id=1,
        sender="octocat",
    )


def _right_answer(delivery: Delivery) -> tuple[int, dict[str, str]]:
    if delivery.flaw:
        return delivery.flaw.status, {"result": delivery.flaw.result, "field": delivery.flaw.field}
    if delivery.kind == "duplicate":
        return 200, {"result": "duplicate", "execution": delivery.id}
    return 202, {"result": "started", "execution": delivery.id}


def _execution(delivery: Delivery, at: float) -> Execution:
    pull_request = _pull_request(delivery.subject)
    job = {
        "action": delivery.action,
        "delivery_id": delivery.id,
        "pull_request": {"number": pull_request.number, "head": {"sha": pull_request.head_sha}},
    }
    outcome = {"action": delivery.action, "delivery_id": delivery.id, "conclusion": "success"}
    return Execution(delivery.id, "SUCCEEDED", at + 0.1, at + 2, job, outcome)
