"""Logs and traces that are read bit by bit: everything once, whatever comes late."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from local.cloudwatch import collect
from local.cloudwatch.aws import Queued
from local.cloudwatch.series import MetricId, Samples

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NAMESPACE = "Pullback/test"


def metric_line(name: str, value: float, at_ms: int) -> str:
    return json.dumps(
        {
            "_aws": {
                "Timestamp": at_ms,
                "CloudWatchMetrics": [
                    {"Namespace": NAMESPACE, "Dimensions": [["service"]], "Metrics": [{"Name": name, "Unit": "Count"}]}
                ],
            },
            "service": "test",
            name: [value],
        }
    )


class Logs:
    """A log group, as the embedded AWS gives it: ordered by time, from a time on, never more than a page."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def write(self, at_ms: int, *messages: str, stream: str = "stream") -> None:
        self.events += [{"timestamp": at_ms, "message": one, "logStreamName": stream} for one in messages]

    def filter_log_events(self, logGroupName: str, startTime: int) -> dict[str, Any]:  # noqa: N803 - boto3's
        found = [one for one in self.events if one["timestamp"] >= startTime]
        return {"events": sorted(found, key=lambda one: one["timestamp"])[: collect.PAGE]}


def total(group: collect._LogGroup, name: str) -> float:
    metric = MetricId.of(NAMESPACE, name, {"service": "test"})
    return sum(Samples(group.samples).series(metric, "Sum", 60, 0, 1e12).values())


def test_what_was_read_is_not_read_again() -> None:
    logs = Logs()
    group = collect._LogGroup(logs, "/test")
    logs.write(100_000, metric_line("Done", 1, 100_000))
    group.read()
    group.read()
    assert total(group, "Done") == 1
    logs.write(100_500, metric_line("Done", 2, 100_500))
    group.read()
    assert total(group, "Done") == 3


def test_the_same_line_twice_in_one_millisecond_counts_twice() -> None:
    logs = Logs()
    group = collect._LogGroup(logs, "/test")
    line = metric_line("Done", 1, 100_000)
    logs.write(100_000, line, line)
    group.read()
    logs.write(100_000, line)
    group.read()
    assert total(group, "Done") == 3


def test_what_is_stored_late_is_not_missed() -> None:
    logs = Logs()
    group = collect._LogGroup(logs, "/test")
    logs.write(100_000, metric_line("Done", 1, 100_000))
    group.read()
    # Another worker's invocation, which ended before and was stored after.
    logs.write(100_000 - collect.LATE_MS, metric_line("Done", 1, 98_000), stream="other")
    group.read()
    assert total(group, "Done") == 2


def test_more_than_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "PAGE", 10)
    logs = Logs()
    for second in range(50):
        logs.write(second * 1000, metric_line("Done", 1, second * 1000))
    group = collect._LogGroup(logs, "/test")
    group.read()
    assert total(group, "Done") == 50


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=30))
def test_in_whatever_bits_it_is_read(writes: list[tuple[int, bool]]) -> None:
    logs = Logs()
    group = collect._LogGroup(logs, "/test")
    newest = 0
    for number, (step, reads) in enumerate(writes):
        # At most so late as is waited for.
        at_ms = max(newest - collect.LATE_MS, 0) + step * 150
        newest = max(newest, at_ms)
        logs.write(at_ms, metric_line("Done", 1, at_ms), stream=str(number % 3))
        if reads:
            group.read()
    group.read()
    assert total(group, "Done") == len(writes)


def test_invocations_and_mistakes_are_found_in_the_lines() -> None:
    logs = Logs()
    group = collect._LogGroup(logs, "/test")
    report = "REPORT RequestId: 1\tDuration: 40 ms\tBilled Duration: 40 ms"
    logs.write(5000, "START RequestId: 1 Version: 1", '{"_aws": 1}', "END RequestId: 1", report, stream="a")
    logs.write(5000, "START RequestId: 2 Version: 1", "Worker process died", "END RequestId: 2", report, stream="b")
    group.read()
    assert sorted(one.failed for one in group.invocations) == [False, True]
    errors = MetricId.of("AWS/Logs", "EMFParsingErrors", {"LogGroupName": "/test"})
    assert Samples(group.samples).series(errors, "Sum", 60, 0, 100) == {0: 1}


def listed(received: int, **attributes: str) -> dict[str, Any]:
    message = {
        "MessageId": "m",
        "IsVisible": True,
        "ReceiveCount": received,
        "Attributes": {"SentTimestamp": "50000", **attributes},
    }
    return {"messages": {"000000000000": {"us-east-1": {"http://localhost/000000000000/work": [message]}}}}


def test_messages_are_those_that_are_listed() -> None:
    assert collect._Messages().read(listed(4), 100) == {"work": [Queued("m", 50, is_visible=True, received=4)]}


def test_a_dead_letter_queue_begins_to_count_when_a_message_is_moved_there() -> None:
    # "When a message is moved to a DLQ after exceeding the maxReceiveCount, the age resets. In that case, the DLQ's
    # metric reflects the time the message was moved—not when it was originally sent." ("Available CloudWatch metrics
    # for Amazon SQS", ApproximateAgeOfOldestMessage)
    messages = collect._Messages()
    source = {"DeadLetterQueueSourceArn": "arn:aws:sqs:us-east-1:000000000000:source"}
    assert messages.read(listed(5, **source), 100) == {"work": [Queued("m", 100, is_visible=True, received=0)]}
    assert messages.read(listed(8, **source), 160) == {"work": [Queued("m", 100, is_visible=True, received=3)]}


def document(number: int, **fields: Any) -> str:
    own = {
        "trace_id": "1-a",
        "id": f"{number:016x}",
        "name": "test",
        "start_time": 10 + number,
        "end_time": 11 + number,
    }
    return json.dumps(own | fields)


def test_segments_that_are_being_written(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    found = collect._Traces(file)
    found.read()
    assert list(found.segments) == []
    whole, half = document(1) + "\n", document(2)
    file.write_text(whole + half[:30])
    found.read()
    assert [one.start for one in found.segments] == [11]
    with file.open("a") as out:
        out.write(half[30:] + "\n" + document(3) + "\n")
    found.read()
    found.read()
    assert [one.start for one in found.segments] == [11, 12, 13]


def test_a_segment_in_progress_is_taken_when_it_has_ended(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    found = collect._Traces(file)
    file.write_text(document(1, end_time=None, in_progress=True) + "\n")
    found.read()
    assert list(found.segments) == []
    with file.open("a") as out:
        out.write(document(1) + "\n")
    found.read()
    assert [(one.start, one.end) for one in found.segments] == [(11, 12)]


def test_segments_by_what_they_are(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    lines = [
        document(1, name="dynamodb", aws={"operation": "GetItem"}),
        document(2, name="lambda", aws={"operation": "Invoke"}),
        document(3, origin="AWS::ApiGateway::Stage"),
    ]
    file.write_text("\n".join(lines) + "\n")
    found = collect._Traces(file)
    found.read()
    assert [one.start for one in found.named("dynamodb")] == [11]
    assert [one.start for one in found.calls("Invoke")] == [12]
    assert [one.start for one in found.of_origin("AWS::ApiGateway::Stage")] == [13]


def test_a_group_and_what_its_function_calls_itself() -> None:
    resources = collect.Resources("stack", ("/aws/lambda/stack-task",), {"/aws/lambda/stack-task": "F1"}, (), (), ())
    assert resources.service("/aws/lambda/stack-task") == "task"
    assert resources.function("task") == "F1"
