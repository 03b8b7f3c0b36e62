"""The claim is renewed with each heartbeat that Step Functions accepts, and the end of the work is not overtaken."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from processor.attendance import Attendance
from processor.callback import CallbackUnavailable
from processor.errors import DeadlineExceeded, TaskClosed, WorkInProgress, WorkRecordUnavailable
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

    def heartbeat(self) -> None:
        if self.refusal:
            self.refused += 1
            raise self.refusal
        self.accepted += 1

    def fail(self, error: Exception) -> None:
        self.failures.append(error)


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


def attendance(
    callback: StepFunctions, telemetry: CountingTelemetry | None = None, remaining: Callable[[], float] | None = None
) -> Attendance:
    return Attendance(callback, remaining or (lambda: 300.0), 0.01, telemetry or CountingTelemetry())


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if condition():
            return
        pause.wait(0.005)
    pytest.fail("in vain waited for")


def test_each_heartbeat_that_was_accepted_renews_the_claim() -> None:
    callback, claim = StepFunctions(), Claim()
    with attendance(callback) as watch:
        before = callback.accepted
        watch.keep(claim)
        until(lambda: claim.renewals >= 3)
        watch.checkpoint()
    assert claim.renewals <= callback.accepted - before + 1


def test_confirming_renews_the_claim_too() -> None:
    claim = Claim()
    watch = Attendance(StepFunctions(), lambda: 300.0, 60, CountingTelemetry())
    with watch:
        watch.keep(claim)
        watch.confirm()
        assert claim.renewals == 1


def test_a_heartbeat_that_was_lost_renews_nothing() -> None:
    """Who cannot reach Step Functions is no longer known to be the attempt that it waits for."""
    callback, claim = StepFunctions(), Claim()
    watch = Attendance(callback, lambda: 300.0, 60, CountingTelemetry())
    with watch:
        watch.keep(claim)
        callback.refusal = CallbackUnavailable("ThrottlingException")
        watch.confirm()
    assert (callback.refused, claim.renewals) == (1, 0)


def test_what_is_no_longer_kept_is_no_longer_renewed() -> None:
    callback, claim = StepFunctions(), Claim()
    with attendance(callback) as watch:
        watch.keep(claim)
        until(lambda: claim.renewals >= 1)
        watch.keep(None)
        count, beaten = claim.renewals, callback.accepted
        until(lambda: callback.accepted >= beaten + 3)
    # One may have been under way.
    assert claim.renewals <= count + 1


def test_a_claim_that_was_lost_stops_the_work_and_the_heartbeats() -> None:
    callback, claim = StepFunctions(), Claim(taken)
    with attendance(callback) as watch:
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
    with attendance(callback) as watch:

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
    with attendance(StepFunctions(), telemetry) as watch:
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
    watch = attendance(callback, remaining=remaining)
    with watch:
        assert reached.wait(5)
    assert callback.failures == []
    assert not watch.is_closed


def test_a_deadline_before_the_end_of_the_work_is_reported() -> None:
    callback = StepFunctions()
    with attendance(callback, remaining=lambda: 300.0 if threading.current_thread() is main else 0.0) as watch:
        until(lambda: bool(callback.failures))
        until(lambda: watch.is_closed)
        with pytest.raises(TaskClosed):
            watch.require_open()
        with pytest.raises(DeadlineExceeded):
            watch.checkpoint()
    assert [type(one) for one in callback.failures] == [DeadlineExceeded]


main = threading.main_thread()
