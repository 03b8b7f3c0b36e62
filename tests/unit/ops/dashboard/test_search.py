"""SEARCH: which metrics it finds."""

from __future__ import annotations

import pytest

from local.cloudwatch.series import MetricId
from ops.dashboard.search import is_search, parse


def metric(name: str, **dimensions: str) -> MetricId:
    return MetricId.of("Pullback/test", name, dimensions)


KNOWN = [
    metric("WorkFailed", service="processor"),
    metric("WorkFailed", service="processor", action="build"),
    metric("WorkFailed", service="processor", action="synchronize"),
    metric("WorkDuration", service="processor", action="build"),
    MetricId.of("Pullback/other", "WorkFailed", {"service": "processor", "action": "build"}),
]


def test_exactly_the_dimensions_and_the_name() -> None:
    found = parse("""SEARCH('{"Pullback/test",service,action} MetricName="WorkFailed"', 'Sum', 60)""")
    assert found.stat == "Sum"
    assert found.find(KNOWN) == [KNOWN[1], KNOWN[2]]


def test_by_the_value_of_a_dimension() -> None:
    found = parse("""SEARCH('{Pullback/test,service,action} MetricName="WorkFailed" action="build"', 'p99', 60)""")
    assert found.find(KNOWN) == [KNOWN[1]]


def test_one_of_several() -> None:
    query = """SEARCH(' {Pullback/test, action, service} MetricName=("WorkFailed" OR "WorkDuration") ', 'Average')"""
    assert parse(query).find(KNOWN) == [KNOWN[3], KNOWN[1], KNOWN[2]]
    query = """SEARCH('{Pullback/test,action,service} action="build" AND MetricName="WorkDuration"', 'Average')"""
    assert parse(query).find(KNOWN) == [KNOWN[3]]


def test_everything_of_a_schema() -> None:
    assert parse("SEARCH('{Pullback/test,service}', 'Sum', 60)").find(KNOWN) == [KNOWN[0]]


def test_a_search_is_not_metric_math() -> None:
    assert is_search(" SEARCH('{A}', 'Sum')")
    assert not is_search("SUM(SEARCH('{A}', 'Sum'))")


@pytest.mark.parametrize(
    "expression",
    [
        "SEARCH('MetricName=\"WorkFailed\"', 'Sum', 60)",
        "SEARCH('{A,b} MetricName=\"WorkFailed\"')",
        "SEARCH('{A,b} MetricName=\"WorkFailed\"', 'Sum', 60) + 1",
    ],
)
def test_what_is_no_search(expression: str) -> None:
    with pytest.raises(ValueError, match="this search is not understood"):
        parse(expression)


@pytest.mark.parametrize("terms", ["WorkFailed", 'NOT action="build"', "action=build", 'action=("a" AND "b")'])
def test_terms_that_are_not_understood(terms: str) -> None:
    with pytest.raises(ValueError, match="this part of a search is not understood"):
        parse(f"SEARCH('{{A,action}} {terms}', 'Sum', 60)")
