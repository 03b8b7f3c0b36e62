"""The body of a dashboard, read as CloudWatch reads it.

Follows "Dashboard body structure and syntax" of the CloudWatch API reference. What is not understood is an error, never
passed over: a mistake in the template shows here, not as an empty graph.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from local.cloudwatch.series import MetricId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLUMNS = 24
VIEWS = ("timeSeries", "singleValue", "gauge", "bar", "pie")
_PROPERTIES = {
    "metric": {
        "annotations",
        "legend",
        "liveData",
        "metrics",
        "period",
        "region",
        "setPeriodToTimeRange",
        "stacked",
        "stat",
        "timezone",
        "title",
        "view",
        "yAxis",
    },
    "text": {"background", "markdown"},
    "log": {"query", "region", "stacked", "title", "view"},
    "alarm": {"alarms", "title"},
}
_OPTIONS = {"color", "expression", "id", "label", "period", "region", "stat", "visible", "yAxis"}
_AXES = {"left", "right"}


class BodyError(ValueError):
    """The body is not one that CloudWatch, or this program, understands; the message tells which widget and why."""


@dataclass(frozen=True)
class Line:
    """One entry of a metric widget's ``metrics``: a metric, or an expression. Its period is in seconds."""

    metric: MetricId | None
    expression: str | None
    stat: str
    period: int
    id: str
    label: str | None = None
    color: str | None = None
    is_right: bool = False
    is_visible: bool = True


@dataclass(frozen=True)
class Axis:
    """A y axis; None is what the values make of it."""

    label: str | None = None
    min: float | None = None
    max: float | None = None
    shows_units: bool = True


@dataclass(frozen=True)
class Mark:
    """A line across a graph (at a value) or down it (at a time in seconds since the epoch), or a band of two."""

    at: float
    to: float | None = None
    label: str | None = None
    color: str | None = None
    fill: Literal["above", "below"] | None = None
    is_right: bool = False


@dataclass(frozen=True)
class Place:
    """Where a widget is on the grid, and how large."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class TextWidget:
    """Markdown."""

    place: Place
    markdown: str
    is_transparent: bool = False


@dataclass(frozen=True)
class MetricWidget:
    """Metrics, in one of the views."""

    place: Place
    title: str
    view: str
    lines: tuple[Line, ...]
    is_stacked: bool = False
    is_of_whole_time: bool = False
    """Its values are of all the time that is shown, not of the newest period."""
    left: Axis = field(default_factory=Axis)
    right: Axis = field(default_factory=Axis)
    across: tuple[Mark, ...] = ()
    down: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class LogWidget:
    """The rows that a query of Logs Insights finds."""

    place: Place
    title: str
    groups: tuple[str, ...]
    query: str


@dataclass(frozen=True)
class AlarmWidget:
    """Alarms, by their ARNs."""

    place: Place
    title: str
    alarms: tuple[str, ...]


Widget = TextWidget | MetricWidget | LogWidget | AlarmWidget


def read(body: str) -> list[Widget]:
    """The widgets of a dashboard.

    Args:
        body: JSON, as GetDashboard gives it.

    Raises:
        BodyError: it is not understood.
    """
    try:
        whole = json.loads(body)
    except ValueError as error:
        raise BodyError(f"the body is no JSON: {error}") from None
    if not isinstance(whole, dict) or not isinstance(whole.get("widgets"), list):
        raise BodyError("the body has no list of widgets")
    return [_widget(one, number) for number, one in enumerate(whole["widgets"], 1)]


def _widget(one: Any, number: int) -> Widget:
    name = f"widget {number}"
    if not isinstance(one, dict) or not isinstance(one.get("properties"), dict):
        raise BodyError(f"{name}: not an object with properties")
    kind, properties = one.get("type"), one["properties"]
    if isinstance(properties.get("title"), str):
        name += f" ({properties['title']})"
    if kind not in _PROPERTIES:
        raise BodyError(f"{name}: type {kind!r} is not one of {', '.join(_PROPERTIES)}")
    _refuse_others(one, {"type", "x", "y", "width", "height", "properties"}, name)
    _refuse_others(properties, _PROPERTIES[kind], name)
    try:
        place = _place(one)
        match kind:
            case "text":
                return TextWidget(
                    place, str(properties["markdown"]), is_transparent=properties.get("background") == "transparent"
                )
            case "alarm":
                return AlarmWidget(place, str(properties.get("title", "")), tuple(properties["alarms"]))
            case "log":
                return _log(place, properties)
            case _:
                return _metric(place, properties)
    except KeyError as error:
        raise BodyError(f"{name}: {error.args[0]} is missing") from None
    except (TypeError, ValueError) as error:
        raise BodyError(f"{name}: {error}") from None


def _refuse_others(given: Mapping[str, Any], known: set[str], name: str) -> None:
    if others := given.keys() - known:
        raise BodyError(f"{name}: not known here: {', '.join(sorted(others))}")


def _place(one: Mapping[str, Any]) -> Place:
    place = Place(*(one[name] for name in ("x", "y", "width", "height")))
    if not all(type(value) is int for value in (place.x, place.y, place.width, place.height)):
        raise ValueError("x, y, width and height are whole numbers")
    if place.x < 0 or place.y < 0 or place.width < 1 or place.height < 1 or place.x + place.width > COLUMNS:
        raise ValueError(f"it does not fit into {COLUMNS} columns: {place}")
    return place


def _log(place: Place, properties: Mapping[str, Any]) -> LogWidget:
    if properties.get("view", "table") != "table":
        raise ValueError(f"the view {properties['view']} of logs is not drawn here")
    groups: list[str] = []
    commands: list[str] = []
    for command in properties["query"].split("|"):
        word, _, rest = command.strip().partition(" ")
        if word.upper() == "SOURCE" and not commands:
            groups.append(rest.strip().strip("'\""))
        else:
            commands.append(command)
    if not groups or not commands:
        raise ValueError("the query begins with SOURCE and a log group, and goes on with commands")
    return LogWidget(place, str(properties.get("title", "")), tuple(groups), "|".join(commands))


def _metric(place: Place, properties: Mapping[str, Any]) -> MetricWidget:
    view = properties.get("view", "timeSeries")
    if view not in VIEWS:
        raise ValueError(f"the view {view} is not one of {', '.join(VIEWS)}")
    axes = properties.get("yAxis", {})
    _refuse_others(axes, _AXES, "yAxis")
    left, right = (_axis(axes.get(side, {})) for side in ("left", "right"))
    if view == "gauge" and (left.min is None or left.max is None):
        raise ValueError("a gauge needs yAxis.left.min and max")
    marks = properties.get("annotations", {})
    _refuse_others(marks, {"horizontal", "vertical"}, "annotations")
    return MetricWidget(
        place,
        str(properties.get("title", "")),
        view,
        _lines(properties["metrics"], properties.get("stat", "Average"), properties.get("period", 300)),
        is_stacked=bool(properties.get("stacked")),
        is_of_whole_time=bool(properties.get("setPeriodToTimeRange")),
        left=left,
        right=right,
        across=tuple(_mark(one, float) for one in marks.get("horizontal", ()) if _is_visible(one)),
        down=tuple(_mark(one, _time) for one in marks.get("vertical", ()) if _is_visible(one)),
    )


def _axis(given: Mapping[str, Any]) -> Axis:
    _refuse_others(given, {"label", "max", "min", "showUnits"}, "yAxis")
    return Axis(given.get("label"), given.get("min"), given.get("max"), bool(given.get("showUnits", True)))


def _is_visible(mark: Any) -> bool:
    return bool((mark[0] if isinstance(mark, list) else mark).get("visible", True))


def _mark(given: Any, value: Any) -> Mark:
    first, second = given if isinstance(given, list) else (given, None)
    _refuse_others(first, {"color", "fill", "label", "value", "visible", "yAxis"}, "annotation")
    return Mark(
        value(first["value"]),
        None if second is None else value(second["value"]),
        first.get("label"),
        first.get("color"),
        _fill(first.get("fill", "none")),
        is_right=first.get("yAxis") == "right",
    )


def _fill(given: str) -> Literal["above", "below"] | None:
    match given:
        case "above" | "below":
            return given
        case "none":
            return None
    raise ValueError(f"an annotation cannot be filled {given} here")


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _lines(entries: Sequence[Any], stat: str, period: int) -> tuple[Line, ...]:
    """The entries with what they take over from the one before: ``.`` one field, ``...`` all those before the rest."""
    before: list[str] = []
    lines: list[Line] = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, list) or not entry:
            raise ValueError(f"metrics[{number}] is no list")
        fields, options = (entry[:-1], entry[-1]) if isinstance(entry[-1], dict) else (entry, {})
        _refuse_others(options, _OPTIONS, f"metrics[{number}]")
        metric = None
        if "expression" not in options:
            before = _filled(fields, before, number)
            names, values = before[2::2], before[3::2]
            metric = MetricId.of(before[0], before[1], dict(zip(names, values, strict=True)))
        elif fields:
            raise ValueError(f"metrics[{number}] is both a metric and an expression")
        lines.append(
            Line(
                metric,
                options.get("expression"),
                str(options.get("stat", stat)),
                int(options.get("period", period)),
                # One without an id cannot be named in expressions: no name has a space.
                options.get("id", f"line {number}"),
                # An empty one is as good as none.
                options.get("label") or None,
                options.get("color"),
                is_right=options.get("yAxis") == "right",
                is_visible=bool(options.get("visible", True)),
            )
        )
    if len({line.id for line in lines}) < len(lines):
        raise ValueError("two metrics have the same id")
    return tuple(lines)


def _filled(fields: Sequence[Any], before: Sequence[str], number: int) -> list[str]:
    if not all(isinstance(one, str) for one in fields):
        raise ValueError(f"metrics[{number}] has a name or value that is no text")
    if fields and fields[0] == "...":
        rest = list(fields[1:])
        fields = [*before[: len(before) - len(rest)], *rest]
    if len(fields) < 2 or len(fields) % 2 or any(one == "." and at >= len(before) for at, one in enumerate(fields)):
        raise ValueError(f"metrics[{number}] is not namespace, name, and pairs of dimension and value")
    return [before[at] if one == "." else one for at, one in enumerate(fields)]
