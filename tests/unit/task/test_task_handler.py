from __future__ import annotations

import importlib
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyAlreadyInProgressError
from botocore.exceptions import ClientError, ReadTimeoutError

from shared.contract import InvalidContract
from shared.settings import ConfigurationError
from tests.support import LambdaContext, log_to_current_stdout

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

PROCESSOR_ARN = "arn:aws:lambda:us-east-1:123456789012:function:pullback-processor:live"
TOKEN = "AQCEAAAAKgAAAAMAAAAAAAAAAcanary"


class Lambda:
    """Lambda's Invoke: records what it is asked."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.answer: dict[str, Any] | Exception = {"StatusCode": 202}

    def invoke(self, **arguments: Any) -> dict[str, Any]:
        self.calls.append(arguments)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Once:
    """Runs the function each time; records the keys."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.error: Exception | None = None

    def run(self, token: str, function: Callable[[], dict[str, Any]], context: object) -> dict[str, Any]:
        self.keys.append(token)
        if self.error:
            raise self.error
        return function()


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("PROCESSOR_FUNCTION_ARN", PROCESSOR_ARN)
    monkeypatch.setenv("IDEMPOTENCY_TABLE", "table")
    monkeypatch.delitem(sys.modules, "task.handler", raising=False)
    module = importlib.import_module("task.handler")
    monkeypatch.setattr(module, "lambda_client", Lambda())
    monkeypatch.setattr(module, "once", Once())
    log_to_current_stdout(module.telemetry)
    return module


@pytest.fixture
def event(job_data: dict[str, Any]) -> dict[str, Any]:
    return {**job_data, "taskToken": TOKEN, "execution": job_data["delivery_id"]}


def test_invokes_processor_async(handler: ModuleType, event: dict[str, Any], context: LambdaContext) -> None:
    handler.lambda_handler(event, context)
    (call,) = handler.lambda_client.calls
    assert call["FunctionName"] == PROCESSOR_ARN
    assert call["InvocationType"] == "Event"


def test_passes_task_token_to_processor(handler: ModuleType, event: dict[str, Any], context: LambdaContext) -> None:
    handler.lambda_handler(event, context)
    assert json.loads(handler.lambda_client.calls[0]["Payload"])["taskToken"] == TOKEN


def test_passes_through_event_fields(handler: ModuleType, event: dict[str, Any], context: LambdaContext) -> None:
    event["a_field_of_tomorrow"] = {"nested": ["😀", "\ud800", None]}
    event["pull_request"]["another"] = 1
    handler.lambda_handler(event, context)
    assert json.loads(handler.lambda_client.calls[0]["Payload"]) == event


def test_returns_immediately(handler: ModuleType, event: dict[str, Any], context: LambdaContext) -> None:
    # "Event" is what makes Lambda answer before the processor has run; what comes back is nothing of the processor's.
    assert handler.lambda_handler(event, context) == {"result": "dispatched"}
    assert handler.lambda_client.calls[0]["InvocationType"] == "Event"


def test_missing_processor_arn_env(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROCESSOR_FUNCTION_ARN", raising=False)
    monkeypatch.delenv("IDEMPOTENCY_TABLE", raising=False)
    monkeypatch.delitem(sys.modules, "task.handler", raising=False)
    with pytest.raises(ConfigurationError, match=r"PROCESSOR_FUNCTION_ARN is not set; IDEMPOTENCY_TABLE is not set"):
        importlib.import_module("task.handler")


def test_is_idempotent_on_the_token(handler: ModuleType, event: dict[str, Any], context: LambdaContext) -> None:
    handler.lambda_handler(event, context)
    assert handler.once.keys == [TOKEN]


def test_a_duplicate_in_flight_ends_quietly(handler: ModuleType, event: dict[str, Any], context: LambdaContext) -> None:
    handler.once.error = IdempotencyAlreadyInProgressError("in progress")
    assert handler.lambda_handler(event, context) == {"result": "dispatched"}
    assert not handler.lambda_client.calls


@pytest.mark.parametrize(
    "answer",
    [
        {"StatusCode": 200},
        {"StatusCode": 500},
        ClientError({"Error": {"Code": "TooManyRequestsException", "Message": "slow down"}}, "Invoke"),
        ReadTimeoutError(endpoint_url="https://lambda.example"),
    ],
)
def test_a_failed_invoke_raises(
    handler: ModuleType, event: dict[str, Any], context: LambdaContext, answer: dict[str, Any] | Exception
) -> None:
    handler.lambda_client.answer = answer
    with pytest.raises(handler.DispatchFailed) as failure:
        handler.lambda_handler(event, context)
    assert TOKEN not in repr(failure.value)


def test_an_event_without_token_raises(handler: ModuleType, event: dict[str, Any], context: LambdaContext) -> None:
    del event["taskToken"]
    with pytest.raises(handler.TokenMissing):
        handler.lambda_handler(event, context)
    assert not handler.lambda_client.calls


def test_an_invalid_event_raises_without_its_content(
    handler: ModuleType, event: dict[str, Any], context: LambdaContext, capsys: pytest.CaptureFixture[str]
) -> None:
    event["pull_request"]["number"] = "seven"
    with pytest.raises(InvalidContract) as failure:
        handler.lambda_handler(event, context)
    assert "pull_request.number" in str(failure.value)
    assert TOKEN not in str(failure.value) + repr(failure.value) + capsys.readouterr().out


def test_the_log_shows_a_fingerprint_in_place_of_the_token(
    handler: ModuleType, event: dict[str, Any], context: LambdaContext, capsys: pytest.CaptureFixture[str]
) -> None:
    handler.lambda_handler(event, context)
    output = capsys.readouterr().out
    assert TOKEN not in output
    lines = [json.loads(line) for line in output.splitlines()]
    (dispatched,) = [line for line in lines if line.get("message") == "task dispatched"]
    assert dispatched["delivery_id"] == event["delivery_id"]
    assert len(dispatched["token_fingerprint"]) == 12
    assert any(line.get("TaskDispatched") == [1.0] for line in lines)
