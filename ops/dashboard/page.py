"""A dashboard as a page: one file, without anything from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markdown_it import MarkdownIt
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from local.cloudwatch.alarms import Verdict
from ops import logs
from ops.dashboard import chart
from ops.dashboard.body import AlarmWidget, BodyError, LogWidget, MetricWidget, Place, TextWidget
from ops.pages import templates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local.cloudwatch.series import Samples
    from local.log_events import LogEvent
    from ops.dashboard.body import Widget
    from ops.dashboard.chart import Drawn, Frame

_HERE = Path(__file__).parent
MAX_ROWS = 50
"""Rows of a log widget: who wants more of them asks Logs Insights."""
NOT_DEPLOYED = Verdict("not deployed", "the embedded AWS does not have it")


@dataclass(frozen=True)
class Evidence:
    """What a run has left, from which the page is made."""

    name: str
    """The stack's."""
    region: str
    samples: Samples
    logs: Mapping[str, Sequence[LogEvent]]
    """By log group."""
    alarms: Mapping[str, Verdict]
    """The state of each alarm by its ARN."""


@dataclass
class Tile:
    """A widget as it is drawn."""

    kind: str
    """``text``, ``figure``, ``values``, ``rows``, ``alarms`` or ``empty``."""
    place: Place
    title: str
    content: Any
    classes: list[str] = field(default_factory=list)

    @property
    def style(self) -> str:
        """Its place on the grid."""
        place = self.place
        return f"grid-area: {place.y + 1} / {place.x + 1} / span {place.height} / span {place.width}"


@dataclass(frozen=True)
class Value:
    """One of the numbers of a widget."""

    label: str
    text: str
    color: str
    detail: str


@dataclass(frozen=True)
class Figure:
    """What plotly.js draws, and what stands below it."""

    spec: dict[str, Any]
    legend: Sequence[tuple[Drawn, str]] = ()
    far: Sequence[str] = ()
    """What would have its line far above."""


def tiles(widgets: Sequence[Widget], evidence: Evidence, frame: Frame) -> list[Tile]:
    """The widgets with what they show.

    Raises:
        BodyError: a statistic, an expression, a label or a query is not understood, or a log group does not exist.
    """
    return [_tile(widget, evidence, frame) for widget in widgets]


def _tile(widget: Widget, evidence: Evidence, frame: Frame) -> Tile:
    match widget:
        case TextWidget():
            classes = ["transparent"] if widget.is_transparent else []
            # Ours: the renderer escapes what is no Markdown.
            return Tile("text", widget.place, "", Markup(_markdown().render(widget.markdown)), classes)  # noqa: S704
        case AlarmWidget():
            names = [arn.rpartition(":alarm:")[2] for arn in widget.alarms]
            verdicts = [evidence.alarms.get(arn, NOT_DEPLOYED) for arn in widget.alarms]
            alarms = list(zip(names, verdicts, strict=True))
            return Tile("alarms", widget.place, widget.title, alarms)
        case LogWidget():
            return _rows(widget, evidence)
        case MetricWidget():
            drawn = chart.lines(widget, evidence.samples, frame)
            if not drawn:
                return Tile("empty", widget.place, widget.title, chart.why_empty(widget))
            if widget.view == "singleValue":
                values = [Value(one.label, chart.shown(one.last, one.unit), one.color, one.detail) for one in drawn]
                return Tile("values", widget.place, widget.title, values)
            figure = Figure(chart.figure(widget, drawn, frame))
            if widget.view == "timeSeries":
                figure = replace(figure, legend=[(one, one.label) for one in drawn])
                figure = replace(figure, far=chart.far_marks(widget, drawn))
            elif widget.view == "pie":
                figure = replace(figure, legend=[(one, f"{one.label} {chart.shown(one.last)}") for one in drawn])
            return Tile("figure", widget.place, widget.title, figure)


def _rows(widget: LogWidget, evidence: Evidence) -> Tile:
    if missing := [group for group in widget.groups if group not in evidence.logs]:
        raise BodyError(f"{widget.title}: no log group {', '.join(missing)}")
    try:
        query = logs.Query(widget.query)
    except ValueError as error:
        raise BodyError(f"{widget.title}: {error}") from None
    rows = query.run(event for group in widget.groups for event in evidence.logs[group])
    if not rows:
        return Tile("empty", widget.place, widget.title, "no log line matches")
    table = [[row.get(name, "") for name in query.columns] for row in rows[:MAX_ROWS]]
    return Tile("rows", widget.place, widget.title, {"columns": query.columns, "rows": table, "all": len(rows)})


def render(drawn: Sequence[Tile], evidence: Evidence, frame: Frame) -> str:
    """The page.

    All text in it is escaped. What it may load or run is bounded by a Content-Security-Policy to its own scripts, by
    their hashes, and to its own style; plotly.js adds styles of its own, so these have no hash.
    """
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    plotly = get_plotlyjs()
    return (
        templates(_HERE)
        .get_template("page.html")
        .render(
            evidence=evidence,
            frame=frame,
            time=_time,
            tiles=drawn,
            policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src {_hash(plotly)} {_hash(script)}; "
            "base-uri 'none'; form-action 'none'",
            figures=_json([tile.content.spec for tile in drawn if tile.kind == "figure"]),
            # Ours and plotly's, not to be escaped: the hashes are of these very bytes.
            style=Markup(style),  # noqa: S704
            script=Markup(script),  # noqa: S704
            plotly=Markup(plotly),  # noqa: S704
        )
    )


def empty_titles(drawn: Sequence[Tile]) -> dict[str, str]:
    """The widgets that have nothing to show, and why."""
    return {tile.title: tile.content for tile in drawn if tile.kind == "empty"}


@cache
def _markdown() -> MarkdownIt:
    # No HTML, and no images, which would come from elsewhere.
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def _json(value: Any) -> Markup:
    # In a script element only "</" and "<!--" have a meaning.
    return Markup(json.dumps(value, allow_nan=False).replace("<", "\\u003c"))  # noqa: S704


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
