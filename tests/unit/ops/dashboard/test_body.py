"""A dashboard's body: the short forms of CloudWatch, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local.cloudwatch.series import MetricId
from ops.dashboard.body import AlarmWidget, Axis, BodyError, LogWidget, Mark, MetricWidget, Place, TextWidget, read

PLACE = {"x": 0, "y": 0, "width": 6, "height": 4}


def widget(kind: str, /, place: dict[str, float] | None = None, **properties: Any) -> dict[str, Any]:
    return {"type": kind, **(place or PLACE), "properties": properties}


def body(*widgets: Any) -> str:
    return json.dumps({"widgets": widgets})


def graph(*metrics: Any, **properties: Any) -> MetricWidget:
    (one,) = read(body(widget("metric", title="Test", metrics=list(metrics), **properties)))
    assert isinstance(one, MetricWidget)
    return one


def test_the_kinds_of_widgets() -> None:
    widgets = read(
        body(
            widget("text", markdown="# Test", background="transparent"),
            widget("metric", {"x": 6, "y": 4, "width": 18, "height": 2}, title="Test", metrics=[["A", "m"]]),
            widget("alarm", title="Alarms", alarms=["arn:1", "arn:2"]),
            widget("log", title="Log", query="SOURCE '/a' | SOURCE \"/b\" | fields @message | limit 3", view="table"),
        )
    )
    assert widgets[0] == TextWidget(Place(0, 0, 6, 4), "# Test", is_transparent=True)
    assert widgets[1].place == Place(6, 4, 18, 2)
    assert widgets[2] == AlarmWidget(Place(0, 0, 6, 4), "Alarms", ("arn:1", "arn:2"))
    assert widgets[3] == LogWidget(Place(0, 0, 6, 4), "Log", ("/a", "/b"), " fields @message | limit 3")


def test_fields_that_are_taken_over_from_the_entry_before() -> None:
    made = graph(
        ["AWS/Lambda", "Errors", "FunctionName", "a", "Resource", "a:live", {"stat": "Sum"}],
        [".", "Duration", ".", ".", ".", "."],
        ["...", "b:live"],
        ["...", "c", "Resource", "c:live"],
        [{"expression": "SUM(METRICS())"}],
        ["...", {"stat": "p99"}],
        stat="Average",
    )
    live = MetricId.of("AWS/Lambda", "Duration", {"FunctionName": "a", "Resource": "b:live"})
    other = MetricId.of("AWS/Lambda", "Duration", {"FunctionName": "c", "Resource": "c:live"})
    assert [line.metric for line in made.lines] == [
        MetricId.of("AWS/Lambda", "Errors", {"FunctionName": "a", "Resource": "a:live"}),
        MetricId.of("AWS/Lambda", "Duration", {"FunctionName": "a", "Resource": "a:live"}),
        live,
        other,
        None,
        other,
    ]
    # Options are not taken over.
    assert [line.stat for line in made.lines] == ["Sum", "Average", "Average", "Average", "Average", "p99"]


def test_options() -> None:
    made = graph(
        ["A", "m", {"id": "m1", "label": "L", "color": "#123456", "yAxis": "right", "visible": False, "period": 300}],
        ["A", "n", {"label": ""}],
        period=60,
        stat="Sum",
    )
    first, second = made.lines
    assert (first.id, first.label, first.color, first.is_right, first.is_visible, first.period) == (
        "m1",
        "L",
        "#123456",
        True,
        False,
        300,
    )
    assert (second.label, second.color, second.is_right, second.is_visible, second.period) == (
        None,
        None,
        False,
        True,
        60,
    )


def test_what_is_not_said_is_cloudwatchs() -> None:
    made = graph(["A", "m"])
    assert (made.view, made.is_stacked, made.is_of_whole_time, made.left) == ("timeSeries", False, False, Axis())
    assert (made.lines[0].stat, made.lines[0].period) == ("Average", 300)


def test_axes_and_annotations() -> None:
    made = graph(
        ["A", "m"],
        yAxis={"left": {"min": 0, "max": 10, "label": "ms", "showUnits": False}, "right": {"min": 1}},
        annotations={
            "horizontal": [
                {"value": 5, "label": "limit", "color": "#ff0000", "yAxis": "right"},
                [{"value": 1, "label": "band"}, {"value": 2}],
                {"value": 7, "visible": False},
                {"value": 8, "fill": "above"},
            ],
            "vertical": [{"value": "1970-01-01T00:01:40Z", "label": "deployed"}],
        },
    )
    assert made.left == Axis("ms", 0, 10, shows_units=False)
    assert made.right == Axis(None, 1)
    assert made.across == (
        Mark(5, label="limit", color="#ff0000", is_right=True),
        Mark(1, 2, "band"),
        Mark(8, fill="above"),
    )
    assert made.down == (Mark(100, label="deployed"),)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{", "no JSON"),
        ("[]", "no list of widgets"),
        (body("text"), "widget 1: not an object"),
        (body(widget("explorer", title="E")), r"widget 1 \(E\): type 'explorer' is not one of"),
        (body(widget("text", markdown="#", sticky=True)), "not known here: sticky"),
        (body(widget("text")), "markdown is missing"),
        (body({**widget("text", markdown="#"), "z": 1}), "not known here: z"),
        (body(widget("text", {"x": 0, "y": 0, "width": 6}, markdown="#")), "height is missing"),
        (
            body(widget("text", {"x": 20, "y": 0, "width": 6, "height": 1}, markdown="#")),
            "does not fit into 24 columns",
        ),
        (body(widget("text", {"x": 0.5, "y": 0, "width": 6, "height": 1}, markdown="#")), "whole numbers"),
        (body(widget("metric", title="T")), r"widget 1 \(T\): metrics is missing"),
        (body(widget("metric", metrics=[["A", "m"]], view="map")), "the view map is not one of"),
        (body(widget("metric", metrics=[["A", "m"]], view="gauge")), "a gauge needs"),
        (body(widget("metric", metrics=["A"])), r"metrics\[0\] is no list"),
        (body(widget("metric", metrics=[["A"]])), r"metrics\[0\] is not namespace, name"),
        (body(widget("metric", metrics=[["A", "m", "d"]])), r"metrics\[0\] is not namespace, name"),
        (body(widget("metric", metrics=[["A", "."]])), r"metrics\[0\] is not namespace, name"),
        (body(widget("metric", metrics=[["A", 1]])), "no text"),
        (body(widget("metric", metrics=[["A", "m", {"expression": "m1"}]])), "both a metric and an expression"),
        (body(widget("metric", metrics=[["A", "m", {"colour": "#000000"}]])), "not known here: colour"),
        (body(widget("metric", metrics=[["A", "m", {"id": "a"}], ["A", "n", {"id": "a"}]])), "the same id"),
        (body(widget("metric", metrics=[["A", "m"]], annotations={"alarms": []})), "not known here: alarms"),
        (
            body(widget("metric", metrics=[["A", "m"]], annotations={"horizontal": [{"value": 1, "fill": "left"}]})),
            "cannot be filled left",
        ),
        (body(widget("metric", metrics=[["A", "m"]], yAxis={"middle": {}})), "not known here: middle"),
        (body(widget("log", query="fields @message")), "begins with SOURCE"),
        (body(widget("log", query="SOURCE '/a' | limit 3", view="bar")), "the view bar of logs"),
    ],
)
def test_what_is_not_understood_is_refused(given: str, told: str) -> None:
    with pytest.raises(BodyError, match=told):
        read(given)
