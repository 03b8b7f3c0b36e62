from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from processor.callback import CallbackUnavailable
from processor.errors import DeadlineExceeded, TaskOver
from processor.heartbeat import DEADLINE_MARGIN_SECONDS, Heartbeat
from shared.metrics import Metric
from tests.support import CountingTelemetry


class Callback:
    """Step Functions' side; ``heartbeat_error`` is raised by each heartbeat."""

    def __init__(self) -> None:
        self.heartbeats = 0
        self.failures: list[Exception] = []
        self.heartbeat_error: Exception | None = None
        self.fail_error: Exception | None = None
        self.changed = threading.Condition()

    def heartbeat(self) -> None:
        with self.changed:
            self.heartbeats += 1
            self.changed.notify_all()
        if self.heartbeat_error:
            raise self.heartbeat_error

    def fail(self, error: Exception) -> None:
        with self.changed:
            self.failures.append(error)
            self.changed.notify_all()
        if self.fail_error:
            raise self.fail_error

    def wait_until(self, condition: Any) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, timeout=5)


@pytest.fixture
def callback() -> Callback:
    return Callback()


@pytest.fixture
def telemetry() -> CountingTelemetry:
    return CountingTelemetry()


def heartbeat(
    callback: Callback | None, telemetry: CountingTelemetry, remaining: Any = None, interval: float = 0.01
) -> Heartbeat:
    return Heartbeat(callback, remaining or (lambda: 300.0), interval, telemetry)


def test_beats_at_once_and_then_regularly(callback: Callback, telemetry: CountingTelemetry) -> None:
    with heartbeat(callback, telemetry) as watch:
        callback.wait_until(lambda: callback.heartbeats >= 3)
        watch.checkpoint()
    assert telemetry.counted[Metric.HEARTBEAT_SENT] == callback.heartbeats
    assert Metric.HEARTBEAT_LOST not in telemetry.counted


def test_the_first_heartbeat_does_not_wait_for_the_interval(callback: Callback, telemetry: CountingTelemetry) -> None:
    with heartbeat(callback, telemetry, interval=60):
        callback.wait_until(lambda: callback.heartbeats == 1)


def test_nothing_beats_after_the_work(callback: Callback, telemetry: CountingTelemetry) -> None:
    with heartbeat(callback, telemetry):
        callback.wait_until(lambda: callback.heartbeats >= 2)
    count = callback.heartbeats
    time.sleep(0.05)
    assert callback.heartbeats == count


def test_a_lost_heartbeat_is_counted_and_survived(callback: Callback, telemetry: CountingTelemetry) -> None:
    callback.heartbeat_error = CallbackUnavailable("ThrottlingException")
    with heartbeat(callback, telemetry) as watch:
        callback.wait_until(lambda: callback.heartbeats >= 2)
        callback.heartbeat_error = None
        callback.wait_until(lambda: callback.heartbeats >= 4)
        watch.checkpoint()
    assert telemetry.counted[Metric.HEARTBEAT_LOST] >= 1
    assert not watch.is_closed


def test_a_task_that_is_closed_already_is_not_begun(callback: Callback, telemetry: CountingTelemetry) -> None:
    callback.heartbeat_error = TaskOver("TaskTimedOut")
    with pytest.raises(TaskOver), heartbeat(callback, telemetry):
        pytest.fail("the work began")
    assert callback.heartbeats == 1


def test_a_closed_task_stops_the_work(callback: Callback, telemetry: CountingTelemetry) -> None:
    with heartbeat(callback, telemetry) as watch:
        callback.heartbeat_error = TaskOver("TaskTimedOut")
        while not watch.is_closed:
            time.sleep(0.005)
        count = callback.heartbeats
        with pytest.raises(TaskOver):
            watch.checkpoint()
        time.sleep(0.05)
    assert callback.heartbeats == count, "nobody listens any more"
    assert not callback.failures


def test_a_deadline_that_could_not_be_reported_leaves_the_end_to_the_work(
    callback: Callback, telemetry: CountingTelemetry
) -> None:
    callback.fail_error = CallbackUnavailable("ThrottlingException")
    ends = time.monotonic() + DEADLINE_MARGIN_SECONDS + 0.1
    with heartbeat(callback, telemetry, remaining=lambda: ends - time.monotonic(), interval=60) as watch:
        callback.wait_until(lambda: callback.failures)
        with pytest.raises(DeadlineExceeded):
            watch.checkpoint()
    assert not watch.is_closed


def test_the_deadline_is_reported_though_the_work_hangs(callback: Callback, telemetry: CountingTelemetry) -> None:
    ends = time.monotonic() + DEADLINE_MARGIN_SECONDS + 0.1
    with heartbeat(callback, telemetry, remaining=lambda: ends - time.monotonic(), interval=60) as watch:
        callback.wait_until(lambda: callback.failures)  # the work does nothing: it hangs
        with pytest.raises(DeadlineExceeded):
            watch.checkpoint()
    assert [type(failure) for failure in callback.failures] == [DeadlineExceeded]
    assert watch.is_closed


def test_without_a_token_only_the_deadline_is_watched(telemetry: CountingTelemetry) -> None:
    remaining = 300.0
    with heartbeat(None, telemetry, remaining=lambda: remaining) as watch:
        watch.checkpoint()
        remaining = DEADLINE_MARGIN_SECONDS
        with pytest.raises(DeadlineExceeded):
            watch.checkpoint()
    assert not telemetry.counted
