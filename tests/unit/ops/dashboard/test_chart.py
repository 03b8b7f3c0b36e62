"""What a metric widget shows: values, labels, and figures that plotly accepts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import plotly.graph_objects
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.cloudwatch.series import MetricId, Sample, Samples
from ops.dashboard import chart
from ops.dashboard.body import BodyError, MetricWidget, read
from ops.dashboard.chart import Frame

if TYPE_CHECKING:
    from ops.dashboard.chart import Drawn

FRAME = Frame(100, 200, 10)


def widget(*metrics: Any, width: int = 6, **properties: Any) -> MetricWidget:
    one = {"type": "metric", "x": 0, "y": 0, "width": width, "height": 6}
    made = {"title": "Test", "stat": "Sum", "period": 60, "metrics": list(metrics)} | properties
    (found,) = read(json.dumps({"widgets": [one | {"properties": made}]}))
    assert isinstance(found, MetricWidget)
    return found


def samples(*given: tuple[str, float, float], unit: str = "Count", **dimensions: str) -> list[Sample]:
    """Name, time, value."""
    return [Sample(MetricId.of("A", name, dimensions), at, value, unit=unit) for name, at, value in given]


def drawn(made: MetricWidget, given: list[Sample], frame: Frame = FRAME) -> list[Drawn]:
    return chart.lines(made, Samples(given), frame)


def test_a_minute_is_a_period_of_the_frame() -> None:
    given = samples(("m", 100, 1), ("m", 109, 2), ("m", 110, 4), ("m", 99, 8), ("m", 200, 16))
    (line,) = drawn(widget(["A", "m"]), given)
    assert line.series == {100: 3, 110: 4}
    (line,) = drawn(widget(["A", "m"], period=300), given)
    assert line.series == {100: 7}


def test_other_views_show_the_newest_value_or_that_of_the_whole_time() -> None:
    given = samples(("m", 100, 1), ("m", 150, 2))
    (line,) = drawn(widget(["A", "m"], view="singleValue"), given)
    assert line.last == 2
    (line,) = drawn(widget(["A", "m"], view="singleValue", setPeriodToTimeRange=True), given)
    assert line.last == 3
    # Longer than the run, so of all of it.
    (line,) = drawn(widget(["A", "m"], view="bar", period=3600), given)
    assert line.last == 3


def test_what_has_no_values_is_not_drawn() -> None:
    made = widget(["A", "m"], ["A", "n"], ["A", "o", {"visible": False}])
    assert [line.label for line in drawn(made, samples(("m", 100, 1), ("o", 100, 1)))] == ["m"]
    assert drawn(made, samples(("m", 300, 1))) == []


def test_expressions_name_metrics_that_are_not_shown() -> None:
    made = widget(
        ["A", "failed", {"id": "f", "visible": False}],
        ["A", "all", {"id": "a", "visible": False}],
        [{"expression": "100 * FILL(f, 0) / a", "label": "rate"}],
    )
    given = samples(("all", 100, 4), ("all", 110, 2), ("failed", 110, 1))
    (line,) = drawn(made, given)
    assert (line.label, line.series) == ("rate", {100: 0, 110: 50})


def test_a_search_is_a_line_for_each_metric() -> None:
    made = widget(
        [{"expression": "SEARCH('{A,error,service} MetricName=\"m\"', 'Sum', 60)", "label": ""}],
        ["A", "m", "service", "s", {"label": "all", "color": "#123456"}],
    )
    given = [
        *samples(("m", 100, 1), service="s", error="Refused"),
        *samples(("m", 110, 2), service="s", error="Away"),
        *samples(("m", 110, 3), service="s"),
    ]
    assert [(line.label, line.series) for line in drawn(made, given)] == [
        ("Away", {110: 2}),
        ("Refused", {100: 1}),
        ("all", {110: 3}),
    ]
    assert drawn(made, given)[2].color == "#123456"


def test_labels_tell_lines_apart() -> None:
    given = [
        *samples(("m", 100, 1), ("n", 100, 1), service="a", kind="x"),
        *samples(("m", 100, 1), service="b", kind="x"),
    ]
    first, other, second = (
        ["A", name, "kind", "x", "service", service] for name, service in (("m", "a"), ("n", "a"), ("m", "b"))
    )
    assert [line.label for line in drawn(widget(first), given)] == ["m"]
    assert [line.label for line in drawn(widget(first, second), given)] == ["a", "b"]
    assert [line.label for line in drawn(widget(first, other), given)] == ["m", "n"]
    assert [line.label for line in drawn(widget(first, other, second), given)] == ["m a", "n a", "m b"]


def test_labels_with_values_in_them() -> None:
    label = "${LABEL} ${PROP('Dim.service')} ${PROP('Stat')} ${MIN} ${MAX} ${AVG} ${SUM} ${FIRST} ${LAST}"
    given = samples(("m", 100, 1), ("m", 110, 3), ("m", 120, 2), service="a")
    (line,) = drawn(widget(["A", "m", "service", "a", {"label": label}]), given)
    assert line.label == "m a Sum 1 3 2 6 1 2"
    with pytest.raises(BodyError, match=r"Test: this part of a label is not understood: \$\{PROP\('Period\)"):
        drawn(widget(["A", "m", "service", "a", {"label": "${PROP('Period)}"}]), given)


@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        ([["A", "m", {"stat": "Mode"}]], "Test: no statistic: Mode"),
        ([["A", "m", {"id": "m"}], [{"expression": "m +"}]], "Test: no expression"),
        ([[{"expression": "x + 1"}]], "Test: unknown.*x"),
        ([[{"expression": "SEARCH('A')"}]], "Test: this search"),
        ([["A", "m", {"period": 300}], ["A", "n"]], r"Test: different periods .* \[60, 300\]"),
    ],
)
def test_what_is_not_understood_is_told_with_the_widget(metrics: list[Any], told: str) -> None:
    with pytest.raises(BodyError, match=told):
        drawn(widget(*metrics), samples(("m", 100, 1)))


def test_why_there_is_nothing() -> None:
    assert chart.why_empty(widget(["AWS/Lambda", "DestinationDeliveryFailures"])).startswith(
        "AWS publishes it only when"
    )
    assert chart.why_empty(widget(["A", "m"])) == "nothing of the kind happened"


VIEWS: dict[str, dict[str, Any]] = {
    "graph": {
        "yAxis": {"left": {"min": 0, "label": "time"}, "right": {"max": 7}},
        "annotations": {
            "horizontal": [
                {"value": 2, "label": "limit"},
                [{"value": 1}, {"value": 2}],
                {"value": 3, "yAxis": "right"},
                {"value": 900, "label": "timeout"},
            ],
            "vertical": [
                {"value": "1970-01-01T00:01:40Z", "label": "deployed"},
                [{"value": "1970-01-01T00:01:40Z"}, {"value": "1970-01-01T00:02:00Z"}],
            ],
        },
    },
    "stacked": {"stacked": True},
    "bar": {"view": "bar"},
    "pie": {"view": "pie"},
    "gauge": {
        "view": "gauge",
        "yAxis": {"left": {"min": 0, "max": 10}},
        "annotations": {
            "horizontal": [{"value": 8, "fill": "above", "color": "#2ca02c"}, {"value": 2, "fill": "below"}]
        },
    },
}


@pytest.mark.parametrize("view", VIEWS)
def test_a_figure_is_one_that_plotly_takes(view: str) -> None:
    made = widget(["A", "m"], ["A", "n", {"yAxis": "right"}], **VIEWS[view])
    given = samples(("m", 100, 1), ("m", 130, 2), ("n", 110, 3), unit="Milliseconds")
    figure = chart.figure(made, drawn(made, given), FRAME)
    # It refuses what plotly.js would pass over: a property that does not exist.
    checked = plotly.graph_objects.Figure(figure)
    assert len(checked.data) == {"pie": 1, "gauge": 1}.get(view, 2)
    json.dumps(figure, allow_nan=False)


def test_a_graph_has_the_points_of_its_lines() -> None:
    made = widget(["A", "m"], ["A", "n", {"yAxis": "right", "color": "#123456"}], **VIEWS["graph"])
    given = samples(("m", 100, 1), ("m", 130, 2), ("n", 110, 3), unit="Milliseconds")
    figure = chart.figure(made, drawn(made, given), FRAME)
    left, right = figure["data"]
    assert (left["x"], left["y"]) == (["1970-01-01T00:01:40.000", "1970-01-01T00:02:10.000"], [1, 2])
    assert (right["yaxis"], right["line"]["color"]) == ("y2", "#123456")
    assert figure["layout"]["xaxis"]["range"] == ["1970-01-01T00:01:40.000", "1970-01-01T00:03:20.000"]
    assert figure["layout"]["yaxis"]["title"]["text"] == "time (ms)"
    assert figure["layout"]["yaxis2"]["range"] == [0, 7]
    captions = [one["text"] for one in figure["layout"]["annotations"]]
    assert captions == ["limit", "deployed"]


def test_a_mark_far_above_the_values_is_named_and_does_not_flatten_them() -> None:
    made = widget(["A", "m"], annotations={"horizontal": [{"value": 900, "label": "timeout"}, {"value": 500}]})
    lines = drawn(made, samples(("m", 100, 2)))
    assert chart.far_marks(made, lines) == ["500", "timeout 900"]
    assert chart.figure(made, lines, FRAME)["layout"]["shapes"] == []
    lines = drawn(made, samples(("m", 100, 600)))
    assert chart.far_marks(made, lines) == []
    assert len(chart.figure(made, lines, FRAME)["layout"]["shapes"]) == 2


def test_a_line_of_zeros_lies_on_the_axis() -> None:
    made = widget(["A", "m"])
    assert chart.figure(made, drawn(made, samples(("m", 100, 0))), FRAME)["layout"]["yaxis"]["range"] == [0, 1]


def test_a_graph_cannot_be_filled_at_a_mark() -> None:
    made = widget(["A", "m"], annotations={"horizontal": [{"value": 1, "fill": "above"}]})
    with pytest.raises(BodyError, match="not filled"):
        chart.figure(made, drawn(made, samples(("m", 100, 2))), FRAME)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "Count", "0"),
        (12, "None", "12"),
        (0.5, "", "0.5"),
        (1 / 3, "Percent", "0.333 %"),
        (99.96, "Percent", "100 %"),
        (1234.5, "Count", "1234"),
        (12_345, "Count", "12.3k"),
        (2_500_000, "Bytes", "2.5M B"),
        (3e9, "", "3G"),
        (-0.25, "", "-0.25"),
        (250.4, "Milliseconds", "250 ms"),
        (2500, "Milliseconds", "2.5 s"),
    ],
)
def test_a_value_as_people_read_it(value: float, unit: str, text: str) -> None:
    assert chart.shown(value, unit) == text


@given(st.floats(0, 2e9), st.floats(0, 50_000))
def test_a_frame_has_all_of_a_run_and_not_too_many_points(start: float, length: float) -> None:
    frame = Frame.around(start, start + length)
    assert frame.start <= start
    assert frame.end > start + length
    assert len(frame.periods) <= chart.POINTS + 3
    assert frame.start % frame.period == frame.end % frame.period == 0
