"""The crash function; Step Functions is replaced, because moto knows no task without an execution."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from aws_lambda_powertools.utilities.batch.exceptions import UnexpectedBatchTypeError

from shared.telemetry import fingerprint
from tests.dead_work import TOKEN, destination_record, sqs_event, status_event, task_event
from tests.integration.processor.test_attempt_on_moto import StepFunctions
from tests.support import LambdaContext

if TYPE_CHECKING:
    from types import ModuleType

    from tests.integration.conftest import Account


@pytest.fixture
def crash(account: Account, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    handler = account.handler("crash.handler")
    monkeypatch.setattr(handler, "stepfunctions", StepFunctions())
    return handler


def consumed(handler: ModuleType, *bodies: object) -> list[str]:
    """The messages that go back to the queue."""
    answer = handler.lambda_handler(sqs_event(*bodies, queue="crash"), LambdaContext())
    return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


@pytest.mark.parametrize("shape", [destination_record, task_event])
def test_a_crash_ends_its_task_at_once(crash: ModuleType, job_data: dict[str, Any], shape: Any) -> None:
    assert consumed(crash, shape(job_data)) == []
    ((operation, arguments),) = crash.stepfunctions.calls
    assert (operation, arguments["taskToken"], arguments["error"]) == ("failure", TOKEN, "ProcessorCrashed")
    crashed = "Runtime.ExitError" if shape is destination_record else None
    assert json.loads(arguments["cause"]) == {"error": "ProcessorCrashed", "crash": crashed}


@pytest.mark.parametrize("condition", ["EventAgeExceeded", "ZeroReservedConcurrency"])
def test_an_event_that_never_ran_is_no_crash(crash: ModuleType, job_data: dict[str, Any], condition: str) -> None:
    record = destination_record(job_data)
    record["requestContext"]["condition"] = condition
    del record["responsePayload"]
    assert consumed(crash, record) == []
    ((_, arguments),) = crash.stepfunctions.calls
    assert arguments["error"] == "ProcessorBusy"


@pytest.mark.parametrize("code", ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"])
def test_a_dead_token_deletes_the_message(
    crash: ModuleType, account: Account, job_data: dict[str, Any], code: str
) -> None:
    crash.stepfunctions.errors["failure"] = code
    assert consumed(crash, destination_record(job_data)) == []
    assert account.quarantined() == []


def test_when_step_functions_is_away_the_message_comes_again(crash: ModuleType, job_data: dict[str, Any]) -> None:
    crash.stepfunctions.errors["failure"] = "ThrottlingException"
    assert consumed(crash, destination_record(job_data)) == ["message-0"]
    crash.stepfunctions.errors.clear()
    assert consumed(crash, destination_record(job_data)) == []


def test_poison_is_put_aside_and_the_others_are_handled(
    crash: ModuleType, account: Account, job_data: dict[str, Any]
) -> None:
    poison = ["{", status_event(job_data), {"requestPayload": {"taskToken": TOKEN}, "requestContext": {}}]
    assert consumed(crash, poison[0], destination_record(job_data), *poison[1:]) == []
    assert len(crash.stepfunctions.calls) == 1
    aside = account.quarantined()
    assert sorted(one["Body"] for one in aside) == sorted(
        one if isinstance(one, str) else json.dumps(one) for one in poison
    )
    for one in aside:
        assert one["MessageAttributes"]["source"]["StringValue"] == "crash"
        assert one["MessageAttributes"]["reason"]["StringValue"]


def test_poison_that_cannot_be_put_aside_comes_again(
    crash: ModuleType, monkeypatch: pytest.MonkeyPatch, job_data: dict[str, Any]
) -> None:
    monkeypatch.setattr(crash.consumer, "_quarantine_url", "https://sqs.us-east-1.amazonaws.com/123456789012/absent")
    assert consumed(crash, "{", destination_record(job_data)) == ["message-0"]


def test_the_log_knows_the_delivery_and_not_the_token(
    crash: ModuleType, job_data: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    other = {**job_data, "delivery_id": "another", "repository": {"full_name": "another/repository"}}
    consumed(crash, destination_record(job_data), destination_record(other), "{")
    output = capsys.readouterr().out
    assert TOKEN not in output
    lines = [json.loads(line) for line in output.splitlines()]
    died = [line for line in lines if line.get("message") == "processor died"]
    assert [line["delivery_id"] for line in died] == [job_data["delivery_id"], "another"]
    assert {line["token_fingerprint"] for line in died} == {fingerprint(TOKEN)}
    # What was bound for one message does not stick to the next one.
    (aside,) = [line for line in lines if line.get("message") == "message quarantined"]
    assert "delivery_id" not in aside
    assert aside["message_id"] == "message-2"


def test_an_event_that_is_none_of_sqs_is_an_error(crash: ModuleType) -> None:
    with pytest.raises(UnexpectedBatchTypeError):
        crash.lambda_handler({}, LambdaContext())
