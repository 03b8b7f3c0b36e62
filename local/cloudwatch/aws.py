"""The metrics that AWS publishes by itself and the embedded AWS does not, worked out from what a local run leaves.

Names, units and sets of dimensions are those of the services' own guides: "Monitoring Step Functions metrics using
Amazon CloudWatch", "Types of metrics for Lambda functions", "Amazon API Gateway dimensions and metrics", "Available
CloudWatch metrics for Amazon SQS", "DynamoDB metrics and dimensions", "Monitoring CloudWatch Logs with CloudWatch
metrics". AWS publishes some of them as zero while the thing is in use (``Errors`` with each invocation, ``5XXError``
with each request, the gauges of a queue each minute), and others only when there is something to count; so does this.

Times are in seconds since the epoch.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.cloudwatch.series import MetricId, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from local.traces import Segment

_ONLY_WHEN = "AWS publishes it only when {}"
NOT_HERE: dict[tuple[str, str], str] = {
    ("AWS/ApiGateway", "IntegrationLatency"): "the embedded AWS does not time the integration by itself",
    ("AWS/DynamoDB", "ConsumedReadCapacityUnits"): "the embedded AWS does not meter capacity",
    ("AWS/DynamoDB", "ConsumedWriteCapacityUnits"): "the embedded AWS does not meter capacity",
    ("AWS/DynamoDB", "ReadThrottleEvents"): _ONLY_WHEN.format("a request is throttled"),
    ("AWS/DynamoDB", "SystemErrors"): _ONLY_WHEN.format("DynamoDB fails"),
    ("AWS/DynamoDB", "ThrottledRequests"): _ONLY_WHEN.format("a request is throttled"),
    ("AWS/DynamoDB", "WriteThrottleEvents"): _ONLY_WHEN.format("a request is throttled"),
    ("AWS/Lambda", "DeadLetterErrors"): _ONLY_WHEN.format("an event cannot be put into a dead-letter queue"),
    ("AWS/Lambda", "DestinationDeliveryFailures"): _ONLY_WHEN.format("a destination cannot be reached"),
    ("AWS/Logs", "EMFParsingErrors"): _ONLY_WHEN.format("a metric cannot be read from a log line"),
    ("AWS/Logs", "EMFValidationErrors"): _ONLY_WHEN.format("a metric in a log line breaks a rule"),
    ("AWS/States", "ExecutionThrottled"): _ONLY_WHEN.format("an execution is throttled"),
    ("AWS/States", "ExecutionsAborted"): _ONLY_WHEN.format("an execution is stopped"),
    ("AWS/States", "ExecutionsFailed"): _ONLY_WHEN.format("an execution fails"),
    ("AWS/States", "ExecutionsTimedOut"): _ONLY_WHEN.format("an execution times out"),
}
"""Why there may be no samples of a metric, by namespace and name."""

_ENDED = {
    "SUCCEEDED": "ExecutionsSucceeded",
    "FAILED": "ExecutionsFailed",
    "TIMED_OUT": "ExecutionsTimedOut",
    "ABORTED": "ExecutionsAborted",
}
_REPORT = re.compile(r"REPORT RequestId: \S+\tDuration: ([\d.]+) ms\t")
_READS = frozenset({"BatchGetItem", "GetItem", "Query", "Scan", "TransactGetItems"})
_WRITES = frozenset({"BatchWriteItem", "DeleteItem", "PutItem", "TransactWriteItems", "UpdateItem"})
_ROUNDING_SECONDS = 0.005
"""The embedded AWS tells times of invocations in whole milliseconds."""
LEFT_OUT_AFTER = 3
"""SQS leaves a message that was received so often, and not deleted, out of the age of the oldest."""


@dataclass(frozen=True)
class Invocation:
    """One invocation of a function, as its log tells of it."""

    start: float
    end: float
    failed: bool
    """The handler raised, the function timed out, or its process died."""


@dataclass(frozen=True)
class Queued:
    """A message in a queue."""

    id: str
    sent: float
    """When it was; in a dead-letter queue, when it was moved there."""
    is_visible: bool
    received: int = 0
    """How often it was received from this queue."""


# Step Functions


def executions(items: Iterable[Mapping[str, Any]]) -> Iterator[Sample]:
    """AWS/States by StateMachineArn.

    Args:
        items: executions as ListExecutions tells of them.
    """
    for one in items:
        machine = {"StateMachineArn": one["stateMachineArn"]}
        started: datetime = one["startDate"]
        yield _count("AWS/States", "ExecutionsStarted", machine, started.timestamp())
        ended: datetime | None = one.get("stopDate")
        if one["status"] in _ENDED and ended is not None:
            yield _count("AWS/States", _ENDED[one["status"]], machine, ended.timestamp())
            took = (ended - started).total_seconds() * 1000
            yield Sample(
                MetricId.of("AWS/States", "ExecutionTime", machine), ended.timestamp(), took, unit="Milliseconds"
            )


# Lambda


def invocations(lines: Iterable[tuple[int, str]]) -> Iterator[Invocation]:
    """The invocations that lines of one log stream tell of, each from its REPORT line.

    The embedded AWS writes the lines of an invocation when it has ended, in the order START, what the function wrote, a
    traceback or a reason if it failed, END, REPORT.

    Args:
        lines: each one's time in milliseconds since the epoch, and its text, in the order in which they were written.
    """
    said: list[str] = []
    for written_ms, line in lines:
        if line.startswith("START RequestId: "):
            said = []
        elif report := _REPORT.match(line):
            end = written_ms / 1000
            yield Invocation(end - float(report[1]) / 1000, end, _has_failed(said))
        elif line.strip() and not line.startswith("END RequestId: "):
            said.append(line)


def _has_failed(said: Sequence[str]) -> bool:
    # What a function logs is JSON, tracebacks included: one that stands by itself is the runtime's.
    if "Traceback (most recent call last):" in said:
        return True
    return bool(said) and said[-1].startswith(("Worker process died", "Worker init failed: ", "Task timed out after "))


def function(name: str, done: Sequence[Invocation], handled: Sequence[Segment]) -> Iterator[Sample]:
    """AWS/Lambda by FunctionName, for every kind of invocation. Lambda dates all of it to the invocation's start.

    Args:
        name: the function's.
        done: its invocations.
        handled: the segments of its handler. As on AWS, the duration is the handler's: the embedded AWS counts the
            start of the process, and the wait for one, as part of an invocation.
    """
    dimensions = {"FunctionName": name}
    ran = _handler_times(done, handled)
    starts, ends = sorted(start for start, _ in ran), sorted(end for _, end in ran)
    for one, (start, end) in zip(done, ran, strict=True):
        yield _count("AWS/Lambda", "Invocations", dimensions, start)
        yield _count("AWS/Lambda", "Errors", dimensions, start, int(one.failed))
        yield _count("AWS/Lambda", "Throttles", dimensions, start, 0)
        duration = MetricId.of("AWS/Lambda", "Duration", dimensions)
        yield Sample(duration, start, (end - start) * 1000, unit="Milliseconds")
        running = bisect_right(starts, start) - bisect_right(ends, start)
        yield _count("AWS/Lambda", "ConcurrentExecutions", dimensions, start, max(running, 1))


def _handler_times(done: Sequence[Invocation], handled: Sequence[Segment]) -> list[tuple[float, float]]:
    """When the handler of each invocation began and ended; the invocation's own times where it sent no segment."""
    by_end = sorted(handled, key=lambda one: one.end)
    ends = [one.end for one in by_end]
    taken: set[str] = set()
    times = [(one.start, one.end) for one in done]
    # A handler ends right before its invocation does: of those that are left, the last one to end is its own.
    for number, one in sorted(enumerate(done), key=lambda numbered: numbered[1].end):
        first = bisect_left(ends, one.start - _ROUNDING_SECONDS)
        last = bisect_right(ends, one.end + _ROUNDING_SECONDS)
        own = next(
            (
                segment
                for segment in reversed(by_end[first:last])
                if segment.id not in taken and segment.start >= one.start - _ROUNDING_SECONDS
            ),
            None,
        )
        if own is not None:
            taken.add(own.id)
            times[number] = (own.start, own.end)
    return times


def asynchronous(
    name: str, done: Iterable[Invocation], invokes: Iterable[Segment], handled: Iterable[Segment]
) -> Iterator[Sample]:
    """AWS/Lambda by FunctionName, for a function that is invoked asynchronously and never retried by Lambda.

    An event that is not retried is dropped when its invocation fails, whether or not a destination takes it.

    Args:
        name: the function's.
        done: its invocations.
        invokes: the calls that invoked it.
        handled: the segments of its handler.
    """
    dimensions = {"FunctionName": name}
    waiting: dict[str, list[Segment]] = defaultdict(list)
    for call in sorted(invokes, key=lambda one: one.start):
        if call.problem is None:
            yield _count("AWS/Lambda", "AsyncEventsReceived", dimensions, call.end)
            waiting[call.trace_id].append(call)
    # A trace has one attempt after the other: a handler is of the last call before it that is left. An earlier one's
    # handler died, and sent nothing.
    for handler in sorted(handled, key=lambda one: one.start):
        calls = waiting[handler.trace_id]
        before = [call for call in calls if call.start <= handler.start]
        if before:
            waiting[handler.trace_id] = [call for call in calls if call.start > handler.start]
            age = max(handler.start - before[-1].end, 0) * 1000
            metric = MetricId.of("AWS/Lambda", "AsyncEventAge", dimensions)
            yield Sample(metric, handler.start, age, unit="Milliseconds")
    for one in done:
        yield _count("AWS/Lambda", "AsyncEventsDropped", dimensions, one.end, int(one.failed))


# API Gateway


def requests(api: str, stage: str, segments: Iterable[Segment]) -> Iterator[Sample]:
    """AWS/ApiGateway by ApiName and Stage.

    Errors are counted by the status that the client saw. AWS counts a gateway response with a modified status code as
    4XXError, whatever the code; the template modifies none, and its test holds that.

    Args:
        api: the REST API's name.
        stage: the stage's.
        segments: those that the API sent, one a request.
    """
    dimensions = {"ApiName": api, "Stage": stage}
    for one in segments:
        status = one.status or 0
        yield _count("AWS/ApiGateway", "Count", dimensions, one.start)
        yield _count("AWS/ApiGateway", "4XXError", dimensions, one.start, int(400 <= status < 500))
        yield _count("AWS/ApiGateway", "5XXError", dimensions, one.start, int(status >= 500))
        latency = MetricId.of("AWS/ApiGateway", "Latency", dimensions)
        yield Sample(latency, one.start, (one.end - one.start) * 1000, unit="Milliseconds")


# SQS


def queue(name: str, messages: Sequence[Queued], at: float) -> Iterator[Sample]:
    """The gauges of AWS/SQS by QueueName, at one moment.

    A message whose consumer fails again and again is seen in the numbers alone, not in the age.

    Args:
        name: the queue's.
        messages: what is in it.
        at: the moment.
    """
    dimensions = {"QueueName": name}
    visible = sum(one.is_visible for one in messages)
    yield _count("AWS/SQS", "ApproximateNumberOfMessagesVisible", dimensions, at, visible)
    yield _count("AWS/SQS", "ApproximateNumberOfMessagesNotVisible", dimensions, at, len(messages) - visible)
    age = max((at - one.sent for one in messages if one.received < LEFT_OUT_AFTER), default=0)
    yield Sample(MetricId.of("AWS/SQS", "ApproximateAgeOfOldestMessage", dimensions), at, max(age, 0), unit="Seconds")


def sent(name: str, messages: Iterable[Queued], at: float) -> Iterator[Sample]:
    """NumberOfMessagesSent of AWS/SQS by QueueName: zero at the moment, and one for each message that is new.

    What was sent and taken between two looks at the queue was never seen: it is at least that many.

    Args:
        name: the queue's.
        messages: those that were not there at the look before.
        at: the moment of this look.
    """
    dimensions = {"QueueName": name}
    yield _count("AWS/SQS", "NumberOfMessagesSent", dimensions, at, 0)
    for one in messages:
        yield _count("AWS/SQS", "NumberOfMessagesSent", dimensions, one.sent)


# DynamoDB


def table(name: str, calls: Iterable[Segment]) -> Iterator[Sample]:
    """AWS/DynamoDB by TableName and Operation, and throttling also by TableName alone.

    Args:
        name: the table's.
        calls: the calls that were made for it, each with its retries.
    """
    for one in calls:
        if one.operation not in _READS | _WRITES:
            continue
        by_operation = {"TableName": name, "Operation": one.operation}
        if one.problem is None:
            latency = MetricId.of("AWS/DynamoDB", "SuccessfulRequestLatency", by_operation)
            yield Sample(latency, one.start, (one.end - one.start) * 1000, unit="Milliseconds")
        elif one.problem == "throttle":
            yield _count("AWS/DynamoDB", "ThrottledRequests", by_operation, one.start)
            kind = "ReadThrottleEvents" if one.operation in _READS else "WriteThrottleEvents"
            yield _count("AWS/DynamoDB", kind, {"TableName": name}, one.start)


# CloudWatch Logs


def log_group(name: str, events: Iterable[tuple[int, str]]) -> Iterator[Sample]:
    """IncomingLogEvents and IncomingBytes of AWS/Logs by LogGroupName: each upload as one sample.

    Args:
        name: the group's.
        events: each one's time in milliseconds since the epoch, and its message.
    """
    uploads: dict[int, list[int]] = defaultdict(list)
    for at_ms, message in events:
        uploads[at_ms].append(len(message.encode()))
    for at_ms, sizes in uploads.items():
        dimensions = {"LogGroupName": name}
        yield _count("AWS/Logs", "IncomingLogEvents", dimensions, at_ms / 1000, len(sizes))
        metric = MetricId.of("AWS/Logs", "IncomingBytes", dimensions)
        yield Sample(metric, at_ms / 1000, sum(sizes), unit="Bytes")


def metric_errors(name: str, parsing_errors: int, validation_errors: int, at: float) -> Iterator[Sample]:
    """EMFParsingErrors and EMFValidationErrors of AWS/Logs by LogGroupName.

    Args:
        name: the group's.
        parsing_errors: documents that could not be read.
        validation_errors: metrics that broke a rule.
        at: when they were logged.
    """
    for metric, count in (("EMFParsingErrors", parsing_errors), ("EMFValidationErrors", validation_errors)):
        if count:
            yield _count("AWS/Logs", metric, {"LogGroupName": name}, at, count)


def _count(namespace: str, name: str, dimensions: Mapping[str, str], at: float, value: float = 1) -> Sample:
    return Sample(MetricId.of(namespace, name, dimensions), at, value, unit="Count")
