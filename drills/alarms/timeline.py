"""CloudWatch's time, which the drill moves on: when a moment of the real time was there, and how long things lasted."""

from __future__ import annotations

import bisect
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.cloudwatch.series import Sample

AGES = frozenset({"ApproximateAgeOfOldestMessage", "AsyncEventAge", "OldestExecutionAge"})
"""Metrics that tell how long something has lasted, at the moment of the sample."""
DURATIONS = frozenset({"Duration", "Latency"})
"""Metrics that tell how long something lasted that began at the moment of the sample."""
_PER_SECOND = {"Seconds": 1, "Milliseconds": 1000}


class Timeline:
    """How far CloudWatch's time was ahead of the real one, at each moment of the real one.

    What waits, runs or hangs while the time is moved on, does so for as long as CloudWatch's time says.
    """

    def __init__(self) -> None:
        self._since = [0.0]
        self._ahead = [0.0]

    @property
    def ahead(self) -> float:
        """Seconds, now."""
        return self._ahead[-1]

    def move(self, at: float, seconds: float) -> None:
        """Moves it on.

        Args:
            at: the real time, later than that of the moves before.
            seconds: by so much.
        """
        self._since.append(at)
        self._ahead.append(self.ahead + seconds)

    def moved(self, at: float) -> float:
        """The time that it was in CloudWatch when the real time was this one."""
        return at + self._ahead[bisect.bisect_right(self._since, at) - 1]

    def sample(self, real: Sample) -> Sample:
        """The sample as CloudWatch gets it: at its time, and ages and durations as long as they were there."""
        at, value = self.moved(real.at), real.value
        scale = _PER_SECOND.get(real.unit, 1)
        if real.metric.name in AGES and value > 0:
            value = (at - self.moved(real.at - value / scale)) * scale
        elif real.metric.name in DURATIONS:
            value = (self.moved(real.at + value / scale) - at) * scale
        return replace(real, at=at, value=value)


def later(gauge: Sample, at: float) -> Sample:
    """What a gauge says at a later moment, when nothing has happened since: the same, and ages have grown."""
    grown = gauge.value + (at - gauge.at) if gauge.metric.name in AGES and gauge.value > 0 else gauge.value
    return replace(gauge, at=at, value=grown)
