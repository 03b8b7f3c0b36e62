"""What an attempt counts, how long it may take, and under which name it holds the work."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from processor.errors import InvalidJob
from pullrequest.errors import GitHubUnavailable
from pullrequest.github_access import Installations
from pullrequest.result import Result
from shared.metrics import Metric
from shared.telemetry import fingerprint
from tests.integration.conftest import CREDENTIAL
from tests.integration.processor import test_attempt_on_moto as attempts
from tests.support import LambdaContext

if TYPE_CHECKING:
    from tests.integration.processor.test_attempt_on_moto import Stage

stage = attempts.stage
event = attempts.event

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
Counted = list[tuple[Metric, float, dict[str, str]]]


@pytest.fixture
def counted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Counted:
    """What was counted, heartbeats apart."""
    found: Counted = []

    def count(metric: Metric, value: float = 1, **by: str) -> None:
        if metric is not Metric.HEARTBEAT_SENT:
            found.append((metric, value, by))

    monkeypatch.setattr(stage.handler.telemetry, "count", count)
    monkeypatch.setattr(stage.handler, "now", lambda: NOW)
    return found


def work_record(stage: Stage) -> dict[str, Any]:
    (record,) = (item for item in stage.items() if item["id"]["S"].startswith("work#"))
    return record


def test_work_that_succeeds_is_counted_with_its_time(stage: Stage, event: dict[str, Any], counted: Counted) -> None:
    outcome = stage.invoke({name: value for name, value in event.items() if name not in ("taskToken", "execution")})
    assert counted == [
        (Metric.WORK_SUCCEEDED, 1, {"action": "synchronize", "conclusion": "success"}),
        (Metric.WORK_DURATION, outcome["duration_ms"], {"action": "synchronize"}),
    ]
    assert 0 <= outcome["duration_ms"] < 60_000


def test_work_that_is_found_done_is_counted_as_that(stage: Stage, event: dict[str, Any], counted: Counted) -> None:
    stage.invoke(event)
    counted.clear()
    stage.invoke({**event, "taskToken": "another"})
    assert counted == [(Metric.WORK_REUSED, 1, {})]


@pytest.mark.parametrize(("action", "known"), [("synchronize", "synchronize"), ("anything", "unknown")])
def test_work_that_fails_is_counted_by_action(
    stage: Stage, event: dict[str, Any], counted: Counted, action: str, known: str
) -> None:
    def unavailable(job: Any, work: Any) -> Result:
        raise GitHubUnavailable("502")

    stage.action.behaviour = unavailable
    stage.invoke({**event, "action": action})
    assert counted == [(Metric.WORK_FAILED, 1, {"action": known})]


def test_a_policy_that_github_does_not_give_leaves_the_work_to_others(
    stage: Stage, event: dict[str, Any], counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: str) -> bytes:
        raise GitHubUnavailable("502")

    with monkeypatch.context() as outage:
        outage.setattr(stage.github, "base_file", away)
        stage.invoke(event)
    counted.clear()
    stage.invoke({**event, "delivery_id": "another", "taskToken": "another", "execution": "another"})
    assert [metric for metric, _, _ in counted] == [Metric.WORK_SUCCEEDED, Metric.WORK_DURATION]


def test_work_in_other_hands_is_no_failure(stage: Stage, event: dict[str, Any], counted: Counted) -> None:
    other: Counted = []

    def meanwhile(job: Any, work: Any) -> Result:
        counted.clear()
        stage.invoke({**event, "delivery_id": "another", "taskToken": "another", "execution": "another"})
        # Looked at below: what a test says here would be a failure of the work.
        other.extend(counted)
        return Result(conclusion="success", summary="once")

    stage.action.behaviour = meanwhile
    stage.invoke(event)
    assert other == [(Metric.WORK_DEFERRED, 1, {})]


def test_the_time_of_work_is_in_milliseconds(
    stage: Stage, job_data: dict[str, Any], counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([10.0, 12.5])
    monkeypatch.setattr(stage.handler, "time", SimpleNamespace(monotonic=lambda: next(times)))
    assert stage.invoke(job_data)["duration_ms"] == 2500


def test_the_time_is_now(stage: Stage) -> None:
    before = datetime.now(UTC)
    assert before <= stage.handler.now() <= datetime.now(UTC)


@pytest.mark.parametrize(("entered_at", "age"), [("2026-11-01T11:59:00.000Z", 60.0), (None, 0.0)])
def test_github_is_asked_with_the_credential_and_the_age_of_the_event(
    stage: Stage,
    event: dict[str, Any],
    counted: Counted,
    monkeypatch: pytest.MonkeyPatch,
    entered_at: str | None,
    age: float,
) -> None:
    """By its age the event's commit is one that GitHub does not know yet, or one that is gone."""
    given: list[dict[str, Any]] = []

    def connect(job: Any, credential: Any, *_: Any, **options: Any) -> Any:
        given.append({**options, "token": credential.read().token, "age": options["age"]()})
        return stage.github

    monkeypatch.setattr(stage.handler, "connect", connect)
    event |= {"entered_at": entered_at} if entered_at else {}
    stage.invoke(event)
    stage.invoke({**event, "taskToken": "another"})
    assert [(one["token"], one["age"]) for one in given] == [(CREDENTIAL, age)] * 2
    # What is known of the App's installations is kept from one event to the next.
    assert isinstance(given[0]["installations"], Installations)
    assert given[0]["installations"] is given[1]["installations"]


def test_a_claim_is_kept_while_its_work_is_done_and_no_longer(
    stage: Stage, event: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renewal after the end would prolong the life of what is over, and lose a claim that is not held."""
    kept: list[Any] = []
    keep = stage.handler.Heartbeat.keep

    def keeping(self: Any, claim: Any) -> None:
        kept.append(claim)
        keep(self, claim)

    monkeypatch.setattr(stage.handler.Heartbeat, "keep", keeping)
    stage.invoke(event)
    claim, nothing = kept
    assert claim.phase == "reported"
    assert nothing is None


@pytest.mark.parametrize("operation", ["success", "failure"])
def test_a_callback_that_is_refused_is_counted(
    stage: Stage, event: dict[str, Any], counted: Counted, operation: str
) -> None:
    def unavailable(job: Any, work: Any) -> Result:
        raise GitHubUnavailable("502")

    stage.action.behaviour = unavailable if operation == "failure" else None
    stage.stepfunctions.errors[operation] = "TaskTimedOut"
    stage.invoke(event)
    assert [metric for metric, _, _ in counted].count(Metric.CALLBACK_REFUSED) == 1


@pytest.mark.parametrize(
    ("entered_at", "retry_count", "delays"),
    [
        ("2026-11-01T11:59:57.500Z", 0, [2500.0]),
        # The two clocks are not one.
        ("2026-11-01T12:00:01.000Z", 0, [0.0]),
        # It has waited for the attempts before it.
        ("2026-11-01T11:59:57.500Z", 1, []),
        (None, 0, []),
    ],
)
def test_the_delay_until_the_first_attempt_is_counted(
    stage: Stage,
    event: dict[str, Any],
    counted: Counted,
    entered_at: str | None,
    retry_count: int,
    delays: list[float],
) -> None:
    times = {"entered_at": entered_at} if entered_at else {}
    stage.invoke({**event, **times, "retry_count": retry_count})
    assert [value for metric, value, _ in counted if metric is Metric.START_DELAY] == delays


@pytest.mark.parametrize(("remaining_ms", "ended"), [(20_000, "DeadlineExceeded"), (20_015, None)])
def test_the_time_that_lambda_leaves_is_in_milliseconds(
    stage: Stage, event: dict[str, Any], remaining_ms: int, ended: str | None
) -> None:
    def asks(job: Any, work: Any) -> Result:
        work.checkpoint()
        return Result(conclusion="success", summary="in time")

    stage.action.behaviour = asks
    stage.invoke(event, remaining_ms=remaining_ms)
    assert [arguments.get("error") for _, arguments in stage.stepfunctions.ended()] == [ended]


def test_the_work_is_held_under_the_name_of_the_attempt(stage: Stage, event: dict[str, Any]) -> None:
    stage.invoke(event)
    record = work_record(stage)
    assert (record["owner"]["S"], record["execution"]["S"]) == (fingerprint(event["taskToken"]), event["execution"])


def test_work_by_hand_is_held_under_the_name_of_the_request(stage: Stage, job_data: dict[str, Any]) -> None:
    stage.invoke(job_data)
    record = work_record(stage)
    assert record["owner"]["S"] == LambdaContext.aws_request_id
    assert "execution" not in record


@pytest.mark.parametrize("token", ["", 5, None])
def test_a_token_that_is_none_has_nobody_to_tell(stage: Stage, event: dict[str, Any], token: Any) -> None:
    with pytest.raises(InvalidJob):
        stage.invoke({**event, "taskToken": token, "pull_request": None})
    assert stage.stepfunctions.calls == []
