"""The claim is renewed with each heartbeat that Step Functions accepts, and the end of the work is not overtaken."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from processor.callback import CallbackUnavailable
from processor.errors import DeadlineExceeded, TaskOver
from processor.heartbeat import Heartbeat
from pullrequest.errors import WorkInProgress, WorkRecordUnavailable
from shared.metrics import Metric
from tests.support import CountingTelemetry

if TYPE_CHECKING:
    from collections.abc import Callable


class StepFunctions:
    """Accepts heartbeats unless ``refusal`` is set; keeps what the task was failed with."""

    def __init__(self) -> None:
        self.accepted = 0
        self.refused = 0
        self.refusal: Exception | None = None
        self.failures: list[Exception] = []
        self.failure_refusal: Exception | None = None
        self.takes = 0.0

    def heartbeat(self) -> None:
        time.sleep(self.takes)
        if self.refusal:
            self.refused += 1
            raise self.refusal
        self.accepted += 1

    def fail(self, error: Exception) -> None:
        self.failures.append(error)
        if self.failure_refusal:
            raise self.failure_refusal


class Claim:
    """Counts its renewals; each is answered by the next of ``answers``, the last one for ever."""

    def __init__(self, *answers: Callable[[], None]) -> None:
        self._answers = list(answers)
        self.renewals = 0

    def renew(self) -> None:
        self.renewals += 1
        if self._answers:
            (self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])()


def fine() -> None:
    """The table took it."""


def taken() -> None:
    raise WorkInProgress("another attempt has taken the work over")


def away() -> None:
    raise WorkRecordUnavailable("UpdateItem: InternalServerError")


def heartbeat(
    callback: StepFunctions, telemetry: CountingTelemetry | None = None, remaining: Callable[[], float] | None = None
) -> Heartbeat:
    return Heartbeat(callback, remaining or (lambda: 300.0), 0.01, telemetry or CountingTelemetry())


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if condition():
            return
        pause.wait(0.005)
    pytest.fail("in vain waited for")


def test_each_heartbeat_that_was_accepted_renews_the_claim() -> None:
    callback, claim = StepFunctions(), Claim()
    with heartbeat(callback) as watch:
        before = callback.accepted
        watch.keep(claim)
        until(lambda: claim.renewals >= 3)
        watch.checkpoint()
    assert claim.renewals <= callback.accepted - before + 1


def test_confirming_renews_the_claim_too() -> None:
    claim = Claim()
    watch = Heartbeat(StepFunctions(), lambda: 300.0, 60, CountingTelemetry())
    with watch:
        watch.keep(claim)
        watch.confirm()
        assert claim.renewals == 1


def test_a_heartbeat_that_was_lost_renews_nothing() -> None:
    """Who cannot reach Step Functions is no longer known to be the attempt that it waits for."""
    callback, claim = StepFunctions(), Claim()
    watch = Heartbeat(callback, lambda: 300.0, 60, CountingTelemetry())
    with watch:
        watch.keep(claim)
        callback.refusal = CallbackUnavailable("ThrottlingException")
        watch.confirm()
    assert (callback.refused, claim.renewals) == (1, 0)


def test_what_is_no_longer_kept_is_no_longer_renewed() -> None:
    callback, claim = StepFunctions(), Claim()
    with heartbeat(callback) as watch:
        watch.keep(claim)
        until(lambda: claim.renewals >= 1)
        watch.keep(None)
        count, beaten = claim.renewals, callback.accepted
        until(lambda: callback.accepted >= beaten + 3)
    # One may have been under way.
    assert claim.renewals <= count + 1


def test_a_claim_that_was_lost_stops_the_work_and_the_heartbeats() -> None:
    callback, claim = StepFunctions(), Claim(taken)
    with heartbeat(callback) as watch:
        watch.keep(claim)
        until(lambda: claim.renewals == 1)
        watch._thread.join(5)
        assert not watch._thread.is_alive(), "the heartbeats go on"
        with pytest.raises(WorkInProgress):
            watch.checkpoint()
        # The task itself is open: it has to be told.
        assert not watch.is_closed
        watch.require_open()
    assert claim.renewals == 1


def test_a_claim_that_is_let_go_while_it_is_renewed_is_not_lost() -> None:
    """The work ends, and its claim with it, between the heartbeat and the renewal: that is no reason to stop."""
    callback = StepFunctions()
    with heartbeat(callback) as watch:

        def ended() -> None:
            watch.keep(None)
            raise WorkInProgress("another attempt has taken the work over")

        claim = Claim(ended)
        watch.keep(claim)
        until(lambda: claim.renewals == 1)
        beaten = callback.accepted
        until(lambda: callback.accepted >= beaten + 2)
        watch.checkpoint()


def test_a_claim_that_could_not_be_renewed_is_renewed_with_the_next_heartbeat(
    capsys: pytest.CaptureFixture[str],
) -> None:
    telemetry, claim = CountingTelemetry(), Claim(away, fine)
    with heartbeat(StepFunctions(), telemetry) as watch:
        watch.keep(claim)
        until(lambda: claim.renewals >= 3)
        watch.checkpoint()
    assert Metric.HEARTBEAT_LOST not in telemetry.counted


def test_a_deadline_that_comes_with_the_end_of_the_work_is_not_reported() -> None:
    """The attempt's outcome is about to be told; a failure that overtakes it would undo work that is done."""
    callback, reached = StepFunctions(), threading.Event()

    def remaining() -> float:
        if threading.current_thread() is not watch._thread or not callback.accepted:
            return 300.0
        if not asked:
            asked.append(True)
            return 300.0
        # The thread has woken up and looks at the clock: meanwhile the work ends.
        reached.set()
        assert watch._done.wait(5)
        return 0.0

    asked: list[bool] = []
    watch = heartbeat(callback, remaining=remaining)
    with watch:
        assert reached.wait(5)
    assert callback.failures == []
    assert not watch.is_closed


def test_a_deadline_before_the_end_of_the_work_is_reported() -> None:
    callback = StepFunctions()
    with heartbeat(callback, remaining=lambda: 300.0 if threading.current_thread() is main else 0.0) as watch:
        until(lambda: bool(callback.failures))
        until(lambda: watch.is_closed)
        with pytest.raises(TaskOver):
            watch.require_open()
        with pytest.raises(DeadlineExceeded):
            watch.checkpoint()
    assert [type(one) for one in callback.failures] == [DeadlineExceeded]


@pytest.mark.parametrize("left", [20.0, 19.0, 0.0])
def test_the_last_twenty_seconds_are_kept_back(left: float) -> None:
    callback = StepFunctions()
    with heartbeat(callback, remaining=lambda: left) as watch:
        with pytest.raises(DeadlineExceeded):
            watch.checkpoint()
        until(lambda: bool(callback.failures))


def test_before_the_last_twenty_seconds_the_work_goes_on() -> None:
    callback = StepFunctions()
    with heartbeat(callback, remaining=lambda: 20.5) as watch:
        until(lambda: callback.accepted >= 5)
        watch.checkpoint()
    assert callback.failures == []


def test_heartbeats_come_at_their_interval() -> None:
    callback = StepFunctions()
    with heartbeat(callback):
        # Far below a second for ten of them.
        until(lambda: callback.accepted >= 10)


def test_a_heartbeat_under_way_is_waited_for_and_counted() -> None:
    callback, telemetry = StepFunctions(), CountingTelemetry()
    with heartbeat(callback, telemetry) as watch:
        callback.takes = 0.2
        time.sleep(0.1)
    assert not watch._thread.is_alive()
    assert telemetry.counted[Metric.HEARTBEAT_SENT] == callback.accepted


def test_a_heartbeat_that_hangs_does_not_keep_lambda_from_ending_the_process() -> None:
    assert heartbeat(StepFunctions())._thread.daemon


def test_every_lost_heartbeat_is_counted() -> None:
    callback, telemetry = StepFunctions(), CountingTelemetry()
    with heartbeat(callback, telemetry):
        callback.refusal = CallbackUnavailable("ThrottlingException")
        until(lambda: callback.refused >= 3)
    assert telemetry.counted[Metric.HEARTBEAT_LOST] == callback.refused


def test_a_deadline_that_comes_after_the_end_of_the_task_is_not_told_as_one() -> None:
    """The work is told the first reason to stop, also when its time is up by then."""
    callback, left = StepFunctions(), [300.0]
    with heartbeat(callback, remaining=lambda: left[0]) as watch:
        callback.refusal = TaskOver("TaskTimedOut")
        until(lambda: watch.is_closed)
        left[0] = 0.0
        with pytest.raises(TaskOver):
            watch.checkpoint()


def test_a_deadline_that_finds_the_task_closed_closes_the_attempt() -> None:
    callback = StepFunctions()
    callback.failure_refusal = TaskOver("TaskTimedOut")
    with heartbeat(callback, remaining=lambda: 0.0) as watch:
        until(lambda: watch.is_closed)


def test_confirming_asks_at_once_and_says_who_is_not_waited_for() -> None:
    callback, claim = StepFunctions(), Claim(fine, taken)
    with Heartbeat(callback, lambda: 300.0, 60, CountingTelemetry()) as watch:
        watch.keep(claim)
        watch.confirm()
        with pytest.raises(WorkInProgress):
            watch.confirm()
    with Heartbeat(callback, lambda: 300.0, 60, CountingTelemetry()) as watch:
        callback.refusal = TaskOver("TaskTimedOut")
        with pytest.raises(TaskOver):
            watch.confirm()


def test_confirming_does_not_look_at_the_clock_when_the_attempt_is_waited_for() -> None:
    with Heartbeat(StepFunctions(), lambda: 300.0, 60, CountingTelemetry()) as watch:
        watch._remaining = lambda: 0.0
        watch.confirm()


def test_without_a_token_there_is_nobody_to_ask() -> None:
    with Heartbeat(None, lambda: 300.0, 60, CountingTelemetry()) as watch:
        watch.confirm()


main = threading.main_thread()
