"""Samples of metrics, and their statistics by period, as CloudWatch has them."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Series = dict[int, float]
"""A statistic by period: the start of each period that has data (seconds since the epoch), and its value."""

_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)")


@dataclass(frozen=True)
class MetricId:
    """What makes a metric: another set of dimensions is another metric."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, namespace: str, name: str, dimensions: Mapping[str, str] | None = None) -> MetricId:
        """With dimensions as a mapping."""
        return cls(namespace, name, frozenset((dimensions or {}).items()))

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={value}" for name, value in sorted(self.dimensions))
        return f"{self.namespace} {self.name} {{{inside}}}"


@dataclass(frozen=True)
class Sample:
    """A value that a metric had, ``count`` times, at a time in seconds since the epoch."""

    metric: MetricId
    at: float
    value: float
    count: float = 1
    unit: str = "None"


class Samples:
    """All samples that there are."""

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self._of: dict[MetricId, list[Sample]] = defaultdict(list)
        self.add(samples)

    def add(self, samples: Iterable[Sample]) -> None:
        """Takes more of them."""
        for sample in samples:
            self._of[sample.metric].append(sample)

    def metrics(self) -> set[MetricId]:
        """Every metric of which there are samples."""
        return {metric for metric, samples in self._of.items() if samples}

    def __iter__(self) -> Iterator[Sample]:
        for samples in self._of.values():
            yield from samples

    def series(
        self, metric: MetricId, statistic: str, period: int, start: float, end: float, *, origin: float = 0
    ) -> Series:
        """The statistic of every period in [start, end) that has samples.

        Args:
            metric: exactly this one.
            statistic: ``Sum``, ``Average``, ``Minimum``, ``Maximum``, ``SampleCount``, or a percentile such as ``p99``.
            period: seconds.
            start: first sample taken.
            end: first sample not taken any more.
            origin: where periods are counted from; a dashboard's begin at multiples of the period.

        Raises:
            ValueError: the statistic is unknown.
        """
        periods: dict[int, list[Sample]] = defaultdict(list)
        for sample in self._of.get(metric, ()):
            if start <= sample.at < end:
                periods[int(origin + (sample.at - origin) // period * period)].append(sample)
        return {at: statistic_of(periods[at], statistic) for at in sorted(periods)}


def statistic_of(samples: Sequence[Sample], statistic: str) -> float:
    """One number for samples, of which there is at least one.

    Raises:
        ValueError: the statistic is unknown.
    """
    count = sum(sample.count for sample in samples)
    match statistic:
        case "Sum":
            return sum(sample.value * sample.count for sample in samples)
        case "SampleCount":
            return count
        case "Average":
            return sum(sample.value * sample.count for sample in samples) / count
        case "Minimum":
            return min(sample.value for sample in samples)
        case "Maximum":
            return max(sample.value for sample in samples)
    percentile = _PERCENTILE.fullmatch(statistic)
    if percentile is None:
        raise ValueError(f"no statistic: {statistic}")
    rank = float(percentile[1]) / 100 * count
    seen = 0.0
    ordered = sorted(samples, key=lambda sample: sample.value)
    for sample in ordered:
        seen += sample.count
        if seen >= rank:
            return sample.value
    return ordered[-1].value
