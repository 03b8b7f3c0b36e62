"""The processor's handler with its table; the action, GitHub and Step Functions are replaced."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from processor.callback import CallbackUnavailable
from processor.errors import TaskOver
from pullrequest.errors import GitHubUnavailable
from pullrequest.result import Result
from tests.integration.conftest import CREDENTIAL
from tests.support import SHA, LambdaContext
from tests.unit.processor.fakes import FakeGitHub

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from tests.integration.conftest import Account

TOKEN = "AQCEAAAAKgAAAAMAAAAAAAAAAcanary"


@dataclass
class StepFunctions:
    """Records callbacks; ``errors`` maps an operation to the error code that it answers with."""

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)

    def _call(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if code := self.errors.get(operation):
            raise ClientError({"Error": {"Code": code, "Message": f"about {TOKEN}"}}, operation)
        self.calls.append((operation, arguments))
        return {}

    def send_task_success(self, **arguments: Any) -> dict[str, Any]:
        return self._call("success", arguments)

    def send_task_failure(self, **arguments: Any) -> dict[str, Any]:
        return self._call("failure", arguments)

    def send_task_heartbeat(self, **arguments: Any) -> dict[str, Any]:
        return self._call("heartbeat", arguments)

    def ended(self) -> list[tuple[str, dict[str, Any]]]:
        """The callbacks that end a task."""
        return [call for call in self.calls if call[0] != "heartbeat"]


@dataclass
class Action:
    """An action that counts its runs and does what it is told."""

    PENDING = "looking"
    runs: int = 0
    behaviour: Callable[[Any, Any], Result] | None = None

    def run(self, job: Any, work: Any) -> Result:
        self.runs += 1
        if self.behaviour:
            return self.behaviour(job, work)
        return Result(conclusion="success", summary="fine", artifacts={"run": self.runs})


@dataclass
class Stage:
    """The handler and what it plays with."""

    handler: ModuleType
    stepfunctions: StepFunctions
    action: Action
    github: FakeGitHub = field(default_factory=lambda: FakeGitHub(heads=[SHA]))

    def invoke(self, event: dict[str, Any], remaining_ms: int = 300_000) -> Any:
        return self.handler.lambda_handler(event, LambdaContext(remaining_ms))

    def items(self) -> list[dict[str, Any]]:
        return boto3.client("dynamodb").scan(TableName="idempotency")["Items"]


@pytest.fixture
def stage(account: Account, monkeypatch: pytest.MonkeyPatch) -> Stage:
    handler = account.handler(
        "processor.handler",
        ARTIFACT_BUCKET="artifacts",
        ARTIFACT_LINK="https://example/{bucket}/{key}",
        HEARTBEAT_INTERVAL_SECONDS="1",
    )
    stage = Stage(handler, StepFunctions(), Action())
    monkeypatch.setattr(handler, "stepfunctions", stage.stepfunctions)
    monkeypatch.setattr(handler, "heartbeats", stage.stepfunctions)
    monkeypatch.setattr(
        handler, "registry", SimpleNamespace(find=lambda name: stage.action, names=lambda: ["synchronize"])
    )
    monkeypatch.setattr(handler, "connect", lambda job, credential, url, telemetry, **_: stage.github)
    return stage


@pytest.fixture
def event(job_data: dict[str, Any]) -> dict[str, Any]:
    return {**job_data, "taskToken": TOKEN, "execution": "e"}


def test_the_outcome_completes_the_task(stage: Stage, event: dict[str, Any]) -> None:
    assert stage.invoke(event) is None
    ((operation, arguments),) = stage.stepfunctions.ended()
    assert (operation, arguments["taskToken"]) == ("success", TOKEN)
    outcome = json.loads(arguments["output"])
    assert outcome.pop("duration_ms") >= 0
    assert outcome == {
        "action": "synchronize",
        "delivery_id": event["delivery_id"],
        "conclusion": "success",
        "summary": "fine",
        "details_url": None,
        "artifacts": {"run": 1},
    }
    assert stage.stepfunctions.calls[0][0] == "heartbeat"


def test_without_a_token_the_outcome_is_returned(stage: Stage, job_data: dict[str, Any]) -> None:
    assert stage.invoke(job_data)["conclusion"] == "success"
    assert stage.stepfunctions.calls == []


def test_the_same_event_twice_is_worked_on_once_and_answered_twice(stage: Stage, event: dict[str, Any]) -> None:
    stage.invoke(event)
    stage.invoke(event)
    assert stage.action.runs == 1
    first, second = stage.stepfunctions.ended()
    assert first == second


def test_another_token_is_another_attempt_at_the_same_work(stage: Stage, event: dict[str, Any]) -> None:
    stage.invoke(event)
    stage.invoke({**event, "taskToken": "another"})
    assert stage.action.runs == 1
    # Two tokens, one piece of work.
    ids = sorted(item["id"]["S"].partition("#")[0] for item in stage.items())
    assert ids == ["processor", "processor", "work"]
    assert stage.github.states == ["pending", "success"]
    (first, second) = stage.stepfunctions.ended()
    assert first[1]["output"] == second[1]["output"]
    assert {first[1]["taskToken"], second[1]["taskToken"]} == {TOKEN, "another"}


def test_another_delivery_of_the_same_work_gets_its_result_as_its_own(stage: Stage, event: dict[str, Any]) -> None:
    stage.invoke(event)
    stage.invoke({**event, "delivery_id": "another", "taskToken": "another", "execution": "another"})
    assert stage.action.runs == 1
    outcomes = [json.loads(arguments["output"]) for _, arguments in stage.stepfunctions.ended()]
    assert [one.pop("delivery_id") for one in outcomes] == [event["delivery_id"], "another"]
    assert outcomes[0] == outcomes[1]


def test_two_executions_at_once_are_one_piece_of_work(stage: Stage, event: dict[str, Any]) -> None:
    def meanwhile(job: Any, work: Any) -> Result:
        if stage.action.runs == 1:
            stage.invoke({**event, "delivery_id": "another", "taskToken": "another", "execution": "another"})
        return Result(conclusion="success", summary="once")

    stage.action.behaviour = meanwhile
    stage.invoke(event)
    assert stage.action.runs == 1
    assert stage.github.states == ["pending", "success"]
    (other, own) = stage.stepfunctions.ended()
    assert (other[0], other[1]["error"]) == ("failure", "WorkInProgress"), "the state machine tries it again"
    assert own[0] == "success"


def test_a_zombie_cannot_overwrite_the_attempt_that_came_after_it(stage: Stage, event: dict[str, Any]) -> None:
    def outlived(job: Any, work: Any) -> Result:
        if stage.action.runs == 1:
            # The state machine gave this attempt up: its successor has a token of its own and does the work.
            stage.invoke({**event, "taskToken": "successor"})
            return Result(conclusion="failure", summary="of the zombie")
        return Result(conclusion="success", summary="of the successor")

    stage.action.behaviour = outlived
    stage.invoke(event)
    assert stage.github.statuses == [("pending", "looking", None), ("success", "of the successor", None)]
    assert [arguments.get("error") for _, arguments in stage.stepfunctions.ended()] == [None, "WorkInProgress"]


def test_a_retry_after_a_failed_attempt_keeps_one_status_history(stage: Stage, event: dict[str, Any]) -> None:
    def once_unavailable(job: Any, work: Any) -> Result:
        if stage.action.runs == 1:
            raise GitHubUnavailable("502")
        return Result(conclusion="success", summary="fine")

    stage.action.behaviour = once_unavailable
    stage.invoke(event)
    stage.invoke({**event, "taskToken": "retry"})
    assert stage.github.states == ["pending", "success"]


def test_an_unreadable_record_fails_the_attempt_before_any_effect(
    stage: Stage, event: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.handler.claims, "_table", "no-such-table")
    stage.invoke(event)
    ((_, arguments),) = stage.stepfunctions.ended()
    assert arguments["error"] == "WorkRecordUnavailable"
    assert json.loads(arguments["cause"])["message"] == "GetItem: ResourceNotFoundException"
    assert stage.github.statuses == []


def test_a_crash_between_work_and_callback_sends_the_stored_outcome(stage: Stage, event: dict[str, Any]) -> None:
    stage.stepfunctions.errors["success"] = "ThrottlingException"
    with pytest.raises(CallbackUnavailable, match="ThrottlingException"):
        stage.invoke(event)
    assert stage.stepfunctions.ended() == [], "done work is not reported as failed"
    stage.stepfunctions.errors.clear()
    stage.invoke(event)
    assert stage.action.runs == 1
    assert [operation for operation, _ in stage.stepfunctions.ended()] == ["success"]


def test_a_failure_is_reported_by_name_and_forgotten(stage: Stage, event: dict[str, Any]) -> None:
    def unavailable(job: Any, work: Any) -> Result:
        raise GitHubUnavailable("GET /pulls answered 502")

    stage.action.behaviour = unavailable
    assert stage.invoke(event) is None
    ((operation, arguments),) = stage.stepfunctions.ended()
    assert (operation, arguments["error"]) == ("failure", "GitHubUnavailable")
    assert json.loads(arguments["cause"])["message"] == "GET /pulls answered 502"
    stage.action.behaviour = None
    stage.invoke(event)
    assert stage.action.runs == 2, "a failure is not kept, or a retry would never do the work"


def test_an_unexpected_error_says_nothing_of_its_text(stage: Stage, event: dict[str, Any]) -> None:
    def broken(job: Any, work: Any) -> Result:
        raise KeyError("secret-in-a-key")

    stage.action.behaviour = broken
    stage.invoke(event)
    ((_, arguments),) = stage.stepfunctions.ended()
    assert arguments["error"] == "KeyError"
    assert "secret-in-a-key" not in arguments["cause"]


def test_an_unknown_action_fails_at_once(stage: Stage, event: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.handler, "registry", importlib.import_module("processor.registry"))
    stage.invoke({**event, "action": "no_such_action"})
    ((operation, arguments),) = stage.stepfunctions.ended()
    assert (operation, arguments["error"]) == ("failure", "UnknownAction")


def test_an_invalid_job_fails_the_task_and_names_the_field(stage: Stage, event: dict[str, Any]) -> None:
    event["pull_request"]["head"]["sha"] = "canary-value"
    stage.invoke(event)
    ((operation, arguments),) = stage.stepfunctions.ended()
    assert (operation, arguments["error"]) == ("failure", "InvalidJob")
    assert "pull_request.head.sha" in arguments["cause"]
    assert "canary" not in arguments["cause"]


@pytest.mark.parametrize("code", ["TaskTimedOut", "TaskDoesNotExist"])
@pytest.mark.parametrize("fails", [True, False])
def test_a_closed_task_ends_quietly(stage: Stage, event: dict[str, Any], code: str, fails: bool) -> None:
    def unavailable(job: Any, work: Any) -> Result:
        raise GitHubUnavailable("x")

    stage.action.behaviour = unavailable if fails else None
    stage.stepfunctions.errors |= {"success": code, "failure": code}
    assert stage.invoke(event) is None


def test_a_dead_token_is_not_even_worked_on(stage: Stage, event: dict[str, Any]) -> None:
    stage.stepfunctions.errors["heartbeat"] = "TaskTimedOut"
    assert stage.invoke(event) is None
    assert stage.action.runs == 0
    assert stage.stepfunctions.ended() == []


def test_an_invalid_event_is_logged_with_its_delivery(
    stage: Stage, event: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    stage.invoke({**event, "pull_request": None})
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["delivery_id"] for line in lines if "message" in line} == {event["delivery_id"]}


def test_an_attempt_whose_execution_ended_meanwhile_shows_nothing(
    stage: Stage, event: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first heartbeat was accepted; then it was aborted, and its status closed; then the claim is taken."""

    def connected(*_: Any, **__: Any) -> Any:
        stage.stepfunctions.errors["heartbeat"] = "TaskTimedOut"
        return stage.github

    monkeypatch.setattr(stage.handler, "connect", connected)
    assert stage.invoke(event) is None
    assert (stage.action.runs, stage.github.statuses, stage.stepfunctions.ended()) == (0, [], [])


def test_work_that_is_told_to_stop_is_not_reported(stage: Stage, event: dict[str, Any]) -> None:
    def closed(job: Any, work: Any) -> Result:
        raise TaskOver("TaskTimedOut")

    stage.action.behaviour = closed
    assert stage.invoke(event) is None
    assert stage.stepfunctions.ended() == []


def test_the_deadline_is_reported_once(stage: Stage, event: dict[str, Any]) -> None:
    def slow(job: Any, work: Any) -> Result:
        work.checkpoint()
        raise AssertionError("the checkpoint lets it pass")

    stage.action.behaviour = slow
    stage.invoke(event, remaining_ms=5_000)
    assert [arguments["error"] for _, arguments in stage.stepfunctions.ended()] == ["DeadlineExceeded"]


def test_an_event_that_is_being_worked_on_ends_quietly(stage: Stage, event: dict[str, Any]) -> None:
    def delivered_again(job: Any, work: Any) -> Result:
        if stage.action.runs == 1:
            assert stage.invoke(event) is None
        return Result(conclusion="success", summary="once")

    stage.action.behaviour = delivered_again
    stage.invoke(event)
    assert stage.action.runs == 1
    assert [operation for operation, _ in stage.stepfunctions.ended()] == ["success"]


def test_too_large_an_outcome_is_a_failure(stage: Stage, event: dict[str, Any]) -> None:
    stage.action.behaviour = lambda job, work: Result(conclusion="success", summary="x", artifacts={"a": "x" * 70_000})
    stage.invoke(event)
    assert stage.stepfunctions.ended()[0][1]["error"] == "OutcomeTooLarge"


@pytest.mark.parametrize("error", [None, GitHubUnavailable("x"), KeyError("x"), TaskOver("x")])
def test_token_and_credential_stay_inside(
    stage: Stage, event: dict[str, Any], error: Exception | None, capsys: pytest.CaptureFixture[str]
) -> None:
    def behaviour(job: Any, work: Any) -> Result:
        if error:
            raise error
        return Result(conclusion="success", summary="fine")

    stage.action.behaviour = behaviour
    stage.invoke(event)
    shown = capsys.readouterr().out + json.dumps(stage.items())
    shown += json.dumps([{**arguments, "taskToken": None} for _, arguments in stage.stepfunctions.calls])
    assert TOKEN not in shown
    assert CREDENTIAL not in shown
    assert '"delivery_id":"' + event["delivery_id"] in shown


def test_the_record_of_the_token_is_written_once(stage: Stage, account: Account) -> None:
    """A client that repeats a write whose answer was lost meets its own record, and nobody would do the work."""
    task = account.handler("task.handler", PROCESSOR_FUNCTION_ARN="arn:aws:lambda:us-east-1:123456789012:function:p")
    for handler in (stage.handler, task):
        assert handler.once._store.client.meta.config.retries["total_max_attempts"] == 1
