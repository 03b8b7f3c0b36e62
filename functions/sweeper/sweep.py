"""One sweep of a hook: finds the events whose delivery failed, and asks GitHub to deliver them again.

A *walk* goes through a hook's deliveries from the newest to where the last walk began (``Progress.swept_until``). It
takes one run, or several when a bound is met: the next run goes on at the page where the last one stopped. Nothing is
kept in memory between runs; the ledger (``sweeper.ledger``) has all of it.

An event is delivered by one entry or more, all with its GUID. One that succeeded settles it. Otherwise its newest entry
decides: when that failed in a way that another attempt may cure, redelivery is asked for, with growing pauses between
the attempts, and no more than MAX_ATTEMPTS times. Until a success is seen the event stays in sight: GitHub's "accepted"
says that it will try, not that it did, and a run may have ended before it asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from pullrequest.errors import GitHubRateLimited, GitHubRefused
from shared.metrics import Metric
from sweeper.hooks import CursorLost

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.telemetry import Telemetry
    from sweeper.hooks import Entry, Page

MAX_PAGES = 10
"""Pages of a hundred deliveries that one run reads of one hook."""

MAX_REDELIVERIES = 100
"""Redeliveries that one run asks for, for one hook."""

MAX_ATTEMPTS = 7
"""Redeliveries that are asked for, for one event."""

PAUSES_SECONDS = tuple(minutes * 60 for minutes in (15, 60, 240, 720, 1440, 1320, 15))
"""At least so long after the first, second, ... request for an event before the next one, and after the last one before
it is given up: an outage that lasts for a weekend must not use up the attempts of everything that failed in it.
Together they are shorter than LOOK_BACK_SECONDS, so that nothing drops out of sight before it is given up."""

SETTLE_SECONDS = 120
"""Deliveries younger than that are left to the next walk: they may be under way, or not be listed yet."""

LOOK_BACK_SECONDS = 71 * 60 * 60
"""GitHub redelivers for three days; an hour less, so that nothing ages out between listing and asking."""


class Verdict(Enum):
    """What to do about an event that failed."""

    REQUEST = "request"
    LATER = "later"
    """Its pause is not over, or what the last request came to cannot be seen yet."""
    GIVE_UP = "give up"
    SETTLED = "settled"
    """Nothing: it was delivered or given up, or a newer entry decides."""


@dataclass(frozen=True)
class EventRecord:
    """What the ledger knows of one event. Times in seconds since the epoch."""

    attempts: int = 0
    """Redeliveries asked for, those included of which it is not known whether GitHub heard of them."""
    newest: int = 0
    """When the newest entry was delivered that anything is recorded of."""
    asked_at: int = 0
    """When redelivery was asked for last."""
    due_at: int = 0
    """Nothing more is done before that."""
    delivered: bool = False
    given_up: bool = False


def judge(record: EventRecord, entry: Entry, now: float, top: float) -> Verdict:
    """What to do about an event whose newest known entry failed in a way worth repeating.

    Args:
        record: what is known of the event.
        entry: the entry.
        now: seconds since the epoch.
        top: the same; where the walk began. It shows nothing that was delivered later: a page that is read again
            hours after the request looks as before.
    """
    if record.delivered or record.given_up or record.newest > entry.delivered_at:
        return Verdict.SETTLED
    if record.due_at > now or record.asked_at >= top:
        return Verdict.LATER
    return Verdict.GIVE_UP if record.attempts >= MAX_ATTEMPTS else Verdict.REQUEST


def pause_after(attempts: int) -> int:
    """Seconds to wait after so many requests, one to MAX_ATTEMPTS, for an event."""
    return PAUSES_SECONDS[attempts - 1]


@dataclass(frozen=True)
class Progress:
    """How far the sweeps of a hook have come. Times in seconds since the epoch."""

    swept_until: int = 0
    """Everything delivered before is done with."""
    top: int | None = None
    """Where the walk under way began; None when none is."""
    page: str | None = None
    """GitHub's cursor of the page where it goes on."""
    left: int | None = None
    """When the oldest delivery was that it leaves to the next walk."""


class Ledger(Protocol):
    """Where progress and records are kept. All methods raise ``SweepRecordUnavailable``; see ``sweep_ledger``."""

    def begin(self, now: float, until: float) -> Progress:
        """Takes the hook for this run, until it ends or at most until then."""

    def end(self, progress: Progress | None, now: float) -> None:
        """Gives the hook back; with other progress, if there is some."""

    def record(self, guid: str) -> EventRecord: ...

    def claim(self, entry: Entry, record: EventRecord, now: float) -> None:
        """Counts a request, before it is made."""

    def unclaim(self, entry: Entry, record: EventRecord) -> None:
        """Takes back the count of a request that had no effect."""

    def give_up(self, entry: Entry, now: float) -> bool:
        """Notes that nothing more is done for the event; whether that is new."""

    def note(self, entry: Entry, now: float) -> None:
        """Notes that this entry, and none older, decides about the event."""


class Deliveries(Protocol):
    """``sweeper.hooks.HookDeliveries``."""

    def page(self, cursor: str | None) -> Page: ...

    def redeliver(self, entry: Entry) -> None: ...


@dataclass(frozen=True)
class Bounds:
    """What one run does at most for one hook, besides the time that it has."""

    pages: int = MAX_PAGES
    redeliveries: int = MAX_REDELIVERIES


@dataclass
class Tally:
    """What a run did for a hook."""

    seen: int = 0
    requested: int = 0
    given_up: int = 0
    finished: bool = False
    """Whether the walk came to its end; the next run goes on with it otherwise."""


@dataclass
class Sweep:
    """One run for one hook.

    Args:
        hook: its name, for the log.
        deliveries: the hook at GitHub.
        ledger: the hook's ledger.
        telemetry: for log and metrics.
        clock: seconds since the epoch.
        out_of_time: whether the run has to come to its end.
        bounds: see there.
    """

    hook: str
    deliveries: Deliveries
    ledger: Ledger
    telemetry: Telemetry
    clock: Callable[[], float]
    out_of_time: Callable[[], bool]
    bounds: Bounds = field(default_factory=Bounds)
    tally: Tally = field(default_factory=Tally)

    def run(self, until: float) -> Tally:
        """Walks on, as far as the bounds allow.

        Args:
            until: seconds since the epoch; this run is over by then, in whatever way.

        Raises:
            SweptAlready: another run has the hook.
            SweepRecordUnavailable, GitHubUnavailable, GitHubRateLimited, GitHubRefused: the run cannot go on. Requests
                that were made are recorded, the progress is that of before the run.
        """
        progress = self.ledger.begin(self.clock(), until)
        reached = None
        try:
            reached = self._walk(progress)
        finally:
            self.ledger.end(reached, self.clock())
        return self.tally

    def _walk(self, progress: Progress) -> Progress:
        now = self.clock()
        since = max(progress.swept_until, int(now - LOOK_BACK_SECONDS))
        pages, cursors = self._read(progress.page, since)
        if not pages:
            return progress
        top = progress.top
        if top is None or cursors[0] is None:
            # From the newest delivery on, whatever an unfinished walk has seen.
            top = int(now - SETTLE_SECONDS)
        left, stopped_at = self._decide(pages, since, top)
        left = min((one for one in (left, progress.left) if one is not None), default=None)
        resume = cursors[stopped_at]
        if resume is not None:
            self._note(pages[:stopped_at])
            return Progress(progress.swept_until, top, resume, left)
        if stopped_at < len(pages):
            # On the newest page, which has no cursor: the next walk begins there again.
            return Progress(progress.swept_until)
        self.tally.finished = True
        return Progress(swept_until=top if left is None else min(left, top))

    def _read(self, cursor: str | None, since: int) -> tuple[list[Page], list[str | None]]:
        """The pages of this run, and the cursors of each and of the page behind the last; None there is the end."""
        pages: list[Page] = []
        cursors = [cursor]
        while len(pages) < self.bounds.pages and not self.out_of_time():
            try:
                page = self.deliveries.page(cursor)
            except CursorLost:
                if pages or cursor is None:
                    raise
                self.telemetry.log.warning("the walk's page is gone; it begins again", hook=self.hook)
                cursor, cursors = None, [None]
                continue
            pages.append(page)
            if page.odd:
                self.telemetry.log.warning("deliveries left out", hook=self.hook, count=page.odd)
            seen = sum(1 for entry in page.entries if entry.delivered_at >= since)
            self.telemetry.count(Metric.SWEEP_DELIVERIES_SEEN, seen)
            self.tally.seen += seen
            at_end = bool(page.entries) and page.entries[-1].delivered_at < since
            cursor = None if at_end else page.next
            cursors.append(cursor)
            if cursor is None:
                break
        return pages, cursors

    def _decide(self, pages: list[Page], since: int, top: int) -> tuple[int | None, int]:
        """Asks for what needs redelivery.

        Returns:
            When the oldest delivery was that is left to the next walk, and the page at which a bound was met (the
            number of pages if none was).
        """
        newest: dict[str, Entry] = {}
        succeeded = set()
        for page in pages:
            for entry in page.entries:
                newest.setdefault(entry.guid, entry)
                if entry.succeeded:
                    succeeded.add(entry.guid)
        left: int | None = None
        for number, page in enumerate(pages):
            for entry in page.entries:
                if entry is not newest[entry.guid] or entry.guid in succeeded or not entry.worth_repeating:
                    continue
                if not since <= entry.delivered_at < top:
                    continue
                if self.tally.requested >= self.bounds.redeliveries or self.out_of_time():
                    return left, number
                if self._handle(entry, top) in (Verdict.REQUEST, Verdict.LATER):
                    left = entry.delivered_at if left is None else min(left, entry.delivered_at)
        return left, len(pages)

    def _handle(self, entry: Entry, top: int) -> Verdict:
        record, now = self.ledger.record(entry.guid), self.clock()
        verdict = judge(record, entry, now, top)
        if verdict is Verdict.GIVE_UP and self.ledger.give_up(entry, now):
            self.tally.given_up += 1
            self.telemetry.count(Metric.SWEEP_GIVEN_UP)
            self.telemetry.log.error(
                "delivery given up",
                hook=self.hook,
                delivery_id=entry.guid,
                status=entry.status_code,
                attempts=record.attempts,
            )
        if verdict is Verdict.REQUEST:
            # Counted first: a run that ends in between has counted one too many, not made one too many.
            self.ledger.claim(entry, record, now)
            try:
                self.deliveries.redeliver(entry)
            except GitHubRateLimited:
                self.ledger.unclaim(entry, record)
                raise
            except GitHubRefused as refusal:
                # This one alone; those behind it must not wait for it.
                self.telemetry.log.warning(
                    "redelivery refused", hook=self.hook, delivery_id=entry.guid, reason=str(refusal)
                )
                return verdict
            self.tally.requested += 1
            self.telemetry.count(Metric.SWEEP_REDELIVERY_REQUESTED)
            self.telemetry.log.info(
                "redelivery requested",
                hook=self.hook,
                delivery_id=entry.guid,
                status=entry.status_code,
                attempt=record.attempts + 1,
            )
        return verdict

    def _note(self, pages: list[Page]) -> None:
        """Lets the next run of this walk know of the entries that decide about older ones, which it will meet."""
        newest: dict[str, Entry] = {}
        done = set()
        for page in pages:
            for entry in page.entries:
                newest.setdefault(entry.guid, entry)
                if not entry.redelivery:
                    done.add(entry.guid)
        for guid, entry in newest.items():
            if guid not in done:
                self.ledger.note(entry, self.clock())
