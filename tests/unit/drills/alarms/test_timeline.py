"""CloudWatch's time in the alarm drill."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drills.alarms.timeline import Timeline, later
from local.cloudwatch.series import MetricId, Sample

START = 1_700_000_000.0


def sample(name: str, at: float, value: float, unit: str) -> Sample:
    return Sample(MetricId.of("Namespace", name, {"service": "watch"}), at, value, unit=unit)


@pytest.fixture
def timeline() -> Timeline:
    """Moved on by an hour, and a little later by a minute."""
    timeline = Timeline()
    timeline.move(START + 10, 3600)
    timeline.move(START + 20, 60)
    return timeline


@pytest.mark.parametrize(("real", "moved"), [(0, 0), (9, 9), (10, 3610), (19, 3619), (20, 3680), (100, 3760)], ids=str)
def test_a_moment_is_where_the_clock_was_then(timeline: Timeline, real: float, moved: float) -> None:
    assert timeline.moved(START + real) == START + moved


@pytest.mark.parametrize(
    ("name", "at", "value", "unit", "expected"),
    [
        # Since second 5: nothing, then an hour, then a minute more.
        ("ApproximateAgeOfOldestMessage", 9, 4, "Seconds", 4),
        ("ApproximateAgeOfOldestMessage", 15, 10, "Seconds", 3610),
        ("OldestExecutionAge", 30, 25, "Seconds", 3685),
        ("AsyncEventAge", 25, 10_000, "Milliseconds", 70_000),
        # From second 5 on.
        ("Duration", 5, 10_000, "Milliseconds", 3_610_000),
        ("Latency", 5, 1_000, "Milliseconds", 1_000),
        ("Latency", 11, 1_000, "Milliseconds", 1_000),
        # Nothing waits, and nothing grows.
        ("ApproximateAgeOfOldestMessage", 30, 0, "Seconds", 0),
        ("OldestExecutionAge", 30, 0, "Seconds", 0),
        # No time at all.
        ("SignatureInvalid", 30, 7, "Count", 7),
    ],
)
def test_what_lasts_does_so_for_as_long_as_the_clock_says(
    timeline: Timeline, name: str, at: float, value: float, unit: str, expected: float
) -> None:
    told = timeline.sample(sample(name, START + at, value, unit))
    assert told.at == timeline.moved(START + at)
    assert told.value == pytest.approx(expected)


def test_a_gauge_stays_as_it_is_and_an_age_grows() -> None:
    assert later(sample("ApproximateAgeOfOldestMessage", START, 30, "Seconds"), START + 60).value == 90
    assert later(sample("ApproximateAgeOfOldestMessage", START, 0, "Seconds"), START + 60).value == 0
    assert later(sample("ExecutionsRunning", START, 3, "Count"), START + 60).value == 3
    assert later(sample("ExecutionsRunning", START, 3, "Count"), START + 60).at == START + 60


@given(
    moves=st.lists(st.tuples(st.floats(0.01, 100), st.floats(0, 1e6)), max_size=5),
    before=st.floats(0, 500),
    since=st.floats(0, 500),
)
def test_the_clock_never_goes_back_and_never_slower(
    moves: list[tuple[float, float]], before: float, since: float
) -> None:
    timeline, at = Timeline(), START
    for pause, ahead in moves:
        at += pause
        timeline.move(at, ahead)
    passed = timeline.moved(START + before + since) - timeline.moved(START + before)
    assert passed >= since - 1e-3
    assert timeline.ahead == pytest.approx(sum(ahead for _, ahead in moves))
