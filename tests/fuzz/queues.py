"""The handlers behind queues, and the reader of dead work: every message ends, and none goes in a circle."""

from __future__ import annotations

import functools
import json
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pullrequest.claim import WRITE_SECONDS, Claims
from pullrequest.errors import GitHubRefused, GitHubUnavailable
from shared.contract import InvalidContract
from shared.dead_work import EXECUTION_EVENT, DeadWork, PoisonMessage, read
from shared.job import JOB_MAX_BYTES, Job
from tests.fuzz import aws
from tests.fuzz.contents import check_text
from tests.fuzz.entrances import (
    CREDENTIAL,
    JOB,
    MACHINE,
    NAMES,
    QUARANTINE,
    canary,
    check_error,
    check_log,
    load_handler,
    some_work_record,
    token_with,
)
from tests.fuzz.source import Source
from tests.fuzz.watch import watched
from tests.support import DELIVERY_ID, LambdaContext
from tests.unit.processor.fakes import FakeGitHub

if TYPE_CHECKING:
    from collections.abc import Callable

QUEUE_ARN = "arn:aws:sqs:us-east-1:123456789012:a-queue"
SHAPES = ("destination", "event", "execution", "delivery")
MESSAGE_NAMES = (
    *NAMES, "requestPayload", "responsePayload", "requestContext", "condition", "timestamp", "errorType", "version",
    "detail-type", "detail", "source", "executionArn", "name", "status", "stopDate", "input", "error",
)  # fmt: skip


# --- messages


def message_of(source: Source, mark: str) -> str:
    """The body of a message: dead work in one of its shapes, more or less damaged, or any text that SQS takes."""
    kind = source.below(6)
    if kind == 5:
        return _sendable(source.rest().decode("utf-8", "replace"))
    if kind == 4:
        return json.dumps(source.object(MESSAGE_NAMES))
    job = source.edited(json.loads(JOB), NAMES, 2)
    message = source.edited(_shaped(SHAPES[kind], source, job), MESSAGE_NAMES, 2)
    # After the edits, which may copy any text to where it may be shown.
    _put_token(SHAPES[kind], source, message, token_with(mark))
    return _sendable(json.dumps(message, ensure_ascii=source.rarely()))


def _shaped(shape: str, source: Source, job: dict[str, Any]) -> dict[str, Any]:
    match shape:
        case "destination":
            return {
                "version": "1.0",
                "timestamp": "2026-02-03T04:05:06.789Z",
                "requestContext": {"condition": source.pick(("RetriesExhausted", "EventAgeExceeded", "a b\n"))},
                "requestPayload": job,
                "responsePayload": source.pick(({"errorType": "Runtime.ExitError"}, None, [1])),
            }
        case "execution":
            status = source.pick(("FAILED", "TIMED_OUT", "ABORTED", "SUCCEEDED", "RUNNING", "LOST"))
            detail = {
                "executionArn": f"{MACHINE.replace(':stateMachine:', ':execution:')}:{DELIVERY_ID}",
                "name": source.pick((DELIVERY_ID, f"{DELIVERY_ID}-2", "", "another")),
                "status": status,
                "stopDate": source.pick((1_770_091_506_789, None, -1, 10**18, 10**400, 0)),
                "input": json.dumps(job),
                "error": source.pick(("GitHubRefused", None, "", "a b", "States.Timeout")),
            }
            return {"source": "aws.states", "detail-type": EXECUTION_EVENT, "detail": detail}
        case _:
            return job


def _put_token(shape: str, source: Source, message: dict[str, Any], token: str) -> None:
    match shape:
        case "destination":
            if isinstance(message.get("requestPayload"), dict):
                message["requestPayload"]["taskToken"] = token
            if source.rarely():
                message["responsePayload"] = {"errorType": token, "errorMessage": token}
        case "event":
            message["taskToken"] = token
        case _:
            if source.rarely():
                message["x"] = {"deep": [token]}


def _sendable(text: str) -> str:
    """What SQS delivers of a text: it has no empty messages, and replaces what XML cannot hold."""
    clean = "".join(
        character
        if character in "\t\n\r"
        or " " <= character <= "\ud7ff"
        or "\ue000" <= character <= "\ufffd"
        or character > "\uffff"
        else "\ufffd"
        for character in text
    )
    return clean or " "


def message_seeds() -> list[bytes]:
    """For all targets whose input ends with a message."""
    shapes = [bytes([kind]) for kind in range(4)]
    samples = (b"{}", b"[]", b"null", b"{", JOB.encode(), b'{"detail-type":1}', b'{"requestPayload":1}')
    return [*shapes, *(bytes([5]) + sample for sample in samples), b"\2\0\0\1", b"\2\0\0\0\1\3"]


def _batch_seeds(decisions: int) -> list[bytes]:
    """Batches of one message, and of three; so many decisions come before SQS' mood and their number."""
    fine = bytes(decisions)
    three = [fine + b"\0\2" + first + b"\0" * 8 for first in (b"\0", b"\1", b"\2", b"\3")]
    # Without an action, with a token; and SQS does not even take what is to be put aside.
    stuck = [fine + bytes([mood, 0, 0, 1, 0, 1]) for mood in (3, 4)]
    return [fine + b"\0\0" + seed for seed in message_seeds()] + three + stuck


# --- the reader


def dead_work(data: bytes) -> str:
    """A message: dead work with a job that satisfies the contract, or a refusal that quotes nothing."""
    source, mark = Source(data), canary(data)
    body = message_of(source, mark)
    with watched() as output:
        try:
            dead: DeadWork = read(body)
        except PoisonMessage as poison:
            check_error(poison, mark)
            check_text(poison, 2000)
            return "unreadable"
        assert read(body) == dead
    assert not output.getvalue()
    assert dead.shape in SHAPES
    assert mark not in repr(dead)
    assert type(dead.job) is Job, "a token may be in a job that is more than a job"
    assert len(dead.job.to_json()) <= 2 * JOB_MAX_BYTES
    assert mark not in dead.job.to_json()
    assert dead.error is None or dead.error.isprintable()
    assert Job.read_json(dead.job.to_json()) == dead.job
    return dead.shape


# --- the consumers


@cache
def replay_handler() -> Any:
    clients = {"stepfunctions": aws.StepFunctions(), "sqs": aws.Queues()}
    return load_handler("replay.handler", clients, STATE_MACHINE_ARN=MACHINE, QUARANTINE_QUEUE_URL=QUARANTINE)


@cache
def crash_handler() -> Any:
    clients = {"stepfunctions": aws.StepFunctions(), "sqs": aws.Queues()}
    return load_handler("crash.handler", clients, QUARANTINE_QUEUE_URL=QUARANTINE)


@cache
def closing_handler() -> Any:
    clients = {"dynamodb": aws.Table(), "sqs": aws.Queues(), "secretsmanager": aws.Secrets({})}
    handler = load_handler(
        "closing.handler",
        clients,
        IDEMPOTENCY_TABLE="table",
        GITHUB_CREDENTIAL_ARN="github",
        GITHUB_API_URL="https://github.example",
        QUARANTINE_QUEUE_URL=QUARANTINE,
    )
    handler.credential = SimpleNamespace(read=lambda **_: CREDENTIAL)
    handler.close_status = functools.partial(handler.close_status, sleep=_no_sleep)
    return handler


def _no_sleep(seconds: float) -> None:
    assert 0 <= seconds <= WRITE_SECONDS, f"a sleep of {seconds} s"


def replay(data: bytes) -> str:
    """Dead work in the replay queue: its job is started again, or the message is put aside, or given back."""
    source, mark = Source(data), canary(data)
    handler = replay_handler()
    statuses = ("FAILED", "TIMED_OUT", "ABORTED", "RUNNING", "SUCCEEDED")
    existing = [source.pick(statuses) for _ in range(source.below(12) if source.rarely() else 0)]
    machine = aws.StepFunctions(mood=source.pick(aws.MOODS), existing=existing)
    handler.stepfunctions = handler.executions._stepfunctions = machine

    label = _consumed(handler, source, mark, is_fine=machine.mood == "fine")
    assert not machine.ended
    for request in machine.started:
        job = Job.read_json(request["input"])
        assert request["name"].startswith(job.delivery_id)
        assert mark not in request["input"], "a token was started as part of a job"
    return f"started, {label}" if machine.started else label


def crash(data: bytes) -> str:
    """Crashes: the execution hears of each whose token is there; the token goes nowhere else."""
    source, mark = Source(data), canary(data)
    handler = crash_handler()
    machine = aws.StepFunctions(mood=source.pick(aws.MOODS), is_task_open=not source.rarely())
    handler.stepfunctions = machine

    label = _consumed(handler, source, mark, is_fine=machine.mood == "fine")
    assert not machine.started
    assert len(machine.ended) <= 1, "one task ended twice"
    for kind, request in machine.ended:
        assert kind == "failure"
        assert mark not in request["error"] + request["cause"]
        json.loads(request["cause"])
    return f"reported, {label}" if machine.ended else label


def closing(data: bytes) -> str:
    """Ended executions: a commit status is closed at most once a message, and only of what nobody else works on."""
    source, mark = Source(data), canary(data)
    handler = closing_handler()
    table = aws.Table(
        mood=source.pick(("fine", "fine", "fine", "throttled", "forgetful")), work=some_work_record(source)
    )
    breaks = source.pick((None, None, None, GitHubUnavailable("502"), GitHubRefused("GitHub answered 404")))
    github = FakeGitHub()
    if breaks:
        github.refuses_status, github.statuses = breaks, [("pending", "before", None)]
    before = len(github.statuses)
    handler.claims = Claims("table", table)
    handler.connect = lambda *_, **__: github

    # Somebody else's claim gives a message back as well; so does one that a refused message leaves behind.
    is_fine = table.mood == "fine" and table.work is None and breaks is None
    label = _consumed(handler, source, mark, is_fine=is_fine)
    written = github.statuses[before:]
    assert mark not in repr(written) + repr(table.items)
    assert all(state != "pending" and text.isprintable() for state, text, _ in written)
    return f"closed, {label}" if written else label


def _consumed(handler: Any, source: Source, mark: str, *, is_fine: bool) -> str:
    """Runs a batch through a handler.

    Args:
        handler: the module.
        source: where the messages come from.
        mark: what must be told to nobody.
        is_fine: whether all that the handler needs is there, so that it has no reason to give a message back.
    """
    queues = aws.Queues(mood=source.pick(aws.MOODS))
    handler.consumer._sqs = queues
    bodies = [message_of(source, mark) for _ in range(1 + source.below(3))]
    headers = ("", "Root=1-67a0b1c2-0123456789abcdef01234567;Parent=a;Sampled=1", "Root=\ud800", ";=;", "Root=1\n")
    records = [
        {
            "messageId": f"message-{number}",
            "receiptHandle": "handle",
            "body": body,
            "attributes": {"ApproximateReceiveCount": "1", "AWSTraceHeader": source.pick(headers)},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": QUEUE_ARN,
            "awsRegion": "us-east-1",
        }
        for number, body in enumerate(bodies)
    ]
    with watched() as output:
        answer = handler.lambda_handler({"Records": records}, LambdaContext())
    check_log(output, mark, CREDENTIAL)
    returned = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
    assert answer.keys() == {"batchItemFailures"}
    assert len(returned) == len(set(returned))
    assert set(returned) <= {record["messageId"] for record in records}
    for message in queues.sent:
        # Nobody consumes the quarantine: whatever goes there is in no circle.
        assert message["QueueUrl"] == QUARANTINE
        assert message["MessageBody"] in bodies
        attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
        assert attributes["source"] == "a-queue"
        assert mark not in repr(attributes)
    for record in records:
        is_unreadable = _is_unreadable(str(record["body"]))
        is_aside = any(message["MessageBody"] == record["body"] for message in queues.sent)
        if record["messageId"] in returned:
            assert not is_fine or queues.mood != "fine", f"given back without a reason: {output.getvalue()}"
        elif is_unreadable:
            assert is_aside, "an unreadable message is gone"
    return "given back" if returned else "put aside" if queues.sent else "done"


def _is_unreadable(body: str) -> bool:
    try:
        read(body)
    except (PoisonMessage, InvalidContract):
        return True
    return False


HANDLERS: tuple[Callable[[], Any], ...] = (replay_handler, crash_handler, closing_handler)


def replay_seeds() -> list[bytes]:
    return [*_batch_seeds(2), b"\7\13" + b"\0" * 30, b"\7\1\3", *(b"\0\3" + seed for seed in _batch_seeds(0))]


def crash_seeds() -> list[bytes]:
    return [
        *_batch_seeds(2),
        *(b"\0\7" + seed for seed in _batch_seeds(0)),
        *(b"\3\0" + seed for seed in _batch_seeds(0)),
    ]


def closing_seeds() -> list[bytes]:
    phases = [bytes([0, phase, 0, 1, 1, 0, 0, 0, 2]) for phase in range(8)]
    return [*_batch_seeds(3), *phases, *(bytes([0, 0, breaks, 0, 0, 2]) for breaks in (3, 4))]
