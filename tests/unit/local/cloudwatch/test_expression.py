"""Metric math: what the guide's tables show, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.cloudwatch.expression import evaluate, evaluate_all

if TYPE_CHECKING:
    from local.cloudwatch.series import Series

PERIOD = 60
PERIODS = range(600, 900, PERIOD)


def series(text: str) -> Series:
    """One value by period, ``-`` where there is none."""
    return {at: float(value) for at, value in zip(PERIODS, text.split(), strict=False) if value != "-"}


def result(expression: str, **named: str | float) -> Series:
    known = {name: series(value) if isinstance(value, str) else value for name, value in named.items()}
    return evaluate(expression, known, periods=PERIODS)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # As the guide's tables show it.
        ("metric1 < metric2", "0 0 1 0"),
        ("metric1 >= 30", "1 0 0 0"),
        ("metric1 > 15 AND metric2 > 15", "1 0 0 0"),
        ("metric1 > 15 && metric2 > 15", "1 0 0 0"),
        ("metric1 > 25 OR metric2 >= 20", "1 0 1 0"),
        ("metric1 > 25 || metric2 >= 20", "1 0 1 0"),
        ("metric1 == metric2", "0 0 0 1"),
        ("metric1 != metric2", "1 1 1 0"),
        ("metric2 <= 20", "1 - 1 -"),
    ],
)
def test_comparisons(expression: str, expected: str) -> None:
    assert result(expression, metric1="30 20 0 0", metric2="20 - 20 -") == series(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # As the guide's tables show it.
        ("IF(metric1, metric2, metric3)", "30 0 20 - -"),
        ("IF(metric1, 5, metric3)", "5 5 20 - -"),
        ("IF(metric1, metric2, 5)", "30 0 5 5 -"),
        ("IF(metric1, metric2)", "30 0 - - -"),
        ("IF(metric1 < 1, 7)", "- - 7 7 -"),
        ("IF(1, metric2, metric3)", "30 - 0 0 30"),
        ("IF(0, metric2, metric3)", "0 0 20 - 20"),
        ("IF(0, metric2)", ""),
        ("IF(1 / 0, metric2)", ""),
    ],
)
def test_if(expression: str, expected: str) -> None:
    named = {"metric1": "1 1 0 0 -", "metric2": "30 - 0 0 30", "metric3": "0 0 20 - 20"}
    assert result(expression, **named) == series(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("m1 + m2", "3 4 3 -"),
        ("m1 - m2", "-1 4 -3 -"),
        ("m1 * 2 + 1", "3 9 - -"),
        ("m1 / m2", "0.5 - 0 -"),
        ("100 / m1", "100 25 - -"),
        ("m1 / (m1 - 1)", "- 1.3333333333333333 - -"),
        ("-m1", "-1 -4 - -"),
        ("2 - -3 * m1", "5 14 - -"),
        ("m1 / PERIOD(m1) * 60", "1 4 - -"),
        ("m1 + limit", "11 14 - -"),
    ],
)
def test_arithmetic(expression: str, expected: str) -> None:
    assert result(expression, m1="1 4 - -", m2="2 - 3 -", limit=10) == series(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("SUM([m1, m2])", "3 4 3 -"),
        ("SUM(METRICS())", "3 4 3 -"),
        ("MAX([m1, m2])", "2 4 3 -"),
        ("MIN(METRICS())", "1 4 3 -"),
        # Here what is missing counts as 0.
        ("AVG([m1, m2])", "1.5 2 1.5 -"),
        ("SUM([])", ""),
        # A number of one series.
        ("m1 / SUM(m1)", "0.2 0.8 - -"),
        ("m1 - MAX(m1)", "-3 0 - -"),
        ("m1 - MIN(m1)", "0 3 - -"),
        ("m1 - AVG(m1)", "-1.5 1.5 - -"),
        ("m1 - AVG(nothing)", ""),
        ("m1 > AVG(nothing)", ""),
        ("RUNNING_SUM(m1)", "1 5 - -"),
        ("RATE(m1) * 60", "- 3 - -"),
        ("RATE(m2) * 120", "- - 1 -"),
    ],
)
def test_functions(expression: str, expected: str) -> None:
    assert result(expression, m1="1 4 - -", m2="2 - 3 -", nothing="") == series(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("FILL(m1, 0)", "0 2 0 0 5"),
        ("FILL(m1, -1)", "-1 2 -1 -1 5"),
        ("FILL(m1, MAX(m1))", "5 2 5 5 5"),
        ("FILL(m1, REPEAT)", "- 2 2 2 5"),
        ("FILL(m1, LINEAR)", "- 2 3 4 5"),
        ("FILL(nothing, 0)", "0 0 0 0 0"),
        ("FILL(nothing, REPEAT)", ""),
        ("FILL(nothing, LINEAR)", ""),
        ("IF(FILL(m1, 0) > 3, 1, 0)", "0 0 0 0 1"),
    ],
)
def test_fill(expression: str, expected: str) -> None:
    assert result(expression, m1="- 2 - - 5", nothing="") == series(expected)


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("m2", "m2"),
        ("m1 + FILL(m2, 0)", "m2"),
        ("STDDEV(m1)", "STDDEV(m1)"),
        ("FILL(m1)", "FILL(m1)"),
        ("FILL(m1, m1)", "m1"),
        ("PERIOD(m1 + 1)", "PERIOD(m1 + 1)"),
        ("IF(m1)", "IF(m1)"),
        ("SUM([m1, 2])", "2"),
        ("SUM(1)", "1"),
        ("[m1] + 1", "[m1]"),
        ("m1 < 2 < 3", "m1 < 2 < 3"),
        ("m1 ** 2", "m1 ** 2"),
        ("m1 is m1", "m1 is m1"),
        ("not m1", "not m1"),
        ("m1 + True", "True"),
        ("m1 + 'a'", "'a'"),
        ("m1.real", "m1.real"),
        ("SUM(m1, start=1)", "start=1"),
        ("__import__('os')", "__import__"),
        ("[m1]", "[m1]"),
        ("SUM(m1)", "SUM(m1)"),
        ("1 + 1", "1 + 1"),
        ("m1 +", "m1 +"),
        ("", "no expression"),
        ("m1\0", "no expression"),
        ("(" * 1000, "no expression"),
        ("m1 + 1" + "0" * 400, "no expression"),
        ("-" * 50_000 + "m1", "no expression"),
    ],
)
def test_what_is_unknown_is_refused_and_named(expression: str, named: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at below
        result(expression, m1="1 2")
    assert named in str(caught.value)


def test_a_period_needs_a_distance() -> None:
    with pytest.raises(ValueError, match="PERIOD"):
        evaluate("m1 / PERIOD(m1)", {"m1": {0: 1.0}}, periods=[0])


def test_expressions_may_refer_to_each_other() -> None:
    results = evaluate_all(
        {"share": "100 * failed / everything", "everything": "SUM(METRICS())"},
        {"failed": series("1 0"), "worked": series("3 4")},
        periods=PERIODS,
    )
    # METRICS() has the metrics alone: neither of the expressions is in the sum.
    assert results == {"everything": series("4 4"), "share": series("25 0")}


def test_expressions_in_a_circle_are_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        evaluate_all({"a": "b + 1", "b": "a + 1"}, {}, periods=PERIODS)


VALUES = st.dictionaries(st.sampled_from(list(PERIODS)), st.integers(-1000, 1000).map(float), max_size=5).map(
    lambda points: dict(sorted(points.items()))
)


@given(VALUES, VALUES)
def test_filled_series_have_a_result_in_every_period_whatever_is_missing(a: Series, b: Series) -> None:
    filled = evaluate("FILL(a, 0) + FILL(b, 0)", {"a": a, "b": b}, periods=PERIODS)
    assert filled == {at: a.get(at, 0.0) + b.get(at, 0.0) for at in PERIODS}
    # And without FILL the same, where there is anything.
    assert evaluate("a + b", {"a": a, "b": b}, periods=PERIODS) == {
        at: filled[at] for at in sorted(a.keys() | b.keys())
    }


@given(VALUES, VALUES)
def test_a_share_is_there_exactly_where_there_is_something_to_share(part: Series, whole: Series) -> None:
    share = evaluate("part / whole", {"part": part, "whole": whole}, periods=PERIODS)
    assert share.keys() == {at for at, value in whole.items() if value}


@given(st.text(alphabet="m12 +-*/()[],.<>=&|ABDFILMNORSTU", max_size=30))
def test_every_text_is_a_series_or_refused(expression: str) -> None:
    try:
        evaluate(expression, {"m1": {600: 1.0}, "m2": {600: 2.0, 660: 0.0}}, periods=PERIODS)
    except ValueError:
        return
