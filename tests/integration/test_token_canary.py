"""The task token, driven through every handler and every way to fail, and then looked for everywhere."""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from aws_lambda_powertools import Tracer
from aws_xray_sdk import global_sdk_config
from aws_xray_sdk.core import xray_recorder
from botocore.exceptions import ClientError, EndpointConnectionError

from processor.errors import TaskOver
from pullrequest.errors import GitHubUnavailable
from pullrequest.result import Result
from shared.telemetry import fingerprint
from tests.dead_work import destination_record, sqs_event, status_event, task_event
from tests.integration.processor.test_attempt_on_moto import Action, StepFunctions
from tests.support import SHA, LambdaContext
from tests.unit.processor.fakes import FakeGitHub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from tests.integration.conftest import Account

TOKEN = "AQCEAAAAKgAAAAMAAAAAAAAAAcanary-of-the-token-that-must-not-be-seen"
# Quoted by whatever gets the token and fails: AWS' own messages may do so.
QUOTING = f"about {TOKEN}"


class Recorder:
    """An emitter of segments that keeps them."""

    def __init__(self) -> None:
        self.segments: list[str] = []

    def send_entity(self, entity: Any) -> None:
        self.segments.append(entity.serialize())

    def set_daemon_address(self, address: str | None) -> None:
        """Part of an emitter's interface."""


class Everywhere:
    """All places where something may be seen."""

    def __init__(self) -> None:
        self.outputs: list[str] = []
        self.errors: list[str] = []

    def call(self, handler: ModuleType, event: Any, remaining_ms: int = 300_000) -> None:
        """Invokes a handler inside a segment, as Lambda does; keeps what it returns or raises."""
        segment = xray_recorder.begin_segment("canary")
        try:
            self.outputs.append(json.dumps(handler.lambda_handler(event, LambdaContext(remaining_ms)), default=str))
        except Exception as error:  # noqa: BLE001 - its text is what is looked at
            self.errors.append("".join(traceback.format_exception(error)) + repr(error))
            segment.add_exception(error, [])
        finally:
            xray_recorder.end_segment()


@contextmanager
def refusing(client: Any, operation: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A client whose operation fails."""

    def fail(**_: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(client, operation, fail)
        yield


def aws_error(code: str, message: str = QUOTING) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


@pytest.fixture
def segments(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    recorder = Recorder()
    monkeypatch.setattr(xray_recorder, "_emitter", recorder)
    # As in Lambda: a Tracer does nothing elsewhere, and once one has done nothing, none does anything.
    monkeypatch.setenv("LAMBDA_TASK_ROOT", "/var/task")
    monkeypatch.setenv("POWERTOOLS_TRACE_DISABLED", "false")
    was_enabled = global_sdk_config.sdk_enabled()
    global_sdk_config.set_sdk_enabled(True)
    Tracer._reset_config()  # type: ignore[no-untyped-call]
    xray_recorder.configure(sampling=False, context_missing="IGNORE_ERROR")
    yield recorder.segments
    xray_recorder.clear_trace_entities()
    Tracer._reset_config()  # type: ignore[no-untyped-call]
    global_sdk_config.set_sdk_enabled(was_enabled)


def test_the_token_is_nowhere_but_as_a_fingerprint(  # noqa: C901 - one way after the other
    account: Account,
    segments: list[str],
    job_data: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = Everywhere()
    processor_arn = boto3.client("lambda").create_function(
        FunctionName="processor",
        Runtime="python3.13",
        Role=_role(),
        Handler="x.y",
        Code={"ZipFile": b"zip"},
    )["FunctionArn"]
    task = account.handler("task.handler", PROCESSOR_FUNCTION_ARN=processor_arn)
    processor = account.handler(
        "processor.handler",
        ARTIFACT_BUCKET="artifacts",
        ARTIFACT_LINK="https://example/{bucket}/{key}",
        HEARTBEAT_INTERVAL_SECONDS="1",
    )
    crash, replay, closing = (account.handler(name) for name in ("crash.handler", "replay.handler", "closing.handler"))
    stepfunctions, action, github = StepFunctions(), Action(), FakeGitHub(heads=[SHA])
    for module in (processor, crash):
        monkeypatch.setattr(module, "stepfunctions", stepfunctions)
    monkeypatch.setattr(processor, "heartbeats", stepfunctions)
    monkeypatch.setattr(processor, "registry", type("R", (), {"find": staticmethod(lambda name: action)}))
    for module in (processor, closing):
        monkeypatch.setattr(module, "connect", lambda job, credential, url, telemetry, **_: github)
    numbers = iter(range(1000))

    def event(**changes: Any) -> dict[str, Any]:
        """A task event of its own token and its own work; every token begins with the canary."""
        number = next(numbers)
        job = json.loads(json.dumps(job_data))
        job["pull_request"]["number"] += number
        return {**task_event(job, f"{TOKEN}-{number}"), **changes}

    broken = [
        event(action=TOKEN),
        event(pull_request=TOKEN),
        event(repository={"full_name": TOKEN}),
        event(sender=None),
    ]

    # The task function: success, twice the same, broken events, Lambda and the table away.
    dispatched = event()
    for one in (dispatched, dispatched, *broken, event(taskToken=None), event(taskToken=[TOKEN])):
        seen.call(task, one)
    for failure in (aws_error("ThrottlingException"), EndpointConnectionError(endpoint_url=QUOTING)):
        with refusing(task.lambda_client, "invoke", failure, monkeypatch):
            seen.call(task, event())
        # The table gets a hash alone, so it has nothing to quote.
        with refusing(task.once._store.client, "put_item", aws_error("Throttled", "slow down"), monkeypatch):
            seen.call(task, event())

    # The processor: success, twice the same, broken events, and every way in which work fails.
    done = event()
    for one in (done, done, *broken):
        seen.call(processor, one)

    def failing(error: Exception) -> Callable[[Any, Any], Result]:
        def behaviour(job: Any, work: Any) -> Result:
            raise error

        return behaviour

    for error in (GitHubUnavailable("502"), KeyError("x"), TaskOver("x"), MemoryError("x")):
        action.behaviour = failing(error)
        seen.call(processor, event())
    action.behaviour = lambda job, work: work.checkpoint()
    seen.call(processor, event(), remaining_ms=5_000)
    action.behaviour = lambda job, work: Result(conclusion="success", summary="x", artifacts={"a": "x" * 70_000})
    seen.call(processor, event())
    action.behaviour = None
    for operation in ("heartbeat", "success", "failure"):
        for code in ("TaskTimedOut", "TaskDoesNotExist", "ThrottlingException", "AccessDeniedException"):
            stepfunctions.errors = {operation: code}
            action.behaviour = failing(GitHubUnavailable("502")) if operation == "failure" else None
            seen.call(processor, event())
    stepfunctions.errors, action.behaviour = {}, None
    for operation in ("get_item", "update_item", "put_item"):
        with refusing(processor.claims._dynamodb, operation, aws_error("Throttled", "slow down"), monkeypatch):
            seen.call(processor, event())
    with refusing(processor.credential._provider.client, "get_secret_value", aws_error("Denied"), monkeypatch):
        monkeypatch.setattr(processor.credential._provider, "store", {})
        seen.call(processor, event())

    # The crash function: reported, dead, away, poison of all kinds, the quarantine away.
    poison = [
        f"{{{TOKEN}",
        json.dumps({"requestPayload": TOKEN, "requestContext": {}}),
        json.dumps({"taskToken": TOKEN}),
    ]
    for refusal in ("", "TaskTimedOut", "ThrottlingException"):
        stepfunctions.errors = {"failure": refusal} if refusal else {}
        records = [destination_record(job_data, TOKEN, error=QUOTING), event(), *(map(json.dumps, broken)), *poison]
        seen.call(crash, sqs_event(*records))
    with refusing(crash.consumer._sqs, "send_message", aws_error("Throttled"), monkeypatch):
        seen.call(crash, sqs_event(*poison))

    # Replay and closing: the same, in their shapes.
    replayed = [destination_record(job_data, TOKEN), event(), status_event(job_data), *poison]
    seen.call(replay, sqs_event(*replayed))
    with refusing(replay.stepfunctions, "start_execution", aws_error("Throttled"), monkeypatch):
        seen.call(replay, sqs_event(*replayed))
    seen.call(closing, sqs_event(status_event(job_data), status_event(job_data, cause=TOKEN, error=QUOTING), *poison))

    output = capsys.readouterr().out
    items = json.dumps(boto3.client("dynamodb").scan(TableName="idempotency")["Items"])
    inputs = json.dumps([call["output"] for _, call in stepfunctions.calls if "output" in call])
    causes = json.dumps([[call["error"], call["cause"]] for _, call in stepfunctions.calls if "cause" in call])
    places = {
        "logs and metrics": output,
        "segments": "".join(segments),
        "table": items,
        "outputs of functions": "".join(seen.outputs),
        "outputs of executions": inputs,
        "causes": causes,
        "exceptions": "".join(seen.errors),
        "statuses": json.dumps(github.statuses),
    }
    for place, text in places.items():
        assert len(text) > 100, f"{place}: the test looks at something"
        at = text.find(TOKEN)
        assert at == -1, f"{place}: …{text[max(0, at - 300) : at]}"
    # It went through: the fingerprint is in the log, and the token where it belongs.
    assert fingerprint(done["taskToken"]) in output
    assert any(call["taskToken"] == done["taskToken"] for _, call in stepfunctions.calls)
    aside = account.quarantined()
    assert aside, "queues hold it by necessity; the reason beside it does not"
    assert TOKEN not in json.dumps([one["MessageAttributes"] for one in aside])


def _role() -> str:
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    arn: str = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    return arn


def test_handlers_can_be_imported_again() -> None:
    """The modules that the canary went through hold nothing of its account."""
    for name in ("task.handler", "processor.handler", "crash.handler", "replay.handler", "closing.handler"):
        sys.modules.pop(name, None)
    with pytest.raises(RuntimeError, match="is not set"):
        importlib.import_module("crash.handler")
