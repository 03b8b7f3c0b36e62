"""The handlers' entrances, each with a raw event and AWS in some mood.

Events are JSON objects, as Lambda hands them over; within them everything is possible. Every target says what came of
its input, so that a run can show that it has been everywhere.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import importlib
import json
import os
import sys
import time
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyPersistenceLayerError

from processor.actions import build, synchronize
from processor.callback import CallbackUnavailable
from pullrequest.claim import Claims
from pullrequest.errors import GitHubUnavailable, WorkError
from shared.contract import InvalidContract
from shared.idempotency import OncePerToken
from shared.job import JOB_MAX_BYTES, Job, Outcome
from tests.conftest import ROOT
from tests.fuzz import aws, contents
from tests.fuzz.source import Source
from tests.fuzz.watch import told, watched
from tests.support import BASE_SHA, DELIVERY_ID, SHA, LambdaContext, log_to_current_stdout
from tests.unit.processor.fakes import NEWER_SHA, FakeGitHub, FakeStore
from webhook import projection
from webhook.delivery import Rejected

if TYPE_CHECKING:
    import io
    from collections.abc import Callable

SECRET, PREVIOUS_SECRET = "It's a Secret to Everybody", "the one before"
CREDENTIAL = "ghp_canarycanarycanary"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:pullback"
REPLAY_QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/replay"
QUARANTINE = "https://sqs.us-east-1.amazonaws.com/123456789012/quarantine"

NAMES = (
    "action", "delivery_id", "repository", "pull_request", "installation", "sender", "taskToken", "execution",
    "full_name", "number", "title", "head", "base", "ref", "sha", "id", "login", "headers", "body", "isBase64Encoded",
    "multiValueHeaders", "requestContext", "resource", "path", "httpMethod", "queryStringParameters",
    "X-Hub-Signature-256", "x-hub-signature-256", "X-GitHub-Event", "X-GitHub-Delivery", "Content-Type",
)  # fmt: skip
PAYLOAD = json.dumps(
    {
        "action": "synchronize",
        "number": 7,
        "pull_request": {
            "number": 7,
            "title": "Say hello",
            "head": {"ref": "hello", "sha": SHA, "repo": {"id": 1}},
            "base": {"ref": "main", "sha": BASE_SHA},
        },
        "repository": {"id": 1, "full_name": "octo-org/hello"},
        "installation": {"id": 42},
        "sender": {"login": "octocat", "id": 1},
    }
)
JOB = json.dumps(
    {
        "action": "synchronize",
        "delivery_id": DELIVERY_ID,
        "repository": {"full_name": "octo-org/hello"},
        "pull_request": {
            "number": 7,
            "title": "Say hello",
            "head": {"ref": "hello", "sha": SHA},
            "base": {"ref": "main", "sha": BASE_SHA},
        },
        "sender": {"login": "octocat"},
        "execution": DELIVERY_ID,
    }
)


def load_handler(name: str, clients: dict[str, object], **environ: str) -> Any:
    """A copy of a handler's module with these clients, that nobody else gets to see.

    Args:
        name: the module's name.
        clients: service name -> what the module gets from ``shared.aws.client``.
        environ: the module's settings.
    """
    previous = sys.modules.pop(name, None)
    package, _, attribute = name.rpartition(".")
    try:
        with (
            mock.patch.dict(os.environ, environ),
            mock.patch("shared.aws.client", lambda service, **_: clients[service]),
        ):
            module = importlib.import_module(name)
    finally:
        sys.modules.pop(name, None)
        if previous is None:
            vars(sys.modules[package]).pop(attribute, None)
        else:
            sys.modules[name] = previous
            setattr(sys.modules[package], attribute, previous)
    log_to_current_stdout(module.telemetry)
    return module


def check_log(output: io.StringIO, *secrets: str) -> None:
    """Every line is one JSON document in UTF-8, and no line has a secret.

    Raises:
        AssertionError: otherwise.
    """
    text = output.getvalue()
    for secret in secrets:
        assert secret not in text, f"a secret is in the log: {text}"
    text.encode()
    for line in text.split("\n"):
        if line:
            json.loads(line)


def check_error(error: BaseException, secret: str) -> None:
    """Nothing that a runtime shows of an exception has a secret.

    Raises:
        AssertionError: otherwise.
    """
    assert secret not in told(error), f"a secret is in the exception: {told(error)}"


def canary(data: bytes) -> str:
    """What makes a token of this input known wherever a part of it turns up: no input can hold its own hash."""
    return hashlib.sha256(data).hexdigest()


def token_with(mark: str) -> str:
    """A task token that looks like those of Step Functions, with the mark in it."""
    return f"AQCEAAAAKgAAAAMAAAAA/{mark}+=="


# --- the webhook


@cache
def webhook_handler() -> Any:
    stages = {"AWSCURRENT": SECRET, "AWSPREVIOUS": PREVIOUS_SECRET}
    return load_handler(
        "webhook.handler",
        {"secretsmanager": aws.Secrets(stages), "stepfunctions": aws.StepFunctions(), "sqs": aws.Queues()},
        STATE_MACHINE_ARN=MACHINE,
        WEBHOOK_SECRET_ARN="webhook",
        REPLAY_QUEUE_URL=REPLAY_QUEUE,
        MAX_BODY_BYTES="60000",
    )


def webhook_seeds() -> list[bytes]:
    events = [file.read_bytes() for file in sorted((ROOT / "events").glob("*.json"))]
    slim = PAYLOAD.encode()
    return [
        *(b"\0\0\0\0" + body for body in [slim, *events]),
        b"\0\0\0\0" + slim.replace(b"synchronize", b"build"),
        b"\3\0\0\0" + slim,
        b"\3\4\0\0" + slim,
        b"\0\0\7\1\3\0" + slim,
        b"\0\0\7\1\0\0" + slim,
        b"\0\0\7\13" + b"\0" * 12 + slim,
        *(
            bytes([0, 0, 0, 1, *choices])
            for choices in ([0], [0, 0, 0, 1], [0, 0, 1, 1], [0, 0, 2], [0, 1, 3, 2, 0, 1])
        ),
        b"\0\0\0\0" + b"{" + b" " * 60_000,
        b"\0\0\0\2\3headers",
    ]


def webhook(data: bytes) -> str:
    """API Gateway's event: whatever it is, it is answered; only what is signed starts or keeps anything."""
    source = Source(data)
    mood, queue_mood = source.pick(aws.MOODS), source.pick(aws.MOODS)
    statuses = ("FAILED", "TIMED_OUT", "ABORTED", "RUNNING", "SUCCEEDED", "PENDING_REDRIVE")
    existing = [source.pick(statuses) for _ in range(source.below(12) if source.rarely() else 0)]
    event = _webhook_event(source)
    text = json.dumps(event)

    answer, machine, queues = _answered(event, mood, queue_mood, existing)
    status = answer["statusCode"]
    assert isinstance(status, int)
    # 503 is the answer for AWS' moods; there is no input for it.
    is_away = "fine" not in (mood, queue_mood) and machine.asked
    assert 200 <= status < 500 or (status == 503 and is_away), f"status {status} for {text}"
    assert all(isinstance(item, str) for pair in answer["headers"].items() for item in pair)
    assert answer.keys() == {"statusCode", "headers", "body"}
    body = json.loads(answer["body"])
    assert isinstance(body["result"], str)
    assert len(answer["body"]) < 1024
    if machine.asked or queues.sent:
        assert is_genuine(event), f"asked for an execution without a valid signature: {text}"
    for request in machine.started:
        assert request["stateMachineArn"] == MACHINE
        assert request["name"].startswith(Job.read_json(request["input"]).delivery_id)
    for message in queues.sent:
        assert message["QueueUrl"] == REPLAY_QUEUE
    for job in [request["input"] for request in machine.started] + [message["MessageBody"] for message in queues.sent]:
        _check_job(job, json.loads(_raw_body(event)))
        again, *effects = _answered(json.loads(text), mood, queue_mood, existing)
        assert [effect.__dict__ for effect in effects] == [effect.__dict__ for effect in (machine, queues)], (
            "not a pure function of the delivery"
        )
        assert again == answer
    return f"{status} {body['result']}"


def _answered(
    event: dict[str, Any], mood: str, queue_mood: str, existing: list[str]
) -> tuple[dict[str, Any], aws.StepFunctions, aws.Queues]:
    handler = webhook_handler()
    machine, queues = aws.StepFunctions(mood=mood, existing=existing), aws.Queues(mood=queue_mood)
    handler.executions._stepfunctions = machine
    # Made when Step Functions is away: by the name that the handler knows.
    handler.client = lambda service, **_: {"sqs": queues}[service]
    with watched() as output:
        answer = handler.lambda_handler(event, LambdaContext())
    check_log(output, SECRET, PREVIOUS_SECRET)
    assert isinstance(answer, dict)
    json.dumps(answer)
    return answer, machine, queues


def _webhook_event(source: Source) -> dict[str, Any]:
    match source.below(3):
        case 0:
            return signed(source.rest(), secret=SECRET, event="pull_request")
        case 1:
            payload = source.edited(json.loads(PAYLOAD), NAMES, 3)
            body = json.dumps(payload, ensure_ascii=source.rarely()).encode("utf-8", "surrogatepass")
            secret = source.pick((SECRET, SECRET, SECRET, PREVIOUS_SECRET, "", "guessed"))
            event_name = source.pick(("pull_request", "pull_request", "ping", "push", "", "\ud800\n"))
            event = signed(body, secret=secret, event=event_name)
            if source.rarely():
                event |= {"isBase64Encoded": True, "body": base64.b64encode(body).decode()}
            if source.rarely():
                event["body"] = source.text(4096) or None
            return source.edited(event, NAMES, 3)
        case _:
            return source.object(NAMES)


def signed(body: bytes, *, secret: str, event: str) -> dict[str, Any]:
    try:
        text = {"body": body.decode("utf-8", "surrogatepass"), "isBase64Encoded": False}
    except UnicodeDecodeError:
        text = {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    return {
        "resource": "/webhook",
        "httpMethod": "POST",
        "headers": {
            "Content-Type": "application/json",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": DELIVERY_ID,
            "X-Hub-Signature-256": _signature(secret, body),
        },
        **text,
    }


def _signature(secret: str, body: bytes) -> str:
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def _raw_body(event: dict[str, Any]) -> bytes:
    body = event.get("body") or ""
    return base64.b64decode(body) if event.get("isBase64Encoded") else body.encode("utf-8", "surrogatepass")


def is_genuine(event: dict[str, Any]) -> bool:
    """Whether an event carries the signature of its raw body; told here in another way than the webhook tells it."""
    try:
        raw = _raw_body(event)
    except (AttributeError, TypeError, binascii.Error, ValueError):
        return False
    valid = {_signature(secret, raw) for secret in (SECRET, PREVIOUS_SECRET)}
    headers = event.get("headers")
    return isinstance(headers, dict) and any(
        isinstance(value, str) and value in valid
        for name, value in headers.items()
        if name.lower() == "x-hub-signature-256"
    )


def _check_job(text: str, payload: dict[str, Any]) -> None:
    assert len(text.encode()) <= JOB_MAX_BYTES
    job = Job.read_json(text)
    assert job.action in ("build", "synchronize")
    # Of the bytes that were signed, and of no others.
    assert job.pull_request.number == payload["pull_request"]["number"]
    assert job.pull_request.head.sha == payload["pull_request"]["head"]["sha"]
    assert job.repository.full_name == payload["repository"]["full_name"]


# --- the projection


def projection_seeds() -> list[bytes]:
    events = [file.read_bytes() for file in sorted((ROOT / "events").glob("*.json"))]
    return [*(b"\0" + body for body in [PAYLOAD.encode(), *events]), b"\1", b"\1\0\2\7\1", b"\1\1\1\3\0\26"]


def project(data: bytes) -> str:
    """A signed payload: a job, or a refusal that names a field."""
    source = Source(data)
    if source.below(2):
        payload = source.edited(json.loads(PAYLOAD), NAMES, 4)
        body = json.dumps(payload, ensure_ascii=source.rarely()).encode("utf-8", "surrogatepass")
    else:
        body = source.rest()
    with watched() as output:
        first = _projected(body)
        assert first == _projected(body), "not a pure function of the payload"
    assert not output.getvalue()
    if isinstance(first, Rejected):
        assert 400 <= first.status < 500
        contents.check_text(first, 200)
        assert first.field
        return f"{first.status} {first.field}"
    assert Job.read_json(first) == Job.read(json.loads(first))
    assert len(first.encode()) <= JOB_MAX_BYTES
    # Also when somebody writes it with escapes, as json.dumps does.
    assert len(json.dumps(json.loads(first))) <= JOB_MAX_BYTES
    return "job"


class _Refusal(Rejected):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rejected) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


def _projected(body: bytes) -> str | Rejected:
    try:
        payload = projection.decode(body)
        projection.payload_actions(payload)
        return projection.project(payload, action="synchronize", delivery_id=DELIVERY_ID).to_json()
    except Rejected as rejected:
        return _Refusal(rejected.status, rejected.result, rejected.message, rejected.field)


# --- the task function


@cache
def task_handler() -> Any:
    return load_handler(
        "task.handler",
        {"lambda": aws.Lambda(), "dynamodb": aws.Table()},
        PROCESSOR_FUNCTION_ARN="arn:aws:lambda:us-east-1:123456789012:function:processor:live",
        IDEMPOTENCY_TABLE="table",
    )


def task_seeds() -> list[bytes]:
    return [b"", b"\0\0\0\0\0\1\0", b"\3", b"\0\3", b"\0\0\1", b"\0\0\0\1", b"\0\0\0\0\1", b"\0\0\0\0\0\2\2\7"]


def task(data: bytes) -> str:
    """The state machine's event: dispatched as it is, or a documented error; the token goes nowhere else."""
    source, mark = Source(data), canary(data)
    handler = task_handler()
    handler.lambda_client = aws.Lambda(mood=source.pick(aws.MOODS), status=source.pick((202, 202, 200, 500)))
    table = aws.Table(mood=source.pick(_TABLE_MOODS), stored={"result": "dispatched"})
    handler.once = OncePerToken("task", "table", table, handler.telemetry)
    event = _task_event(source, token_with(mark))
    before = json.dumps(event)

    with watched() as output:
        try:
            result: Any = handler.lambda_handler(event, LambdaContext())
        except (
            InvalidContract,
            handler.TokenMissing,
            handler.DispatchFailed,
            IdempotencyPersistenceLayerError,
        ) as error:
            check_error(error, mark)
            result = type(error).__name__
        else:
            assert result == {"result": "dispatched"}
            result = "dispatched"
    check_log(output, mark)
    assert mark not in repr(table.items)
    assert len(handler.lambda_client.invoked) <= 1
    for request in handler.lambda_client.invoked:
        assert json.loads(request["Payload"]) == json.loads(before), "the event was changed on its way"
        assert request["InvocationType"] == "Event"
    if result == "dispatched" and table.mood == "fine":
        assert handler.lambda_client.invoked, "dispatched and not dispatched"
    return str(result)


_TABLE_MOODS = ("fine", "fine", "fine", "held", "done", "forgetful", "throttled", "unreachable")


def _task_event(source: Source, token: str) -> dict[str, Any]:
    if source.rarely():
        event = source.object(NAMES)
    else:
        event = source.edited(json.loads(JOB), NAMES, 3)
        # Most events have their token at the right place.
        event["taskToken"] = token
    match source.below(8):
        case 1:
            event["taskToken"] = token + source.text(40)
        case 2:
            event["taskToken"] = token * source.below(64)
        case 3:
            event["taskToken"] = source.pick(([token], {"token": token}, None, "", 5))
        case 4:
            event[source.key(("task_token", "TaskToken", "x", "Input"))] = {"deep": [token]}
        case _:
            pass
    return event


# --- the processor


@cache
def processor_handler() -> Any:
    machine = aws.StepFunctions()
    clients = dict.fromkeys(("stepfunctions", "dynamodb", "secretsmanager", "s3", "sqs"), machine)
    handler = load_handler(
        "processor.handler",
        clients,
        IDEMPOTENCY_TABLE="table",
        ARTIFACT_BUCKET="artifacts",
        ARTIFACT_LINK="https://example/{bucket}/{key}",
        GITHUB_CREDENTIAL_ARN="github",
        GITHUB_API_URL="https://github.example",
        HEARTBEAT_INTERVAL_SECONDS="1",
        QUARANTINE_QUEUE_URL=QUARANTINE,
    )
    handler.credential = SimpleNamespace(read=lambda **_: CREDENTIAL)
    # Finding an action imports it.
    assert {build.__name__, synchronize.__name__} <= sys.modules.keys()
    return handler


class Unexpected(Exception):
    """What nobody thought of."""


def some_work_record(source: Source) -> dict[str, Any] | None:
    """What the table may hold of the same work already."""
    phase = source.pick((None, None, None, "working", "decided", "reported", "released", "closed"))
    if phase is None:
        return None
    now = time.time_ns() // 1_000_000
    result = {"conclusion": "success", "summary": "found", "duration_ms": 1}
    return {
        "phase": {"S": phase},
        "owner": {"S": "another"},
        "execution": {"S": source.pick((DELIVERY_ID, "another"))},
        "claim": {"S": "another"},
        "revision": {"N": "3"},
        "lease_until": {"N": str(now + source.pick((-1000, 100_000)))},
        "writing_until": {"N": str(now + source.pick((-1000, 40_000)))},
        "pending_shown": {"BOOL": True},
        **({"result": {"S": json.dumps(result)}} if phase in ("decided", "reported") else {}),
    }


def processor_seeds() -> list[bytes]:
    return [
        b"",
        b"\0\1" + b"\0" * 6 + b"\0\1\5a/b.c\0",
        b"\1" + b"\0" * 8,
        b"\0\0\0\3",
        b"\0\0\0\0\3",
        b"\0\0\0\0\0\7",
        b"\0\0\0\0\0\0\2",
        *(bytes([1, 0, 0, 0, 0, 0, 0, 0]) + seed for seed in contents.archive_seeds()[:8]),
    ]


def processor(data: bytes) -> str:
    """The task function's event: the task ends once, whatever happens, and neither token nor credential is told."""
    source, mark = Source(data), canary(data)
    handler = processor_handler()
    action = source.pick(("synchronize", "build", "synchronize", "_status", "os"))
    machine = aws.StepFunctions(mood=source.pick(aws.MOODS), is_task_open=not source.rarely())
    stored = {"action": "build", "delivery_id": "x", "conclusion": "success", "summary": "stored", "duration_ms": 1}
    table = aws.Table(mood=source.pick(_TABLE_MOODS), stored=stored, work=some_work_record(source))
    context = LambdaContext(source.pick((300_000, 300_000, 300_000, 300_000, 300_000, 300_000, 20_000, 0)))
    # Some failures are GitHub's, some are ours.
    breaks = source.pick((None, None, None, GitHubUnavailable("GitHub answered 502"), Unexpected("no more ideas")))
    event = _task_event(source, token_with(mark))
    if event.get("action") == "synchronize":
        event["action"] = action
    store = FakeStore()
    github = FakeGitHub(breaks=breaks, heads=source.pick(([SHA], [SHA], [SHA], [NEWER_SHA], [SHA, NEWER_SHA])))
    if action == "build":
        github.archive = contents.an_archive_of(source)
    else:
        github.changed = contents.changed_files_of(source)
    before = json.dumps(event)

    handler.stepfunctions = handler.heartbeats = machine
    handler.once = OncePerToken("processor", "table", table, handler.telemetry)
    handler.claims = Claims("table", table)
    handler.artifacts = store
    handler.connect = lambda *_, **__: github
    with (
        mock.patch.object(build, "tempfile", SimpleNamespace(TemporaryFile=contents.spool)),
        watched() as output,
    ):
        result = _processed(handler, event, context, mark)
    check_log(output, mark, CREDENTIAL)
    assert json.dumps(event) == before
    for place in (table.items, github.statuses, [*store.objects.values()]):
        assert mark not in repr(place)
        assert CREDENTIAL not in repr(place)
    is_called_back = isinstance(event.get("taskToken"), str) and 0 < len(event["taskToken"]) <= aws.TOKEN_MAX_CHARACTERS
    assert len(machine.ended) <= 1
    if is_called_back and machine.mood == "fine" and not machine.ended:
        assert table.mood == "held" or not machine.is_task_open, "the task was left without an end"
    for kind, request in machine.ended:
        assert request["taskToken"] == event["taskToken"]
        assert mark not in repr({**request, "taskToken": ""})
        if kind == "success":
            result = f"success {Outcome.read_json(request['output']).conclusion}"
        else:
            assert json.loads(request["cause"]).keys() == {"error", "message"}
            result = f"failure {request['error']}"
    return result


def _processed(handler: Any, event: dict[str, Any], context: LambdaContext, mark: str) -> str:
    has_token = isinstance(event.get("taskToken"), str) and event["taskToken"]
    # Without a token there is nobody to tell but the caller.
    allowed: Any = CallbackUnavailable if has_token else (WorkError, Unexpected)
    try:
        outcome = handler.lambda_handler(event, context)
    except allowed as error:
        check_error(error, mark)
        return type(error).__name__
    if outcome is None:
        assert has_token
        return "ended quietly"
    assert not has_token
    return f"returned {Outcome.read(outcome).conclusion}"


HANDLERS: tuple[Callable[[], Any], ...] = (webhook_handler, task_handler, processor_handler)
