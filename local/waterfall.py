"""The segments of one delivery, drawn as a waterfall in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from local.story import Axis, story

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from local.story import Row
    from local.traces import Segment

BAR_CHARACTERS = 40
_DEEP = 8
"""From this depth on rows are indented by one character: AWS adds three levels of its own to each function."""
_TIME_CHARACTERS = 8
OTHER_CHARACTERS = BAR_CHARACTERS + 2 * _TIME_CHARACTERS + 8 + 2
"""Of a row, besides its first column: bar, times, the space between them, and two for longer times."""


def waterfall(segments: Iterable[Segment]) -> Table:
    """The segments of one delivery as a table: indented by parent, with a bar from start to end on one scale."""
    rows = [row for trace in story(segments) for row in trace.rows]
    return draw(rows, Axis(rows))


def draw(rows: Sequence[Row], axis: Axis, label_width: int | None = None) -> Table:
    """Rows as a table, with a bar each.

    Args:
        rows: of one trace.
        axis: the scale, of all rows that are to be compared.
        label_width: characters of the first column, so that several tables are in line; None for what it needs.
    """
    table = Table(box=None, padding=(0, 1), show_header=False)
    table.add_column(no_wrap=True, overflow="ellipsis", width=label_width)
    table.add_column(no_wrap=True, justify="right", min_width=_TIME_CHARACTERS, style="dim")
    table.add_column(no_wrap=True, justify="right", min_width=_TIME_CHARACTERS)
    table.add_column(no_wrap=True)
    for row in rows:
        start = f"{(row.segment.start - axis.start) * 1000:.0f} ms"
        table.add_row(label(row), Text(start), Text(row.took), _bar(row, axis))
    return table


def label(row: Row) -> Text:
    """A row's first column: what it is, and what is to be said of it."""
    indent = min(row.depth, _DEEP) * 2 + max(row.depth - _DEEP, 0)
    text = Text(" " * indent + row.label, style="bold" if row.segment.service else "")
    for mark in row.marks:
        text.append(f"  {mark}", style="red" if mark in row.bad_marks else "dim")
    return text


def _bar(row: Row, axis: Axis) -> Text:
    first = min(int(axis.at(row.segment.start) * BAR_CHARACTERS), BAR_CHARACTERS - 1)
    last = max(round(axis.at(row.end) * BAR_CHARACTERS), first + 1)
    waits_from = int(axis.at(row.segment.start - (row.waited or 0)) * BAR_CHARACTERS)
    folds = {int(fold.at * BAR_CHARACTERS) for fold in axis.folds}
    bar = Text()
    for column in range(BAR_CHARACTERS if folds else last):
        if first <= column < last:
            bar.append("█", style=_STYLES[row.kind])
        elif column in folds:
            bar.append("┊", style="dim")
        else:
            bar.append("·" if waits_from <= column < first else " ", style="dim")
    return bar


_STYLES = {
    "fault": "red",
    "refused": "yellow",
    "function": "cyan",
    "lost": "red",
    "call": "blue",
    "aws": "bright_black",
}
