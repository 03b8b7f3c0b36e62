"""Attends to one attempt while its work runs: heartbeats, the deadline, and the news that nobody waits any more."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from processor.callback import CallbackUnavailable
from processor.errors import DeadlineExceeded, TaskOver
from pullrequest.errors import WorkInProgress, WorkRecordUnavailable
from shared.metrics import Metric

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from processor.callback import Callback
    from pullrequest.claim import Claim
    from shared.telemetry import Telemetry

DEADLINE_MARGIN_SECONDS = 20.0
"""Time kept back at the end of the function's timeout: for a heartbeat that hangs (one attempt), for telling Step
Functions (all attempts), and for writing the logs."""


class Heartbeat:
    """A context manager around the work of one attempt.

    A thread of its own, because the work may hang in a place where nobody asks: it sends heartbeats, and when the
    function's time is nearly up it ends the task itself, while Lambda still lets it.

    Args:
        callback: the way to Step Functions; None when the processor was invoked without a token.
        remaining: seconds until Lambda ends this invocation.
        interval: seconds between heartbeats, at most a third of the state's HeartbeatSeconds.
        telemetry: for metrics and log lines.
    """

    def __init__(
        self, callback: Callback | None, remaining: Callable[[], float], interval: float, telemetry: Telemetry
    ) -> None:
        self._callback = callback
        self._remaining = remaining
        self._interval = interval
        self._telemetry = telemetry
        self._done = threading.Event()
        self._claim: Claim | None = None
        self._stop_reason: type[DeadlineExceeded | TaskOver | WorkInProgress] | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._keep_beating, args=(callback,), name="heartbeat", daemon=True)
        self.heartbeats_sent = 0
        self.heartbeats_lost = 0

    def __enter__(self) -> Self:
        """Raises TaskOver when the task is over already: work for it must not even begin."""
        if self._callback is not None:
            # The first heartbeat at once: the state's clock has been running since the event was queued.
            if not self._beat(self._callback):
                raise TaskOver("the attempt has ended")
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if self._callback is not None:
            self._thread.join()
            # Counted here, by the thread that owns the metrics: theirs is a plain dict.
            self._telemetry.count(Metric.HEARTBEAT_SENT, self.heartbeats_sent)
            if self.heartbeats_lost:
                self._telemetry.count(Metric.HEARTBEAT_LOST, self.heartbeats_lost)

    @property
    def is_closed(self) -> bool:
        """Whether the task is over already, so that no further callback can have an effect."""
        return self._is_closed

    def require_open(self) -> None:
        """Raises TaskOver when no further callback can have an effect."""
        if self._is_closed:
            raise TaskOver("the task was closed while its work was ending")

    def keep(self, claim: Claim | None) -> None:
        """Renews this claim with every heartbeat from now on; None for none."""
        self._claim = claim

    def confirm(self) -> None:
        """Raises TaskOver or WorkInProgress unless this attempt is still the one that is waited for.

        Asks at once, with a heartbeat: the answer before the last one may be half a minute old.
        """
        if self._callback is not None and not self._beat(self._callback):
            self.checkpoint()

    def checkpoint(self) -> None:
        """Raises DeadlineExceeded, TaskOver or WorkInProgress when the work has to stop."""
        if self._stop_reason is None and self._time_left() <= 0:
            raise DeadlineExceeded("the function's time was nearly up")
        if self._stop_reason is not None:
            raise self._stop_reason("the attempt has ended")

    def _time_left(self) -> float:
        return self._remaining() - DEADLINE_MARGIN_SECONDS

    def _keep_beating(self, callback: Callback) -> None:
        while not self._done.wait(max(0.0, min(self._interval, self._time_left()))):
            if self._time_left() <= 0:
                self._give_up(callback)
                return
            if not self._beat(callback):
                return

    def _beat(self, callback: Callback) -> bool:
        """Sends a heartbeat; False when there is no reason to send another."""
        try:
            callback.heartbeat()
        except TaskOver:
            self._stop_reason, self._is_closed = TaskOver, True
            return False
        except CallbackUnavailable as error:
            # One lost heartbeat is no reason to stop: the state waits for several.
            self.heartbeats_lost += 1
            self._telemetry.log.warning("heartbeat lost", error=str(error))
            return True
        self.heartbeats_sent += 1
        # Only now: who cannot reach Step Functions is no longer known to be the attempt that it waits for.
        return self._renew()

    def _renew(self) -> bool:
        """Renews the claim; False when it is lost."""
        claim = self._claim
        if claim is None:
            return True
        try:
            claim.renew()
        except WorkInProgress:
            # Unless the work has ended meanwhile, and the claim with it.
            if self._claim is claim:
                self._stop_reason = WorkInProgress
                return False
        except WorkRecordUnavailable as error:
            self._telemetry.log.warning("claim not renewed", error=str(error))
        return True

    def _give_up(self, callback: Callback) -> None:
        self._stop_reason = DeadlineExceeded
        if self._done.is_set():
            return
        try:
            callback.fail(DeadlineExceeded("the function's time was nearly up"))
            self._is_closed = True
        except TaskOver:
            self._is_closed = True
        except CallbackUnavailable as error:
            # Not closed: if the work ends by itself in the time that is left, its end is reported.
            self._telemetry.log.warning("deadline not reported", error=str(error))
