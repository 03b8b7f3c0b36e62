"""The state of an alarm, from its definition and the samples that there are.

Follows "Using Amazon CloudWatch alarms" and "Configuring how CloudWatch alarms treat missing data" of the CloudWatch
guide. Two things the guide leaves open are decided here: how many periods more than ``EvaluationPeriods`` are looked at
(2, as in its examples), and that an alarm which has nothing but a few young breaching datapoints has too little data.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local.cloudwatch.expression import evaluate_all
from local.cloudwatch.series import MetricId, Sample, Samples, Series, statistic_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OK, ALARM, INSUFFICIENT_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"

EXTRA_PERIODS = 2
"""Looked at besides the evaluation periods, for real datapoints in the place of missing ones."""

_COMPARISONS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}
_TREATMENTS = frozenset({"missing", "ignore", "breaching", "notBreaching"})


@dataclass(frozen=True)
class Verdict:
    """``OK``, ``ALARM`` or ``INSUFFICIENT_DATA``, and why in a sentence."""

    state: str
    reason: str


def metrics_of(alarm: Mapping[str, Any]) -> set[MetricId]:
    """The metrics that an alarm looks at."""
    return {_metric(query["MetricStat"]["Metric"]) for query in _queries(alarm) if "MetricStat" in query}


def evaluate(alarm: Mapping[str, Any], samples: Samples, now: float, current_state: str) -> Verdict:
    """The state that the alarm has now.

    The window slides: an alarm is evaluated each minute (each ten seconds if its period is shorter than a minute), over
    the periods that end there. What the minute brings that is not over yet, the next evaluation sees.

    Args:
        alarm: in the shape of PutMetricAlarm's request.
        samples: a metric is exactly one set of dimensions.
        now: seconds since the epoch.
        current_state: which ``TreatMissingData: ignore`` keeps.

    Raises:
        ValueError: the alarm is none that CloudWatch would take; the message names what is wrong.
    """
    if alarm["ComparisonOperator"] not in _COMPARISONS:
        raise ValueError(f"ComparisonOperator cannot be {alarm['ComparisonOperator']}")
    breaches, words = _COMPARISONS[alarm["ComparisonOperator"]]
    treatment = alarm.get("TreatMissingData") or "missing"
    if treatment not in _TREATMENTS:
        raise ValueError(f"TreatMissingData cannot be {treatment}")
    threshold, wanted = float(alarm["Threshold"]), int(alarm["EvaluationPeriods"])
    needed = int(alarm.get("DatapointsToAlarm") or wanted)
    queries = _queries(alarm)
    periods = _periods(_period(queries), wanted + EXTRA_PERIODS, now)

    values = _watched(queries, samples, periods)
    # Real datapoints come before missing ones, however old they are.
    points = list(values.items())[-wanted:]
    missing = wanted - len(points)
    real = sum(breaches(value, threshold) for _, value in points)
    breaching = real + (missing if treatment == "breaching" else 0)
    reason = (
        f"{real} of the last {wanted} datapoints {_listed(points)} are {words} the threshold ({threshold:g}), "
        f"{missing} are missing ({treatment}); {needed} make an alarm"
    )

    if breaching >= needed:
        return Verdict(ALARM, reason)
    if not missing or treatment in ("breaching", "notBreaching") or len(points) > real:
        return Verdict(OK, reason)
    # From here on there are breaching datapoints only, too few of them, or none.
    if treatment == "ignore":
        return Verdict(current_state, reason)
    if points and periods.stop - points[0][0] >= needed * periods.step:
        # The guide's premature alarm: the oldest is as old as the alarm needs, and nothing since speaks against it.
        return Verdict(ALARM, reason)
    return Verdict(INSUFFICIENT_DATA, reason)


def _queries(alarm: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the alarm looks at, as MetricDataQuery; an alarm on one metric has the same without saying so."""
    if alarm.get("Metrics"):
        return list(alarm["Metrics"])
    statistic = alarm.get("ExtendedStatistic") or alarm["Statistic"]
    stat = {"Metric": alarm, "Stat": statistic, "Period": alarm["Period"], "Unit": alarm.get("Unit")}
    return [{"Id": "metric", "MetricStat": stat}]


def _metric(metric: Mapping[str, Any]) -> MetricId:
    dimensions = {dimension["Name"]: dimension["Value"] for dimension in metric.get("Dimensions") or ()}
    return MetricId.of(metric["Namespace"], metric["MetricName"], dimensions)


def _period(queries: list[Mapping[str, Any]]) -> int:
    periods = {int(query["MetricStat"]["Period"]) for query in queries if "MetricStat" in query}
    if len(periods) != 1:
        raise ValueError(f"an alarm's metrics have one Period, not {sorted(periods)}")
    return periods.pop()


def _periods(period: int, count: int, now: float) -> range:
    """The start of each of the last periods."""
    step = 60 if period >= 60 else 10
    end = int(now // step) * step
    return range(end - count * period, end, period)


def _watched(queries: list[Mapping[str, Any]], samples: Samples, periods: range) -> Series:
    """What is compared with the threshold."""
    returned = [query["Id"] for query in queries if query.get("ReturnData", True)]
    if len(returned) != 1:
        raise ValueError(f"an alarm has one query with ReturnData, not {returned}")
    metrics = {
        query["Id"]: _series(query["MetricStat"], samples, periods) for query in queries if "MetricStat" in query
    }
    expressions = {query["Id"]: query["Expression"] for query in queries if "Expression" in query}
    return (metrics | evaluate_all(expressions, metrics, periods=periods))[returned[0]]


def _series(stat: Mapping[str, Any], samples: Samples, periods: range) -> Series:
    metric = _metric(stat["Metric"])
    # A statistic that is unknown is seen before there is the first sample.
    statistic_of([Sample(metric, 0, 0)], stat["Stat"])
    if unit := stat.get("Unit"):
        samples = Samples(sample for sample in samples if sample.unit == unit)
    return samples.series(metric, stat["Stat"], periods.step, periods.start, periods.stop, origin=periods.start)


def _listed(points: list[tuple[int, float]]) -> str:
    """The newest first, as CloudWatch has it."""
    texts = [f"{value:g} ({datetime.fromtimestamp(at, UTC):%d/%m/%y %H:%M:%S})" for at, value in reversed(points)]
    return f"[{', '.join(texts)}]"
