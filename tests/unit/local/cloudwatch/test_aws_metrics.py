"""The metrics of AWS itself: what a run leaves, and what is made of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from local.cloudwatch import aws
from local.cloudwatch.aws import Invocation, Queued
from local.cloudwatch.series import Samples, Series
from local.traces import Segment
from tests.aws_published import PUBLISHED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.cloudwatch.series import Sample

MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:test-processor"
START = "START RequestId: 1 Version: 3"
END = "END RequestId: 1"


def report(milliseconds: int) -> str:
    return (
        f"REPORT RequestId: 1\tDuration: {milliseconds} ms\tBilled Duration: {milliseconds} ms\tMemory Size: 128 MB"
        "\tMax Memory Used: 90 MB"
    )


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def segment(start: float, end: float, **fields: Any) -> Segment:
    own = {"id": f"{start}-{end}", "trace_id": "1-trace", "parent_id": None, "name": "test"}
    return Segment(start=start, end=end, **(own | fields))


def series(samples: Iterable[Sample], name: str, statistic: str = "Sum", **dimensions: str) -> Series:
    """By the second."""
    found = Samples(samples)
    (metric,) = {one for one in found.metrics() if one.name == name and not dimensions.items() - set(one.dimensions)}
    return found.series(metric, statistic, 1, 0, 10_000)


def test_executions_by_what_they_came_to() -> None:
    samples = list(
        aws.executions(
            [
                {"stateMachineArn": MACHINE, "status": "SUCCEEDED", "startDate": at(10), "stopDate": at(12.5)},
                {"stateMachineArn": MACHINE, "status": "FAILED", "startDate": at(11), "stopDate": at(12)},
                {"stateMachineArn": MACHINE, "status": "TIMED_OUT", "startDate": at(11), "stopDate": at(13)},
                {"stateMachineArn": MACHINE, "status": "ABORTED", "startDate": at(11), "stopDate": at(14)},
                {"stateMachineArn": MACHINE, "status": "RUNNING", "startDate": at(15)},
            ]
        )
    )
    assert {one.metric.dimensions for one in samples} == {frozenset({("StateMachineArn", MACHINE)})}
    assert series(samples, "ExecutionsStarted") == {10: 1, 11: 3, 15: 1}
    assert series(samples, "ExecutionsSucceeded") == {12: 1}
    assert series(samples, "ExecutionsFailed") == {12: 1}
    assert series(samples, "ExecutionsTimedOut") == {13: 1}
    assert series(samples, "ExecutionsAborted") == {14: 1}
    assert series(samples, "ExecutionTime", "Maximum") == {12: 2500, 13: 2000, 14: 3000}


@pytest.mark.parametrize(
    ("said", "failed"),
    [
        ([], False),
        (['{"level": "INFO", "message": "done"}'], False),
        (['{"level": "ERROR", "exception": "Traceback (most recent call last):\\n"}'], False),
        (["Worker process died", '{"message": "no, it said so itself"}'], False),
        (['{"message": "on it"}', "Worker process died"], True),
        (["Task timed out after 60.00 seconds"], True),
        (["Worker init failed: No module named 'webhook.nowhere'"], True),
        (["Traceback (most recent call last):", '  File "handler.py"', "ValueError: no"], True),
    ],
)
def test_an_invocation_in_a_log(said: list[str], failed: bool) -> None:
    lines = [START, *said, END, report(1500)]
    assert list(aws.invocations((20_000, line) for line in lines)) == [Invocation(18.5, 20.0, failed)]


def test_invocations_of_one_stream_are_told_apart() -> None:
    lines = [START, "Worker process died", END, report(10), START, END, report(20)]
    assert [one.failed for one in aws.invocations((1000, line) for line in lines)] == [True, False]


def test_an_invocation_that_has_not_ended_is_none() -> None:
    assert list(aws.invocations([(1000, START), (1000, "{}")])) == []


def test_a_function_is_measured_by_its_handler() -> None:
    # The process was started for three seconds before the handler began.
    done = [Invocation(10.0, 13.2, failed=False), Invocation(20.0, 20.5, failed=True)]
    samples = list(aws.function("test", done, [segment(13.0, 13.198)]))
    assert {one.metric.dimensions for one in samples} == {frozenset({("FunctionName", "test")})}
    assert series(samples, "Invocations") == {13: 1, 20: 1}
    assert series(samples, "Errors") == {13: 0, 20: 1}
    assert series(samples, "Throttles") == {13: 0, 20: 0}
    # What sent no segment is measured by its log.
    assert series(samples, "Duration") == {13: pytest.approx(198), 20: 500}


def test_handlers_that_run_at_once_each_have_their_own_invocation() -> None:
    done = [Invocation(10.0, 10.4, failed=False), Invocation(10.0, 10.6, failed=False)]
    samples = list(aws.function("test", done, [segment(10.1, 10.395), segment(10.1, 10.595)]))
    assert series(samples, "Duration", "Minimum") == {10: pytest.approx(295)}
    assert series(samples, "Duration", "Maximum") == {10: pytest.approx(495)}
    assert series(samples, "ConcurrentExecutions", "Maximum") == {10: 2}


def test_invocations_in_the_same_milliseconds_are_all_counted() -> None:
    samples = list(aws.function("test", [Invocation(10.0, 10.0, failed=False)] * 3, []))
    assert series(samples, "Invocations") == {10: 3}
    assert series(samples, "ConcurrentExecutions", "Minimum") == {10: 1}


def test_one_after_the_other_is_not_at_once() -> None:
    done = [Invocation(10.0, 11.0, failed=False), Invocation(11.0, 12.0, failed=False)]
    assert series(aws.function("test", done, []), "ConcurrentExecutions", "Maximum") == {10: 1, 11: 1}


def test_events_of_a_function_that_is_invoked_asynchronously() -> None:
    invokes = [segment(10, 10.1), segment(11, 11.1), segment(12, 12.1, problem="fault")]
    handled = [segment(10.4, 10.9), segment(11.2, 11.3)]
    done = [Invocation(10.2, 10.9, failed=False), Invocation(11.2, 11.3, failed=True)]
    samples = list(aws.asynchronous("test", done, invokes, handled))
    # A call that was not taken is no event.
    assert series(samples, "AsyncEventsReceived") == {10: 1, 11: 1}
    assert series(samples, "AsyncEventAge") == {10: pytest.approx(300), 11: pytest.approx(100)}
    assert series(samples, "AsyncEventsDropped") == {10: 0, 11: 1}


def test_a_handler_that_died_leaves_its_event_to_nobody() -> None:
    # The first attempt's handler sent no segment; the second one's is of the second call.
    samples = list(aws.asynchronous("test", [], [segment(10, 10.1), segment(20, 20.1)], [segment(20.3, 21)]))
    assert series(samples, "AsyncEventAge") == {20: pytest.approx(200)}


def test_a_handler_of_another_trace_is_not_of_this_call() -> None:
    samples = list(aws.asynchronous("test", [], [segment(10, 10.1)], [segment(11, 12, trace_id="1-other")]))
    assert {one.metric.name for one in samples} == {"AsyncEventsReceived"}


def test_requests_by_their_status() -> None:
    requests = [segment(10, 10.2, status=202), segment(11, 11.1, status=401), segment(12, 12.1, status=503)]
    samples = list(aws.requests("test-webhook", "live", requests))
    assert {one.metric.dimensions for one in samples} == {frozenset({("ApiName", "test-webhook"), ("Stage", "live")})}
    assert series(samples, "Count") == {10: 1, 11: 1, 12: 1}
    # With each request, so that their average is the rate of errors.
    assert series(samples, "4XXError") == {10: 0, 11: 1, 12: 0}
    assert series(samples, "5XXError") == {10: 0, 11: 0, 12: 1}
    assert series(samples, "Latency", "p99")[10] == pytest.approx(200)


def test_the_gauges_of_a_queue() -> None:
    messages = [Queued("a", 90, is_visible=True), Queued("b", 95, is_visible=False), Queued("c", 99, is_visible=True)]
    samples = list(aws.queue("test", messages, 100))
    assert {one.metric.dimensions for one in samples} == {frozenset({("QueueName", "test")})}
    assert series(samples, "ApproximateNumberOfMessagesVisible") == {100: 2}
    assert series(samples, "ApproximateNumberOfMessagesNotVisible") == {100: 1}
    assert series(samples, "ApproximateAgeOfOldestMessage") == {100: 10}


@pytest.mark.parametrize(
    ("received", "age"), [((0, 0), 50), ((2, 0), 50), ((3, 0), 10), ((4, 2), 10), ((3, 3), 0), ((100, 3), 0)], ids=str
)
def test_the_age_leaves_out_what_was_received_three_times(received: tuple[int, int], age: float) -> None:
    # "if a message is received three or more times and not deleted, SQS moves it to the back of the queue. The metric
    # then reflects the age of the next message that hasn't exceeded the receive threshold. This reordering occurs even
    # when a redrive policy is in place." ("Available CloudWatch metrics for Amazon SQS", ApproximateAgeOfOldestMessage)
    old, young = received
    messages = [Queued("old", 50, is_visible=False, received=old), Queued("young", 90, is_visible=True, received=young)]
    samples = list(aws.queue("test", messages, 100))
    assert series(samples, "ApproximateAgeOfOldestMessage") == {100: age}
    # It is counted all the same, in the consumer's hands or not.
    assert series(samples, "ApproximateNumberOfMessagesVisible") == {100: 1}
    assert series(samples, "ApproximateNumberOfMessagesNotVisible") == {100: 1}


def test_an_empty_queue_is_zero_not_nothing() -> None:
    samples = list(aws.queue("test", [], 100))
    assert {one.metric.name: one.value for one in samples} == {
        "ApproximateNumberOfMessagesVisible": 0,
        "ApproximateNumberOfMessagesNotVisible": 0,
        "ApproximateAgeOfOldestMessage": 0,
    }
    assert series(aws.sent("test", [], 100), "NumberOfMessagesSent") == {100: 0}


def test_messages_are_sent_when_they_were() -> None:
    assert series(aws.sent("test", [Queued("a", 98, is_visible=True)], 100), "NumberOfMessagesSent") == {98: 1, 100: 0}


def test_calls_of_a_table_by_operation() -> None:
    calls = [
        segment(10, 10.004, operation="GetItem"),
        segment(11, 11.008, operation="PutItem"),
        segment(12, 12.001, operation="PutItem", problem="error"),
        segment(13, 13.001, operation="PutItem", problem="throttle"),
        segment(14, 14.001, operation="GetItem", problem="throttle"),
        segment(15, 15.001, operation="DescribeTable"),
    ]
    samples = list(aws.table("records", calls))
    latency = "SuccessfulRequestLatency"
    assert series(samples, latency, TableName="records", Operation="GetItem") == {10: pytest.approx(4)}
    assert series(samples, latency, TableName="records", Operation="PutItem") == {11: pytest.approx(8)}
    assert series(samples, "ThrottledRequests", Operation="PutItem") == {13: 1}
    assert series(samples, "WriteThrottleEvents") == {13: 1}
    assert series(samples, "ReadThrottleEvents") == {14: 1}


def test_a_log_group_counts_what_came_in() -> None:
    samples = list(aws.log_group("/test", [(1000, "four"), (1000, "é"), (2000, "x")]))
    assert series(samples, "IncomingLogEvents") == {1: 2, 2: 1}
    assert series(samples, "IncomingBytes") == {1: 6, 2: 1}


def test_mistakes_in_metrics_are_told_when_there_are_some() -> None:
    assert list(aws.metric_errors("/test", 0, 0, 10)) == []
    assert series(aws.metric_errors("/test", 0, 2, 10), "EMFValidationErrors") == {10: 2}
    assert series(aws.metric_errors("/test", 3, 0, 10), "EMFParsingErrors") == {10: 3}


def test_every_metric_is_one_that_aws_publishes() -> None:
    done = [Invocation(10, 11, failed=True)]
    ended = {"stateMachineArn": MACHINE, "startDate": at(1), "stopDate": at(2)}
    calls = [
        segment(1, 2, operation=operation, problem=problem)
        for operation in ("GetItem", "PutItem")
        for problem in (None, "throttle")
    ]
    samples = [
        *aws.executions([ended | {"status": one} for one in ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")]),
        *aws.function("test", done, []),
        *aws.asynchronous("test", done, [segment(1, 2)], [segment(3, 4)]),
        *aws.requests("api", "live", [segment(1, 2, status=200)]),
        *aws.queue("test", [], 1),
        *aws.sent("test", [], 1),
        *aws.table("test", calls),
        *aws.log_group("/test", [(1, "x")]),
        *aws.metric_errors("/test", 1, 1, 1),
    ]
    for metric in {one.metric for one in samples}:
        assert {name for name, _ in metric.dimensions} in PUBLISHED[metric.namespace][metric.name], metric
    for namespace, name in aws.NOT_HERE:
        assert name in PUBLISHED[namespace]
