"""`make replay`: lists dead work, says what a replay would do, does it, and tells what became of it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ops.replay import show
from ops.replay.follow import Outcome, follow, forecast_all
from ops.replay.items import age_text, collect, select
from ops.replay.queue import HOLD_SECONDS, LIMIT, HeldQueue
from ops.replay.stack import ReplayError, explained, open_stack

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from local.progress import Progress
    from ops.replay.items import DeadItem
    from ops.replay.options import ReplayOptions
    from ops.replay.queue import QueueCounts
    from ops.replay.stack import Operated

DONE, OPEN, MISUSED, INTERRUPTED = 0, 1, 2, 130

_GONE_SOON = 0.8
"""The share of a queue's retention after which a message's end is worth a warning."""


def replay(directory: Path, progress: Progress, options: ReplayOptions) -> int:
    """Runs the command.

    Without a selection it lists. With one it shows what would happen, asks, replays, and follows. Nothing is moved
    before it was shown and agreed to, by an answer or by ``options.yes``.

    Args:
        directory: of the local stack.
        progress: where to print.
        options: what the operator asks for.

    Returns:
        The exit code: 0 when it was only a list, or everything that was replayed has succeeded, now or before;
        1 when something has failed or is still open, or AWS could not be asked; 2 when the options make no sense,
        select nothing, or nobody is there to agree; 130 when it was interrupted.
    """
    console = progress.console
    if options.misuse is not None:
        show.line(console, f"error: {options.misuse}", "red")
        return MISUSED
    try:
        stack = open_stack(directory, options.stack)
        if options.quarantine:
            return _list_quarantine(stack, console)
        return _replay(stack, console, options)
    except ReplayError as error:
        show.line(console, f"error: {error}", "red")
        return OPEN


def _list_quarantine(stack: Operated, console: Console) -> int:
    with explained(), HeldQueue(stack.sqs, stack.quarantine_queue_url) as queue:
        counts = queue.counts()
        with show.bar(console, "messages read", counts.visible) as tell:
            messages = queue.receive(counts.visible, tell)
    now = datetime.now(UTC)
    show.line(console, f"Quarantine of {stack.name}: {_count(len(messages), 'message')}", "bold")
    show.show_quarantine(console, messages, now)
    _tell_of_the_rest(console, queue, counts)
    return DONE


def _replay(stack: Operated, console: Console, options: ReplayOptions) -> int:
    queue = HeldQueue(stack.sqs, stack.dead_work_queue_url)
    outcomes: list[Outcome] = []
    try:
        with queue:
            with explained():
                counts = queue.counts()
                with show.bar(console, "messages read", counts.visible) as tell:
                    messages = queue.receive(counts.visible, tell)
            items = collect(messages, datetime.now(UTC))
            if not options.selects:
                return _list(stack, console, items, queue, counts)
            selected = select(items, options)
            if not selected:
                return _nothing_selected(console, items, options)
            outcomes = _dry_run(stack, console, selected)
            _tell_of_the_rest(console, queue, counts)
            agreed = _agree(console, len(selected), options)
            if agreed is not None:
                return agreed
            if queue.has_expired:
                raise ReplayError("the dry run is too old by now: nothing was replayed; begin again")
            since = datetime.now(UTC)
            interrupted = not _send(stack, console, queue, outcomes)
        # The others are visible again: nobody has to wait for what follows.
        interrupted = interrupted or not _follow(stack, console, outcomes, since, options.wait)
    except KeyboardInterrupt:
        sent = sum(1 for one in outcomes if one.state != "unsent")
        # Below the terminal's ^C.
        show.line(console, "")
        show.line(console, f"interrupted: {sent or 'nothing'} {'were' if sent > 1 else 'was'} replayed")
        return INTERRUPTED
    finally:
        _tell_of_failures(console, queue)
    show.show_outcomes(console, outcomes)
    return _conclude(console, outcomes, options, interrupted=interrupted)


def _list(stack: Operated, console: Console, items: Sequence[DeadItem], queue: HeldQueue, counts: QueueCounts) -> int:
    now = datetime.now(UTC)
    show.line(console, f"Dead work of {stack.name}: {_count(len(items), 'job')}", "bold")
    show.show_items(console, items, now)
    _tell_of_the_rest(console, queue, counts)
    sent = [message.sent_at for item in items for message in item.messages]
    oldest = (now - min(sent)).total_seconds() if sent else 0.0
    if oldest > _GONE_SOON * counts.retention_seconds:
        left = age_text(counts.retention_seconds - oldest)
        show.line(console, f"SQS deletes the oldest in {left}: replay it, or keep its message elsewhere", "yellow")
    if items:
        show.line(console, "")
        show.line(console, "ERROR=name, DELIVERY=id, REPOSITORY=owner/name or ALL=1 replays; a dry run comes first")
    return DONE


def _tell_of_the_rest(console: Console, queue: HeldQueue, counts: QueueCounts) -> None:
    if not queue.is_complete:
        show.line(console, f"There is more: these are {LIMIT:,} messages; run it again for the others", "yellow")
    if counts.held:
        show.line(
            console,
            f"About {_count(counts.held, 'message')} not shown: somebody else looks at them, or a listing was killed; "
            f"visible again within {HOLD_SECONDS // 60} minutes",
            "yellow",
        )


def _tell_of_failures(console: Console, queue: HeldQueue) -> None:
    if queue.not_given_back:
        show.line(
            console,
            f"{_count(queue.not_given_back, 'message')} could not be given back: hidden for at most "
            f"{HOLD_SECONDS // 60} minutes, not lost",
            "yellow",
        )
    if queue.not_deleted:
        show.line(
            console,
            f"{_count(queue.not_deleted, 'message')} were replayed and could not be deleted: they are listed again, "
            "and replaying them again does nothing once the job has succeeded",
            "yellow",
        )


def _nothing_selected(console: Console, items: Sequence[DeadItem], options: ReplayOptions) -> int:
    if options.all:
        show.line(console, "nothing is dead")
        return DONE
    groups = ", ".join(sorted({item.group for item in items})) or "none"
    show.line(console, f"nothing dead is selected by that; groups: {groups}")
    return MISUSED


def _dry_run(stack: Operated, console: Console, selected: Sequence[DeadItem]) -> list[Outcome]:
    with explained(), show.bar(console, "executions looked up", len(selected)) as tell:
        forecasts = forecast_all(stack, selected, tell)
    show.show_forecasts(console, selected, forecasts)
    return [Outcome(item, found) for item, found in zip(selected, forecasts, strict=True)]


def _agree(console: Console, count: int, options: ReplayOptions) -> int | None:
    """None when the operator agrees; otherwise the exit code."""
    if options.yes:
        return None
    show.line(console, "")
    if not (console.is_terminal and sys.stdin.isatty()):
        show.line(console, "nothing was changed: there is no terminal to ask, so say YES=1 (--yes) to replay these")
        return MISUSED
    try:
        answer = console.input(f"Replay {'this one' if count == 1 else f'these {count}'}? (y/N) ")
    except EOFError:
        answer = ""
    if answer.strip().casefold() in ("y", "yes"):
        return None
    show.line(console, "nothing was changed")
    return DONE


def _send(stack: Operated, console: Console, queue: HeldQueue, outcomes: Sequence[Outcome]) -> bool:
    """Moves what is selected to the replay queue; False when it was cut short, which it tells."""
    done = 0
    try:
        with explained(), show.bar(console, "sent to be replayed", len(outcomes)) as tell:
            for batch in queue.move([one.item.messages for one in outcomes], stack.replay_queue_url):
                for was_sent in batch:
                    outcomes[done].state = "sent" if was_sent else "unsent"
                    done += 1
                tell(done)
    except KeyboardInterrupt:
        show.line(console, "interrupted: at most one batch more than counted here was sent", "yellow")
        return False
    except ReplayError as error:
        # What was sent is to be followed; the rest is counted as not sent.
        show.line(console, f"error: {error}", "red")
    return True


def _follow(stack: Operated, console: Console, outcomes: Sequence[Outcome], since: datetime, seconds: float) -> bool:
    """Follows what was sent; False when it was cut short, which it tells."""
    if seconds == 0:
        return True
    try:
        with explained(), show.bar(console, "ended", len(outcomes)) as tell:
            follow(stack, outcomes, since, seconds, tell)
    except KeyboardInterrupt:
        show.line(console, "interrupted: what was sent goes on by itself", "yellow")
        return False
    except ReplayError as error:
        show.line(console, f"error: it was sent, but cannot be followed: {error}", "red")
    return True


def _conclude(console: Console, outcomes: Sequence[Outcome], options: ReplayOptions, *, interrupted: bool) -> int:
    hints = []
    if any(one.state == "failed" for one in outcomes):
        hints.append("what failed again is dead work again: this command lists it")
    if any(one.is_open for one in outcomes):
        hints.append("what is open goes on by itself, and comes back as dead work if it fails")
    if any(one.state == "quarantined" for one in outcomes):
        hints.append("QUARANTINE=1 lists the quarantine")
    if hints:
        show.line(console, "")
    for hint in hints:
        show.line(console, hint)
    if interrupted:
        return INTERRUPTED
    return DONE if all(one.is_good or _is_let_go(one, options) for one in outcomes) else OPEN


def _is_let_go(one: Outcome, options: ReplayOptions) -> bool:
    """Whether the operator did not want to know more of it, and there is nothing to fear."""
    return options.wait == 0 and one.state == "sent" and one.forecast.verdict in ("starts", "runs")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
