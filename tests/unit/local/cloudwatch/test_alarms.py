"""The state of an alarm: what the guide's tables show, and what must hold for every alarm."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.cloudwatch.alarms import ALARM, EXTRA_PERIODS, INSUFFICIENT_DATA, OK, evaluate, metrics_of
from local.cloudwatch.series import MetricId, Sample, Samples

NOW = 1_800_000_000.0
PERIOD = 300
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
METRIC = MetricId.of("Pullback", "WorkFailed", {"service": "processor"})
QUERY = {
    "Namespace": "Pullback",
    "MetricName": "WorkFailed",
    "Dimensions": [{"Name": "service", "Value": "processor"}],
}


def alarm(**changes: Any) -> dict[str, Any]:
    """More than 10 failures in one period."""
    return {
        "AlarmName": "failures",
        **QUERY,
        "Statistic": "Sum",
        "Period": PERIOD,
        "EvaluationPeriods": 1,
        "Threshold": 10.0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    } | changes


def samples(text: str, *, metric: MetricId = METRIC, period: int = PERIOD, now: float = NOW) -> Samples:
    """One sample in the middle of each period, the last period ending now; ``-`` where there is none."""
    values = text.split()
    return Samples(
        Sample(metric, now - (len(values) - number) * period + period / 2, float(value))
        for number, value in enumerate(values)
        if value != "-"
    )


def state(made: dict[str, Any], seen: Samples, *, now: float = NOW, current: str = "as it was") -> str:
    return evaluate(made, seen, now, current).state


def pattern(points: str) -> Samples:
    """As the guide writes it: 0 is not breaching, X is, - is missing."""
    return samples(points.replace("X", "11"))


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        # The guide's table for 3 of 3, today's and the one of 2019 with two further rows.
        ("0 - X - X", (OK, OK, OK, OK)),
        ("0 - - - -", (OK, OK, OK, OK)),
        ("- - - - -", (INSUFFICIENT_DATA, "as it was", ALARM, OK)),
        ("0 X X - X", (ALARM, ALARM, ALARM, ALARM)),
        ("- - X - -", (ALARM, "as it was", ALARM, OK)),
        ("- - - - X", (INSUFFICIENT_DATA, "as it was", ALARM, OK)),
        ("X - - - -", (ALARM, "as it was", ALARM, OK)),
        # From its section on premature transitions.
        ("- - - X -", (INSUFFICIENT_DATA, "as it was", ALARM, OK)),
        ("- - X - 0", (OK, OK, OK, OK)),
    ],
)
def test_missing_data_three_of_three(points: str, expected: tuple[str, ...]) -> None:
    for treatment, wanted in zip(TREATMENTS, expected, strict=True):
        made = alarm(EvaluationPeriods=3, TreatMissingData=treatment)
        assert state(made, pattern(points)) == wanted, treatment


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        # The guide's table for 2 of 3.
        ("0 - X - X", (ALARM, ALARM, ALARM, ALARM)),
        ("0 0 X 0 X", (ALARM, ALARM, ALARM, ALARM)),
        ("0 - X - -", (OK, OK, ALARM, OK)),
        ("- - - - 0", (OK, OK, ALARM, OK)),
        ("- - - X -", (ALARM, "as it was", ALARM, OK)),
        ("- - - - X", (INSUFFICIENT_DATA, "as it was", ALARM, OK)),
    ],
)
def test_missing_data_two_of_three(points: str, expected: tuple[str, ...]) -> None:
    for treatment, wanted in zip(TREATMENTS, expected, strict=True):
        made = alarm(EvaluationPeriods=3, DatapointsToAlarm=2, TreatMissingData=treatment)
        assert state(made, pattern(points)) == wanted, treatment


def test_what_is_not_said_is_missing_data_treated_as_missing_and_all_datapoints_needed() -> None:
    made = alarm(EvaluationPeriods=2)
    del made["TreatMissingData"]
    assert state(made, Samples()) == INSUFFICIENT_DATA
    assert state(made, pattern("0 X")) == OK
    assert state(made, pattern("X X")) == ALARM


def test_an_alarm_stays_on_until_its_datapoint_leaves_the_range() -> None:
    seen = pattern("X")
    after = [state(alarm(), seen, now=NOW + number * PERIOD) for number in range(5)]
    assert after == [ALARM, ALARM, ALARM, OK, OK]


def test_the_window_slides_by_the_minute_and_has_whole_minutes() -> None:
    made = alarm(Threshold=1.0)
    # 240 s apart, in two periods of the clock and in one of the alarm's.
    seen = Samples(Sample(METRIC, NOW + at, 1.0) for at in (-200, 40))
    assert [at for at in range(-300, 300, 30) if state(made, seen, now=NOW + at) == ALARM] == [60, 90]
    # Each ten seconds when the period is shorter than a minute.
    assert state(alarm(Period=10), samples("11", period=10, now=NOW + 10), now=NOW + 9) == OK
    assert state(alarm(Period=10), samples("11", period=10, now=NOW + 10), now=NOW + 10) == ALARM


@pytest.mark.parametrize(
    ("comparison", "on"),
    [
        ("GreaterThanThreshold", "11"),
        ("GreaterThanOrEqualToThreshold", "10 11"),
        ("LessThanThreshold", "9"),
        ("LessThanOrEqualToThreshold", "9 10"),
    ],
)
def test_comparisons(comparison: str, on: str) -> None:
    made = alarm(ComparisonOperator=comparison)
    assert [value for value in ("9", "10", "11") if state(made, samples(value)) == ALARM] == on.split()


def test_statistics_and_percentiles() -> None:
    seen = Samples(Sample(METRIC, NOW - 10, float(value)) for value in range(1, 21))
    assert state(alarm(Threshold=209), seen) == ALARM
    assert state(alarm(Threshold=11, Statistic="Average"), seen) == OK
    assert state(alarm(Threshold=19, Statistic="Maximum"), seen) == ALARM
    # As the embedded AWS has it, where the statistic of an alarm on a percentile is its default.
    assert state(alarm(Threshold=19, Statistic="Average", ExtendedStatistic="p99"), seen) == ALARM
    assert state(alarm(Threshold=19, Statistic="Average", ExtendedStatistic="p90"), seen) == OK


def test_only_the_unit_counts_that_the_alarm_names() -> None:
    seen = Samples([Sample(METRIC, NOW - 10, 11.0, unit="Count")])
    assert state(alarm(Unit="Count"), seen) == ALARM
    assert state(alarm(Unit="Seconds"), seen) == OK
    assert state(alarm(), seen) == ALARM


def share(**changes: Any) -> dict[str, Any]:
    """More than half of the work failed."""
    made = alarm(Threshold=0.5, **changes)
    for name in ("Namespace", "MetricName", "Dimensions", "Statistic", "Period"):
        del made[name]
    return made | {
        "Metrics": [
            {"Id": "share", "Expression": "failed / total", "ReturnData": True},
            {"Id": "total", "Expression": "FILL(failed, 0) + FILL(succeeded, 0)", "ReturnData": False},
            _query("failed", "WorkFailed"),
            _query("succeeded", "WorkSucceeded"),
        ]
    }


def _query(name: str, metric: str, **changes: Any) -> dict[str, Any]:
    stat = {"Metric": QUERY | {"MetricName": metric}, "Period": PERIOD, "Stat": "Sum"} | changes
    return {"Id": name, "MetricStat": stat, "ReturnData": False}


def test_an_alarm_on_an_expression() -> None:
    succeeded = MetricId("Pullback", "WorkSucceeded", METRIC.dimensions)
    assert metrics_of(share()) == {METRIC, succeeded}
    for failures, successes, expected in (("3", "2", ALARM), ("2", "2", OK), ("3", "-", ALARM), ("-", "9", OK)):
        seen = samples(failures)
        seen.add(samples(successes, metric=succeeded))
        assert state(share(), seen) == expected, (failures, successes)


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (alarm(ComparisonOperator="GreaterThanUpperThreshold"), "GreaterThanUpperThreshold"),
        (alarm(TreatMissingData="Missing"), "Missing"),
        (alarm(Statistic="Mean"), "Mean"),
        (share() | {"Metrics": [*share()["Metrics"], _query("other", "Other", Period=60)]}, r"\[60, 300\]"),
        (share() | {"Metrics": [{"Id": "one", "Expression": "1"}]}, "Period"),
        (share() | {"Metrics": share()["Metrics"][1:]}, r"ReturnData, not \[\]"),
        (share() | {"Metrics": [*share()["Metrics"][1:], {"Id": "e", "Expression": "nobody"}]}, "nobody"),
    ],
)
def test_an_alarm_that_is_none_is_refused(broken: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        evaluate(broken, Samples(), NOW, OK)


def test_the_reason_says_what_was_compared() -> None:
    verdict = evaluate(alarm(EvaluationPeriods=3, DatapointsToAlarm=2), pattern("X - X"), NOW, OK)
    assert verdict.reason == (
        "2 of the last 3 datapoints [11 (15/01/27 07:55:00), 11 (15/01/27 07:45:00)] are greater than the threshold "
        "(10), 1 are missing (notBreaching); 2 make an alarm"
    )


PATTERNS = st.lists(st.sampled_from("0X-"), max_size=8).map(" ".join)
ALARMS = st.builds(
    lambda wanted, needed, treatment: alarm(
        EvaluationPeriods=wanted, DatapointsToAlarm=min(needed, wanted), TreatMissingData=treatment
    ),
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from(TREATMENTS),
)
STATES = st.sampled_from([OK, ALARM, INSUFFICIENT_DATA])


@given(ALARMS, STATES)
def test_without_data_the_treatment_decides(made: dict[str, Any], current: str) -> None:
    expected = {"missing": INSUFFICIENT_DATA, "ignore": current, "breaching": ALARM, "notBreaching": OK}
    assert state(made, Samples(), current=current) == expected[made["TreatMissingData"]]


@given(
    ALARMS,
    PATTERNS,
    PATTERNS,
    st.sampled_from(
        [
            MetricId.of("Pullback", "WorkFailed"),
            MetricId.of("Pullback", "WorkFailed", {"service": "webhook"}),
            MetricId.of("Pullback", "WorkFailed", {"service": "processor", "action": "build"}),
            MetricId.of("Pullback", "Other", {"service": "processor"}),
            MetricId.of("Other", "WorkFailed", {"service": "processor"}),
        ]
    ),
)
def test_another_metric_changes_nothing(made: dict[str, Any], points: str, others: str, other: MetricId) -> None:
    seen = pattern(points)
    alone = evaluate(made, seen, NOW, OK)
    seen.add(samples(others.replace("X", "11"), metric=other))
    assert evaluate(made, seen, NOW, OK) == alone


@given(ALARMS, PATTERNS, STATES)
def test_with_enough_data_neither_the_treatment_nor_the_state_before_matters(
    made: dict[str, Any], points: str, current: str
) -> None:
    wanted = made["EvaluationPeriods"]
    real = [point for point in points.split()[-wanted - EXTRA_PERIODS :] if point != "-"][-wanted:]
    if len(real) == wanted:
        expected = ALARM if real.count("X") >= made["DatapointsToAlarm"] else OK
        assert state(made, pattern(points), current=current) == expected


@given(ALARMS, PATTERNS, STATES)
def test_a_datapoint_that_gets_worse_never_ends_an_alarm(made: dict[str, Any], points: str, current: str) -> None:
    if state(made, pattern(points), current=current) == ALARM:
        assert state(made, pattern(points.replace("0", "X")), current=current) == ALARM


@given(ALARMS, PATTERNS, st.integers(-10_000, 10_000), st.floats(0, 59.9))
def test_only_the_minutes_since_matter_not_the_date(
    made: dict[str, Any], points: str, minutes: int, seconds: float
) -> None:
    later = NOW + minutes * 60
    moved = Samples(Sample(one.metric, one.at + minutes * 60, one.value) for one in pattern(points))
    assert state(made, moved, now=later + seconds, current=OK) == state(made, pattern(points), current=OK)
