"""What each handler makes when it is imported, and what it counts."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from shared.settings import ConfigurationError
from shared.telemetry import Telemetry
from tests.dead_work import destination_record, sqs_event, status_event
from tests.integration.processor.test_attempt_on_moto import StepFunctions
from tests.support import LambdaContext

if TYPE_CHECKING:
    from types import ModuleType

    from tests.integration.conftest import Account

NEEDED = {
    "closing.handler": ("IDEMPOTENCY_TABLE", "GITHUB_CREDENTIAL_ARN", "GITHUB_API_URL", "QUARANTINE_QUEUE_URL"),
    "processor.handler": (
        "IDEMPOTENCY_TABLE",
        "ARTIFACT_BUCKET",
        "ARTIFACT_LINK",
        "GITHUB_CREDENTIAL_ARN",
        "GITHUB_API_URL",
        "HEARTBEAT_INTERVAL_SECONDS",
    ),
    "crash.handler": ("QUARANTINE_QUEUE_URL",),
    "task.handler": ("PROCESSOR_FUNCTION_ARN", "IDEMPOTENCY_TABLE"),
    "webhook.handler": ("STATE_MACHINE_ARN", "WEBHOOK_SECRET_ARN", "REPLAY_QUEUE_URL"),
    "replay.handler": ("STATE_MACHINE_ARN", "QUARANTINE_QUEUE_URL"),
}
VALUES = {
    "ARTIFACT_BUCKET": "artifacts",
    "ARTIFACT_LINK": "https://example/{bucket}/{key}",
    "HEARTBEAT_INTERVAL_SECONDS": "30",
    "PROCESSOR_FUNCTION_ARN": "arn:aws:lambda:us-east-1:123456789012:function:p:live",
    "WEBHOOK_SECRET_ARN": "webhook",
    "REPLAY_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/replay",
}
CLIENTS = [
    ("closing.handler", "claims._dynamodb", "dynamodb", 2),
    ("closing.handler", "consumer._sqs", "sqs", 2),
    ("processor.handler", "stepfunctions", "stepfunctions", 2),
    # The next one comes in half a minute anyway.
    ("processor.handler", "heartbeats", "stepfunctions", 1),
    ("processor.handler", "claims._dynamodb", "dynamodb", 2),
    ("processor.handler", "once._store.client", "dynamodb", 1),
    ("processor.handler", "artifacts._s3", "s3", 2),
    ("crash.handler", "stepfunctions", "stepfunctions", 2),
    ("crash.handler", "consumer._sqs", "sqs", 2),
    ("task.handler", "lambda_client", "lambda", 2),
    ("task.handler", "once._store.client", "dynamodb", 1),
    # GitHub waits for the answer.
    ("webhook.handler", "executions._stepfunctions", "stepfunctions", 1),
    ("replay.handler", "stepfunctions", "stepfunctions", 2),
    ("replay.handler", "executions._stepfunctions", "stepfunctions", 2),
    ("replay.handler", "consumer._sqs", "sqs", 2),
]


def counted(capsys: pytest.CaptureFixture[str]) -> Counter[str]:
    """What the log says was counted, as CloudWatch reads it."""
    sums: Counter[str] = Counter()
    for line in capsys.readouterr().out.splitlines():
        document = json.loads(line)
        for directive in document.get("_aws", {}).get("CloudWatchMetrics", ()):
            for metric in directive["Metrics"]:
                value = document[metric["Name"]]
                sums[metric["Name"]] += round(sum(value) if isinstance(value, list) else value)
    sums.pop("ColdStart", None)
    return sums


def consumed(handler: ModuleType, *bodies: object) -> list[str]:
    answer = handler.lambda_handler(sqs_event(*bodies, queue="queue"), LambdaContext())
    return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


@pytest.mark.parametrize("module", NEEDED)
def test_a_handler_is_not_even_imported_without_its_settings(account: Account, module: str) -> None:
    for name in NEEDED[module]:
        account.monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError) as missing:
        account.handler(module)
    assert str(missing.value) == "; ".join(f"{name} is not set" for name in NEEDED[module])


@pytest.mark.parametrize(("module", "path", "service", "attempts"), CLIENTS)
def test_every_client_is_of_its_service_and_tries_so_often(
    account: Account, module: str, path: str, service: str, attempts: int
) -> None:
    client: Any = account.handler(module, **VALUES)
    for name in path.split("."):
        client = getattr(client, name)
    assert client.meta.service_model.service_name == service
    assert client.meta.config.retries["total_max_attempts"] == attempts
    assert client.meta.config.read_timeout == (30 if service == "s3" else 2)


@pytest.mark.parametrize(
    ("module", "service"),
    [
        ("closing.handler", "closing"),
        ("processor.handler", "processor"),
        ("crash.handler", "crash"),
        ("task.handler", "task"),
        ("webhook.handler", "webhook"),
        ("replay.handler", "replay"),
    ],
)
def test_every_handler_counts_under_the_name_of_its_function(account: Account, module: str, service: str) -> None:
    handler = account.handler(module, **VALUES)
    assert isinstance(handler.telemetry, Telemetry)
    assert handler.telemetry._service == service


@pytest.mark.parametrize(
    ("code", "metrics"),
    [
        (None, {"CrashReported": 1}),
        ("TaskTimedOut", {"CallbackRefused": 1}),
        ("ThrottlingException", {"MessageReturned": 1}),
    ],
)
def test_a_crash_is_counted(
    account: Account,
    job_data: dict[str, Any],
    code: str | None,
    metrics: dict[str, int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    crash = account.handler("crash.handler")
    stepfunctions = StepFunctions(errors={"failure": code} if code else {})
    account.monkeypatch.setattr(crash, "stepfunctions", stepfunctions)
    consumed(crash, destination_record(job_data))
    assert counted(capsys) == metrics


def test_a_crash_that_could_not_be_told_is_given_back_by_name(
    account: Account, job_data: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    crash = account.handler("crash.handler")
    account.monkeypatch.setattr(crash, "stepfunctions", StepFunctions(errors={"failure": "ThrottlingException"}))
    assert consumed(crash, destination_record(job_data)) == ["message-0"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (back,) = [line for line in lines if line.get("message") == "message given back"]
    assert back["error"] == "CrashNotReported"
    # AWS' own words may hold the token.
    assert "Message" not in back["exception"]


def test_a_replay_is_counted_and_one_of_what_runs_is_too(
    account: Account, job_data: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    replay = account.handler("replay.handler")
    assert consumed(replay, status_event(job_data)) == []
    assert counted(capsys) == {"ReplayStarted": 1}
    client = replay.stepfunctions

    def taken(**_: Any) -> None:
        raise client.exceptions.ExecutionAlreadyExists({"Error": {"Code": "ExecutionAlreadyExists"}}, "StartExecution")

    account.monkeypatch.setattr(client, "start_execution", taken)
    assert consumed(replay, status_event(job_data)) == []
    assert counted(capsys) == {"ReplayRefused": 1}


def test_the_trace_of_an_execution_that_never_was_is_not_asked_for(
    account: Account, job_data: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    replay = account.handler("replay.handler")
    assert consumed(replay, job_data) == []
    assert "trace not found" not in capsys.readouterr().out


@pytest.mark.parametrize("status", [202, 500])
def test_a_dispatch_is_what_lambda_said_it_was(account: Account, job_data: dict[str, Any], status: int) -> None:
    task = account.handler("task.handler", **VALUES)
    account.monkeypatch.setattr(task.lambda_client, "invoke", lambda **_: {"StatusCode": status})
    event = {**job_data, "taskToken": "token", "execution": "e"}
    if status == 202:
        # What is stored for the token.
        assert task.dispatch(event) == {"result": "dispatched"}
    else:
        with pytest.raises(task.DispatchFailed, match=r"^status 500$"):
            task.dispatch(event)
