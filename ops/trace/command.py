"""`make trace`: shows one delivery, in the terminal and as a page."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from local.story import Axis, clean, story
from local.waterfall import OTHER_CHARACTERS, draw, label
from ops.replay.show import line
from ops.trace.options import HOURS
from ops.trace.page import render
from ops.trace.source import MISUSED, LocalFile, TraceError, XRay

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from local.progress import Progress
    from local.story import Trace
    from ops.trace.source import Delivery

LISTED = 5
_DELIVERY = re.compile(r"[0-9A-Za-z_-]{1,64}")
"""What a delivery's id is made of; it becomes part of X-Ray's filter and of a file's name."""


def trace(
    directory: Path, progress: Progress, delivery: str | None, stack: str | None, out: Path | None, hours: float = HOURS
) -> int:
    """Shows the waterfall of a delivery, with its retries and replays.

    Args:
        directory: of the local stack, which need not run; the page is written there.
        progress: where to print.
        delivery: its id; None for the newest one.
        stack: a deployed stack, which is read from X-Ray; None for what the local one left.
        out: where to write the page instead.
        hours: how far to look back in X-Ray.

    Returns:
        The exit code: 0 shown; 1 when there are no traces, AWS cannot be asked, or the page cannot be written; 2 when
        there is no such delivery.
    """
    try:
        return _trace(directory, progress.console, delivery, stack, out, hours)
    except TraceError as error:
        line(progress.console, f"error: {error}", "red")
        return error.code


def _trace(
    directory: Path, console: Console, delivery: str | None, stack: str | None, out: Path | None, hours: float
) -> int:
    if delivery is not None and not _DELIVERY.fullmatch(delivery):
        raise TraceError("that is no delivery's id: letters, digits, - and _, at most 64 of them", MISUSED)
    source = XRay.of(directory, stack, hours) if stack is not None else LocalFile(directory)
    others: list[Delivery] = []
    if delivery is None:
        others = [one for one in source.newest() if _DELIVERY.fullmatch(one.id)]
        if not others:
            raise TraceError(f"no delivery in {source.name}: {source.hint}")
        delivery = others.pop(0).id
    told = story(source.segments(delivery))
    if not told:
        line(console, f"error: no delivery {delivery} in {source.name}: {source.hint}", "red")
        _list(console, "The newest ones", source.newest())
        return MISUSED
    _show(console, delivery, told)
    _list(console, "Others", others)
    file = out or directory / f"trace-{delivery}.html"
    try:
        file.write_text(render(delivery, told, source.name), encoding="utf-8")
    except OSError as error:
        raise TraceError(f"the page cannot be written to {file}: {error.strerror}") from None
    line(console, f"\nAs a page, with all details: {file}")
    return 0


def _show(console: Console, delivery: str, told: Sequence[Trace]) -> None:
    rows = [row for one in told for row in one.rows]
    axis = Axis(rows)
    # As wide as the labels are, unless that leaves no room for the bars.
    width = min(max(label(row).cell_len for row in rows), max(console.width - OTHER_CHARACTERS, 20))
    line(console, f"Delivery {delivery}", "bold")
    for number, one in enumerate(told, 1):
        line(console, f"\ntrace {number}  {one.title}  {_date(one.start)}  {clean(one.id)}")
        console.print(draw(one.rows, axis, width))
    line(console, "")
    if axis.folds:
        folded = ", ".join(f"{fold.seconds:.1f} s" for fold in axis.folds)
        line(console, f"┊ nothing ran for {folded}: drawn shorter", "dim")
    line(console, "· waited for: the call's way, a queue, a start, the next attempt", "dim")


def _list(console: Console, title: str, found: Sequence[Delivery]) -> None:
    if found:
        line(console, f"\n{title}", "bold")
    for one in found[:LISTED]:
        line(console, f"  {clean(one.id)}  {_date(one.start)}  {clean(one.about)}")
    if len(found) > LISTED:
        line(console, f"  and {len(found) - LISTED} more")


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
