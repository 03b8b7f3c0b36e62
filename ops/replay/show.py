"""What `make replay` prints. Text of messages is attacker text: cleaned, and never taken for markup."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from ops.replay.items import UNREADABLE, age_text, clean, grouped
from ops.replay.reader import EXECUTION_LIMIT, PoisonMessage, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from rich.console import Console

    from ops.replay.follow import Forecast, Outcome
    from ops.replay.items import DeadItem, Message

SHOWN = 50
"""Items of a group that a list shows; a dry run shows all."""


def show_items(console: Console, items: Iterable[DeadItem], now: datetime, limit: int | None = SHOWN) -> None:
    """Prints the items, grouped by error.

    Args:
        console: where to.
        items: dead work.
        now: with time zone.
        limit: items of a group at most; None for all.
    """
    for group in grouped(items):
        oldest = age_text((now - group.oldest).total_seconds())
        line(console, "")
        line(console, f"{group.name}  {len(group.items)} dead, oldest {oldest}", "bold")
        shown = group.items[:limit]
        _print_rows(console, [_row(item, now) for item in shown])
        if len(shown) < len(group.items):
            line(console, f"  and {len(group.items) - len(shown)} more")


def _row(item: DeadItem, now: datetime) -> list[str]:
    age = age_text((now - item.since).total_seconds())
    if item.work is None:
        return [f"message {clean(item.messages[0].id)}", clean(item.reason or ""), age]
    job, times = item.work.job, f" x{len(item.messages)}" if len(item.messages) > 1 else ""
    return [
        job.delivery_id,
        f"{job.repository.full_name}#{job.pull_request.number}",
        job.action,
        job.pull_request.head.sha[:7],
        age,
        f"{item.work.shape}{times}",
    ]


def _print_rows(console: Console, rows: Sequence[Sequence[str]]) -> None:
    table = Table.grid(padding=(0, 2), pad_edge=True)
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    console.print(table)


def show_forecasts(console: Console, items: Sequence[DeadItem], forecasts: Sequence[Forecast]) -> None:
    """Prints what a replay would do, and with what.

    Args:
        console: where to.
        items: what was selected.
        forecasts: of each.
    """
    rows: defaultdict[str, list[list[str]]] = defaultdict(list)
    titles = {
        "starts": "would be started again, as the next attempt",
        "runs": "would be refused: runs already",
        "succeeded": "would be refused: has succeeded already, and then leaves the dead work",
        "exhausted": f"would go to quarantine: all {EXECUTION_LIMIT} attempts were made, and failed",
        "unreadable": "would go to quarantine: cannot be read",
    }
    for item, found in zip(items, forecasts, strict=True):
        job = item.job
        if job is None:
            row = [f"message {clean(item.messages[0].id)}", clean(item.reason or "")]
        else:
            row = [
                job.delivery_id,
                f"{job.repository.full_name}#{job.pull_request.number}",
                job.action,
                f"attempt {found.attempt}" if found.attempt else "",
            ]
        rows[found.verdict].append(row)
    line(console, "")
    line(console, f"Dry run: {len(items)} selected", "bold")
    for verdict, title in titles.items():
        if rows[verdict]:
            line(console, f"  {len(rows[verdict])} {title}")
            _print_rows(console, rows[verdict])


def show_outcomes(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Prints the summary, and what did not end well one by one."""
    sent = sum(1 for one in outcomes if one.state != "unsent")
    line(console, "")
    line(console, f"{sent} of {len(outcomes)} replayed", "bold")
    for label, count in summary(outcomes):
        line(console, f"  {count:>5} {label}")
    bad = [one for one in outcomes if not one.is_good and one.state != "sent"]
    if bad:
        line(console, "")
        _print_rows(console, [_bad_row(one) for one in bad[:SHOWN]])
        if len(bad) > SHOWN:
            line(console, f"  and {len(bad) - SHOWN} more")


def summary(outcomes: Iterable[Outcome]) -> list[tuple[str, int]]:
    """How many ended how, the most frequent first."""
    counted = Counter(clean(one.label) for one in outcomes)
    return sorted(counted.items(), key=lambda one: (-one[1], one[0]))


def _bad_row(one: Outcome) -> list[str]:
    job = one.item.job
    subject = "" if job is None else f"{job.repository.full_name}#{job.pull_request.number}"
    name = one.execution or (f"message {one.item.messages[0].id}" if job is None else job.delivery_id)
    return [clean(name), subject, clean(one.label)]


def show_quarantine(console: Console, messages: Sequence[Message], now: datetime) -> None:
    """Prints what is in quarantine, grouped by the reason."""
    groups: defaultdict[tuple[str, str], list[Message]] = defaultdict(list)
    for message in messages:
        reason, source = (_attribute(message, name) for name in ("reason", "source"))
        groups[reason or "no reason given", source or "a dead-letter queue"].append(message)
    for (reason, source), found in sorted(groups.items(), key=lambda one: -len(one[1])):
        oldest = age_text((now - min(one.sent_at for one in found)).total_seconds())
        line(console, "")
        line(console, f"{reason}  {len(found)} from {source}, oldest {oldest}", "bold")
        found.sort(key=lambda one: one.sent_at)
        _print_rows(console, [_quarantine_row(one, now) for one in found[:SHOWN]])
        if len(found) > SHOWN:
            line(console, f"  and {len(found) - SHOWN} more")


def _quarantine_row(message: Message, now: datetime) -> list[str]:
    age = age_text((now - message.sent_at).total_seconds())
    first = f"message {clean(message.id)}"
    try:
        work = read(message.body)
    except PoisonMessage:
        return [first, UNREADABLE.lower(), age]
    job = work.job
    return [first, f"{job.repository.full_name}#{job.pull_request.number}", age, job.delivery_id, work.shape]


def _attribute(message: Message, name: str) -> str:
    return clean(str(message.attributes.get(name, {}).get("StringValue", "")))


def line(console: Console, text: str, style: str = "") -> None:
    """Prints a line of any text, without taking anything in it for markup."""
    console.print(Text(text, style=style), soft_wrap=True)


@contextlib.contextmanager
def bar(console: Console, title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar while something goes on; without a terminal, a line when it is over.

    Yields:
        What is to be told how many of the total are done.
    """
    done = 0
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(title, total=max(total, 1))

        def tell(completed: int) -> None:
            nonlocal done
            done = completed
            bars.update(task, completed=completed, total=max(total, completed, 1))

        try:
            yield tell
        finally:
            if not console.is_terminal:
                line(console, f"  {title}: {done}")
