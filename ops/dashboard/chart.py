"""What a metric widget shows: the series of its lines, and from those a figure for plotly.js or single values."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local.cloudwatch.aws import NOT_HERE
from local.cloudwatch.expression import evaluate_all
from ops.dashboard import search
from ops.dashboard.body import BodyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from local.cloudwatch.series import MetricId, Samples, Series
    from ops.dashboard.body import Axis, Line, Mark, MetricWidget

PALETTE = ("#1f82c0", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8c7ae6", "#7f8c9b")
"""Okabe and Ito's colours, which nearly everybody tells apart, changed where white or black lies behind them."""
MARK_COLOR = "#d55e00"
PERIODS = (1, 2, 5, 10, 15, 30, 60, 300, 900, 3600)
POINTS = 30
"""A line has about so many at most."""
MINUTE = 60
FAR = 4
"""A mark that is so many times as high as the highest value is named, not drawn: the values would lie on the axis."""
_DYNAMIC = re.compile(r"\$\{([^}]+)\}")
_PROPERTY = re.compile(r"PROP\(\s*'(?:Dim\.)?([^']+)'\s*\)")
_UNITS = {"Milliseconds": "ms", "Seconds": "s", "Bytes": "B", "Count": "", "None": "", "Percent": "%"}


@dataclass(frozen=True)
class Frame:
    """The time that a page shows, in seconds since the epoch, and how long a period of a minute is in it."""

    start: int
    end: int
    period: int

    @classmethod
    def around(cls, start: float, end: float) -> Frame:
        """A frame that has both, with the shortest period that does not give a line too many points."""
        length = max(end - start, 1)
        period = next((one for one in PERIODS if length / one <= POINTS), PERIODS[-1])
        # A period more at each end: nothing lies on the edge.
        return cls(int(start // period - 1) * period, int(math.floor(end / period + 1) * period), period)

    @property
    def periods(self) -> range:
        """The start of each period."""
        return range(self.start, self.end, self.period)

    def scaled(self, period: int) -> Frame:
        """The frame with a widget's own period in place of a minute, as much shorter as a minute is here."""
        return Frame(self.start, self.end, max(min(period * self.period // MINUTE, self.end - self.start), 1))

    @property
    def whole(self) -> Frame:
        """The frame as one period."""
        return Frame(self.start, self.end, self.end - self.start)


@dataclass(frozen=True)
class Drawn:
    """A line with its values."""

    label: str
    series: Series
    unit: str
    color: str
    detail: str
    """Which metric and statistic it is, for who points at it."""
    is_right: bool = False

    @property
    def last(self) -> float:
        """The newest value; there is one."""
        return self.series[max(self.series)]


def lines(widget: MetricWidget, samples: Samples, frame: Frame) -> list[Drawn]:
    """The visible lines of a widget that have values.

    A graph has the widget's periods, scaled to the frame; so have other views, which show the newest value, unless they
    are of the whole time.

    Raises:
        BodyError: a statistic, an expression or a label is not understood.
    """
    try:
        return _lines(widget, samples, frame)
    except ValueError as error:
        raise BodyError(f"{widget.title}: {error}") from None


def _lines(widget: MetricWidget, samples: Samples, frame: Frame) -> list[Drawn]:
    periods = {line.period for line in widget.lines}
    if len(periods) != 1:
        raise ValueError(f"different periods in one widget are not drawn here: {sorted(periods)}")
    is_whole = widget.is_of_whole_time and widget.view != "timeSeries"
    frame = frame.whole if is_whole else frame.scaled(periods.pop())
    found: list[tuple[Line, MetricId | None, Series, str]] = []
    computed = _computed(widget, samples, frame)
    plain = [line for line in widget.lines if line.expression is None or not search.is_search(line.expression)]
    names = dict(zip(plain, _names([line.metric for line in plain]), strict=True))
    for line in widget.lines:
        if line in names:
            found.append((line, line.metric, computed[line.id], names[line] or str(line.expression)))
        else:
            wanted = search.parse(str(line.expression))
            metrics = wanted.find(samples.metrics())
            found += [
                (line, metric, _series(samples, metric, wanted.stat, frame), name)
                for metric, name in zip(metrics, _names(metrics), strict=True)
            ]
    units = {one.metric: one.unit for one in samples}
    return [
        Drawn(
            _label(line, metric, series, name),
            series,
            units.get(metric, "") if metric else "",
            line.color or PALETTE[number % len(PALETTE)],
            f"{metric}, {line.stat}" if metric else str(line.expression),
            is_right=line.is_right,
        )
        for number, (line, metric, series, name) in enumerate(one for one in found if one[0].is_visible and one[2])
    ]


def _computed(widget: MetricWidget, samples: Samples, frame: Frame) -> dict[str, Series]:
    """By the ids of lines: metrics, and expressions of them."""
    metrics = {line.id: _series(samples, line.metric, line.stat, frame) for line in widget.lines if line.metric}
    expressions = {
        line.id: line.expression
        for line in widget.lines
        if line.expression is not None and not search.is_search(line.expression)
    }
    return metrics | evaluate_all(expressions, metrics, periods=frame.periods)


def _series(samples: Samples, metric: MetricId, stat: str, frame: Frame) -> Series:
    return samples.series(metric, stat, frame.period, frame.start, frame.end, origin=frame.start)


def _names(metrics: Sequence[MetricId | None]) -> list[str]:
    """What tells metrics apart: their names, the values of their dimensions, or both; nothing for what is none."""
    known = [metric for metric in metrics if metric]
    shared = set.intersection(*(set(metric.dimensions) for metric in known)) if known else set()
    has_one_name = len({metric.name for metric in known}) == 1
    names = []
    for metric in metrics:
        if metric is None:
            names.append("")
            continue
        own = [value for _, value in sorted(set(metric.dimensions) - shared)]
        names.append(" ".join(own if has_one_name and own else [metric.name, *own]))
    return names


def _label(line: Line, metric: MetricId | None, series: Series, name: str) -> str:
    if line.label is None:
        return name
    values = list(series.values())
    known = {
        "LABEL": name,
        "LAST": shown(series[max(series)]),
        "FIRST": shown(series[min(series)]),
        "MIN": shown(min(values)),
        "MAX": shown(max(values)),
        "AVG": shown(sum(values) / len(values)),
        "SUM": shown(sum(values)),
    }

    def value(match: re.Match[str]) -> str:
        if match[1] in known:
            return known[match[1]]
        wanted = _PROPERTY.fullmatch(match[1])
        if wanted is None or metric is None:
            raise ValueError(f"this part of a label is not understood: {match[0]}")
        properties = {"MetricName": metric.name, "Namespace": metric.namespace, "Stat": line.stat}
        return {**properties, **dict(metric.dimensions)}.get(wanted[1], "")

    return _DYNAMIC.sub(value, line.label)


def shown(value: float, unit: str = "") -> str:
    """A value as people read it: three digits that matter, and thousands as k or M."""
    if unit == "Milliseconds" and abs(value) >= 1000:
        value, unit = value / 1000, "Seconds"
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= factor:
            scale = 1e3 if letter == "k" else factor
            return f"{_digits(value / scale)}{letter} {_UNITS.get(unit, unit)}".rstrip()
    return f"{_digits(value)} {_UNITS.get(unit, unit)}".rstrip()


def _digits(value: float) -> str:
    if value == round(value):
        return f"{value:.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:.0f}"


def why_empty(widget: MetricWidget) -> str:
    """Why a widget without values may have none."""
    reasons = {
        NOT_HERE[line.metric.namespace, line.metric.name]
        for line in widget.lines
        if line.metric and (line.metric.namespace, line.metric.name) in NOT_HERE
    }
    return "; ".join(sorted(reasons)) or "nothing of the kind happened"


# Figures


def figure(widget: MetricWidget, drawn: Sequence[Drawn], frame: Frame) -> dict[str, Any]:
    """A figure for plotly.js, but for the colours of the page, which its script adds.

    Args:
        widget: in any view but single values.
        drawn: its lines.
        frame: the time that is shown.
    """
    match widget.view:
        case "timeSeries":
            return _graph(widget, drawn, frame)
        case "gauge":
            return _gauge(widget, drawn[0])
        case "bar":
            return _bars(drawn, widget.left)
        case _:
            return _pie(drawn)


def _graph(widget: MetricWidget, drawn: Sequence[Drawn], frame: Frame) -> dict[str, Any]:
    if any(mark.fill for mark in widget.across):
        raise BodyError(f"{widget.title}: annotations of graphs are not filled here")
    near = [mark for mark in widget.across if not _is_far(mark, drawn)]
    data = []
    for one in drawn:
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": "lines+markers",
            "name": one.label,
            "x": [_iso(at) for at in one.series],
            "y": list(one.series.values()),
            "line": {"color": one.color, "width": 1.75},
            "marker": {"color": one.color, "size": 5},
            "hovertemplate": f"%{{y:,.4~g}} {_UNITS.get(one.unit, one.unit)}",
            "meta": one.detail,
        }
        if one.is_right:
            trace["yaxis"] = "y2"
        if widget.is_stacked:
            trace |= {"stackgroup": "right" if one.is_right else "left"}
        data.append(trace)
    has_right = any(one.is_right for one in drawn)
    layout: dict[str, Any] = {
        "margin": {"l": 46, "r": 46 if has_right else 14, "t": 8, "b": 24},
        "hovermode": "x unified",
        "showlegend": False,
        "xaxis": {
            "type": "date",
            "range": [_iso(frame.start), _iso(frame.end)],
            "nticks": max(widget.place.width - 1, 3),
            "tickformat": "%H:%M:%S",
            "tickangle": 0,
            "hoverformat": "%H:%M:%S",
        },
        "yaxis": _y_axis(widget.left, [one for one in drawn if not one.is_right]),
        "shapes": [shape for mark in near for shape in _across(mark)]
        + [shape for mark in widget.down for shape in _down(mark)],
        "annotations": [_caption(mark) for mark in near if mark.label]
        + [_caption_above(mark) for mark in widget.down if mark.label],
    }
    if has_right:
        right = _y_axis(widget.right, [one for one in drawn if one.is_right])
        layout["yaxis2"] = right | {"overlaying": "y", "side": "right", "showgrid": False}
    return {"data": data, "layout": layout}


def far_marks(widget: MetricWidget, drawn: Sequence[Drawn]) -> list[str]:
    """The marks of a graph that lie too far above the values to be drawn, lowest first."""
    far = sorted((mark for mark in widget.across if _is_far(mark, drawn)), key=lambda mark: mark.at)
    return [f"{mark.label or ''} {shown(mark.at)}".strip() for mark in far]


def _is_far(mark: Mark, drawn: Sequence[Drawn]) -> bool:
    highest = max((max(one.series.values()) for one in drawn if one.is_right == mark.is_right), default=0)
    return mark.at > FAR * highest > 0


def _y_axis(axis: Axis, drawn: Iterable[Drawn]) -> dict[str, Any]:
    lines = list(drawn)
    highest = max((value for one in lines for value in one.series.values()), default=0)
    units = {_UNITS.get(one.unit, one.unit) for one in lines}
    unit = units.pop() if len(units) == 1 and axis.shows_units else ""
    made: dict[str, Any] = {"rangemode": "tozero", "nticks": 6, "tickmode": "auto", "automargin": True}
    made["tickformat"] = ",~r" if highest < 10_000 else "~s"
    if axis.min is not None or axis.max is not None:
        made |= {"range": [axis.min if axis.min is not None else 0, axis.max]}
    elif highest == 0:
        # A line of zeros lies on the axis, not in the middle of it.
        made |= {"range": [0, 1]}
    if title := " ".join(filter(None, (axis.label, f"({unit})" if unit and axis.label else unit))):
        made["title"] = {"text": title, "font": {"size": 11}, "standoff": 4}
    return made


def _across(mark: Mark) -> list[dict[str, Any]]:
    color, y = mark.color or MARK_COLOR, "y2" if mark.is_right else "y"
    line = {"color": color, "width": 1, "dash": "dash"}
    edges = [
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": y, "y0": at, "y1": at, "line": line}
        for at in (mark.at, mark.to)
        if at is not None
    ]
    band = {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "fillcolor": color, "opacity": 0.1, "line": {"width": 0}}
    if mark.to is not None:
        return [*edges, band | {"yref": y, "y0": mark.at, "y1": mark.to}]
    return edges


def _down(mark: Mark) -> list[dict[str, Any]]:
    color = mark.color or MARK_COLOR
    line = {"color": color, "width": 1, "dash": "dash"}
    shape = {"yref": "paper", "y0": 0, "y1": 1, "line": line}
    edges: list[dict[str, Any]] = [
        shape | {"type": "line", "x0": _iso(at), "x1": _iso(at)} for at in (mark.at, mark.to) if at is not None
    ]
    if mark.to is not None:
        band = {"type": "rect", "x0": _iso(mark.at), "x1": _iso(mark.to), "fillcolor": color, "opacity": 0.1}
        edges.append(shape | band | {"line": {"width": 0}})
    return edges


def _caption(mark: Mark) -> dict[str, Any]:
    return {
        "text": mark.label,
        "xref": "paper",
        "x": 1,
        "xanchor": "right",
        "yref": "y2" if mark.is_right else "y",
        "y": mark.at,
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 10},
    }


def _caption_above(mark: Mark) -> dict[str, Any]:
    return {
        "text": mark.label,
        "x": _iso(mark.at),
        "xanchor": "left",
        "yref": "paper",
        "y": 1,
        "yanchor": "top",
        "showarrow": False,
        "font": {"size": 10},
    }


def _gauge(widget: MetricWidget, one: Drawn) -> dict[str, Any]:
    low, high = widget.left.min, widget.left.max
    gauge: dict[str, Any] = {
        "axis": {"range": [low, high]},
        "bar": {"color": one.color, "thickness": 0.5},
        "borderwidth": 0,
    }
    filled = [mark for mark in widget.across if mark.fill]
    gauge["steps"] = [
        {
            "range": [mark.at, high] if mark.fill == "above" else [low, mark.at],
            "color": _faint(mark.color or MARK_COLOR),
        }
        for mark in filled
    ]
    number = {"valueformat": ",.3~s", "suffix": f" {_UNITS.get(one.unit, one.unit)}".rstrip()}
    trace = {
        "type": "indicator",
        "mode": "gauge+number",
        "value": one.last,
        "gauge": gauge,
        "number": number,
        "title": {"text": one.label, "font": {"size": 12}},
        "meta": one.detail,
    }
    return {"data": [trace], "layout": {"margin": {"l": 30, "r": 30, "t": 36, "b": 10}}}


def _bars(drawn: Sequence[Drawn], axis: Axis) -> dict[str, Any]:
    data = [
        {
            "type": "bar",
            "name": one.label,
            "x": [one.label],
            "y": [one.last],
            "marker": {"color": one.color},
            "meta": one.detail,
            "hovertemplate": f"%{{y:,.4~g}} {_UNITS.get(one.unit, one.unit)}",
        }
        for one in drawn
    ]
    layout = {
        "margin": {"l": 46, "r": 14, "t": 8, "b": 24},
        "showlegend": False,
        "bargap": 0.35,
        "yaxis": _y_axis(axis, drawn),
        "xaxis": {"automargin": True},
    }
    return {"data": data, "layout": layout}


def _pie(drawn: Sequence[Drawn]) -> dict[str, Any]:
    trace = {
        "type": "pie",
        "hole": 0.55,
        "labels": [one.label for one in drawn],
        "values": [one.last for one in drawn],
        "marker": {"colors": [one.color for one in drawn]},
        "textinfo": "percent",
        "textposition": "inside",
        "hovertemplate": "%{label} %{value:,.3~g} (%{percent})<extra></extra>",
        "sort": False,
    }
    layout = {
        "margin": {"l": 10, "r": 10, "t": 8, "b": 8},
        "showlegend": False,
        # What is too small for its text has it in the legend.
        "uniformtext": {"minsize": 10, "mode": "hide"},
    }
    return {"data": [trace], "layout": layout}


def _faint(color: str) -> str:
    """A colour that lets what lies behind it through; of others than #rrggbb CloudWatch knows nothing."""
    return f"rgba({', '.join(str(int(color[at : at + 2], 16)) for at in (1, 3, 5))}, 0.25)"


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
