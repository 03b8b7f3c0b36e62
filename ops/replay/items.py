"""Dead work as the operator sees it: one item a job, grouped by what went wrong. Plain functions, no AWS."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ops.replay.reader import DeadWork, Job, PoisonMessage, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ops.replay.options import ReplayOptions

UNREADABLE = "Unreadable"
"""The group of messages in which there is no job."""

_STATUS_GROUPS = {"TIMED_OUT": "TimedOut", "ABORTED": "Aborted", "FAILED": "Failed"}
_REPLACEMENT = "\ufffd"


@dataclass(frozen=True)
class Message:
    """A message of a queue, as much of it as is needed to move it as it is. Its body may hold a task token."""

    id: str
    receipt: str = field(repr=False)
    body: str = field(repr=False)
    sent_at: datetime
    attributes: Mapping[str, Any] = field(default_factory=dict, repr=False)
    trace_header: str | None = None


@dataclass(frozen=True)
class DeadItem:
    """A job that is dead, with every message about it; or a message that cannot be read.

    A delivery that failed, was started again and failed again has left a message each time. One of them is enough to
    start it again, and more than one could start it more than once.

    Args:
        group: what went wrong, of the newest message.
        since: when the job died, by the newest message.
        messages: newest first, at least one.
        work: what the newest message says; without its token. None when it cannot be read.
        reason: why it cannot be read.
        executions: names of the executions that the messages tell of.
    """

    group: str
    since: datetime
    messages: tuple[Message, ...]
    work: DeadWork | None = None
    reason: str | None = None
    executions: frozenset[str] = frozenset()

    @property
    def job(self) -> Job | None:
        """The job, unless the message cannot be read."""
        return None if self.work is None else self.work.job


@dataclass(frozen=True)
class Group:
    """Items with one error, oldest first."""

    name: str
    items: tuple[DeadItem, ...]

    @property
    def oldest(self) -> datetime:
        """When the first of them died."""
        return self.items[0].since


def collect(messages: Iterable[Message], now: datetime) -> list[DeadItem]:
    """The dead jobs of these messages, oldest first.

    Args:
        messages: in any order; a message that was received twice counts once.
        now: with time zone. What claims to have died later counts as sent when SQS got it.
    """
    jobs: defaultdict[str, list[tuple[datetime, Message, DeadWork]]] = defaultdict(list)
    items: list[DeadItem] = []
    for message in {one.id: one for one in messages}.values():
        try:
            # The token is dead, and nothing here needs it.
            work = dataclasses.replace(read(message.body), token=None)
        except PoisonMessage as poison:
            items.append(DeadItem(UNREADABLE, message.sent_at, (message,), reason=str(poison)))
            continue
        jobs[work.job.to_json()].append((died_at(work, message, now), message, work))
    for found in jobs.values():
        found.sort(key=lambda one: one[0], reverse=True)
        since, _, newest = found[0]
        items.append(
            DeadItem(
                group_of(newest),
                since,
                tuple(message for _, message, _ in found),
                newest,
                executions=frozenset(work.execution for _, _, work in found if work.execution is not None),
            )
        )
    return sorted(items, key=lambda item: item.since)


def died_at(work: DeadWork, message: Message, now: datetime) -> datetime:
    """When the work died: as the message says, or else when it was sent."""
    ended_at = work.ended_at
    if ended_at is not None and ended_at.tzinfo is None:
        ended_at = ended_at.replace(tzinfo=UTC)
    return ended_at if ended_at is not None and ended_at <= now else message.sent_at


def group_of(work: DeadWork) -> str:
    """The name under which dead work is listed and selected: its error, or else how it ended."""
    if work.error is not None:
        return work.error
    if work.shape == "delivery":
        return "NotStarted"
    return _STATUS_GROUPS.get(work.status or "", "Unknown")


def grouped(items: Iterable[DeadItem]) -> list[Group]:
    """The groups, largest first."""
    by_name: defaultdict[str, list[DeadItem]] = defaultdict(list)
    for item in items:
        by_name[item.group].append(item)
    groups = [Group(name, tuple(sorted(found, key=lambda item: item.since))) for name, found in by_name.items()]
    return sorted(groups, key=lambda group: (-len(group.items), group.name))


def select(items: Iterable[DeadItem], options: ReplayOptions) -> list[DeadItem]:
    """Those of the items to which everything applies that was asked for; none when nothing was."""
    if not options.selects:
        return []
    return [item for item in items if _is_selected(item, options)]


def _is_selected(item: DeadItem, options: ReplayOptions) -> bool:
    if options.all:
        return True
    job = item.job
    if options.error is not None and options.error.casefold() != item.group.casefold():
        return False
    if options.delivery is not None and (job is None or options.delivery not in {job.delivery_id, *item.executions}):
        return False
    # GitHub's names differ in more than the case of their letters.
    return options.repository is None or (
        job is not None and options.repository.casefold() == job.repository.full_name.casefold()
    )


def age_text(seconds: float) -> str:
    """An age in words: ``12 s``, ``5 min``, ``3 h 20 min``, ``2 d 4 h``.

    Args:
        seconds: negative ones, of clocks that differ, count as 0.
    """
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 60:
        return f"{minutes} min"
    if hours < 24:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{days} d {hours % 24} h" if hours % 24 else f"{days} d"


def clean(text: str, limit: int = 200) -> str:
    """Text of somebody else for a terminal: on one line, without control characters, cut.

    Args:
        text: any text.
        limit: characters at most.
    """
    shown = "".join(character if character.isprintable() else _REPLACEMENT for character in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def batches(messages: Sequence[Message], max_count: int, max_bytes: int) -> list[list[Message]]:
    """The messages in order, in batches of at most so many, and so many bytes of bodies together.

    A message that is larger by itself is a batch by itself.
    """
    made: list[list[Message]] = []
    room = 0
    for message in messages:
        size = len(message.body.encode())
        if not made or len(made[-1]) == max_count or size > room:
            made.append([])
            room = max_bytes
        made[-1].append(message)
        room -= size
    return made
