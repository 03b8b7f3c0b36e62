"""What a replay would do, and what became of it: read from Step Functions."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from ops.replay.queue import HeldQueue
from ops.replay.reader import EXECUTION_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from mypy_boto3_stepfunctions.client import SFNClient

    from ops.replay.items import DeadItem
    from ops.replay.stack import Operated

# Each item takes one call or more, and the replay function has to share the account's rate with us.
FORECAST_THREADS = 4

LOCAL_POLL_SECONDS = 0.25
POLL_SECONDS = 2.0
QUARANTINE_SECONDS = 5.0
"""Between two looks into the quarantine."""
CLOCK_TOLERANCE = timedelta(minutes=5)
"""By which the clock of this machine may differ from AWS'."""
PAGES = 20
"""Of a thousand executions each, that one poll reads at most."""
DESCRIBED = 25
"""Executions that one poll asks for by name, at most; the others have their turn at the next."""

_ALIVE = ("RUNNING", "PENDING_REDRIVE")

Verdict = Literal["starts", "runs", "succeeded", "exhausted", "unreadable"]
State = Literal["unsent", "sent", "waiting", "running", "succeeded", "failed", "quarantined"]

_STARTED: dict[State, str] = {
    "sent": "sent, not followed",
    "waiting": "not started yet",
    "running": "still running",
    "succeeded": "succeeded",
    "failed": "failed again",
    "quarantined": "quarantined",
}
_RAN: dict[State, str] = {
    **_STARTED,
    "running": "refused: runs already",
    "succeeded": "refused: was running already, and has succeeded",
    "failed": "refused: was running already, and has failed",
}
_PUT_ASIDE: dict[State, str] = {**_STARTED, "waiting": "on its way to quarantine"}
_LABELS: dict[Verdict, dict[State, str]] = {
    "starts": _STARTED,
    "runs": _RAN,
    "exhausted": _PUT_ASIDE,
    "unreadable": _PUT_ASIDE,
}


@dataclass(frozen=True)
class Forecast:
    """What the replay function would do with an item now.

    ============== =====================================================================
    ``starts``     start the attempt ``execution``
    ``runs``       refuse: ``execution`` runs
    ``succeeded``  refuse: ``execution`` has succeeded
    ``exhausted``  put it into quarantine: every attempt that it may have was made
    ``unreadable`` put it into quarantine: there is no job in it
    ============== =====================================================================
    """

    verdict: Verdict
    execution: str | None = None
    attempt: int = 0


@dataclass
class Outcome:
    """What became of an item; changes while it is followed.

    Args:
        state: ``unsent``: the replay queue did not take it, or was not asked. ``sent``: nobody has looked what came
            of it. ``waiting``: no attempt has started yet. The others are the execution's, or the item's place.
        execution: the attempt that replay started, or that kept it from starting one.
        error: of an attempt that failed.
    """

    item: DeadItem
    forecast: Forecast
    state: State = "unsent"
    execution: str | None = None
    error: str | None = None

    @property
    def label(self) -> str:
        """The line of the summary in which it is counted."""
        if self.state == "unsent":
            return "not sent: still dead work"
        if self.forecast.verdict == "succeeded":
            return "refused: had succeeded already"
        error = f" ({self.error})" if self.error else ""
        return _LABELS[self.forecast.verdict][self.state] + error

    @property
    def is_good(self) -> bool:
        """Whether nothing is left to do: the job has succeeded, now or before."""
        return self.state == "succeeded" or (self.state != "unsent" and self.forecast.verdict == "succeeded")

    @property
    def is_open(self) -> bool:
        """Whether something may still become of it."""
        return self.state in ("sent", "waiting", "running") and self.forecast.verdict != "succeeded"


def attempt_name(delivery_id: str, attempt: int) -> str:
    """The execution's name of a delivery's attempt, from 1: as shared.executions names it."""
    return delivery_id if attempt == 1 else f"{delivery_id}-{attempt}"


def forecast(stack: Operated, item: DeadItem) -> Forecast:
    """What the replay function would do with an item now. Raises what boto3 raises."""
    job = item.job
    if job is None:
        return Forecast("unreadable")
    for attempt in range(1, EXECUTION_LIMIT + 1):
        name = attempt_name(job.delivery_id, attempt)
        try:
            status = stack.stepfunctions.describe_execution(executionArn=stack.execution_arn(name))["status"]
        except stack.stepfunctions.exceptions.ExecutionDoesNotExist:
            return Forecast("starts", name, attempt)
        if status in _ALIVE:
            return Forecast("runs", name, attempt)
        if status == "SUCCEEDED":
            return Forecast("succeeded", name, attempt)
    return Forecast("exhausted")


def forecast_all(stack: Operated, items: Sequence[DeadItem], seen: Callable[[int], None]) -> list[Forecast]:
    """The forecast of each item, in order.

    Args:
        stack: whose executions they are.
        items: the items.
        seen: hears how many are done.
    """
    forecasts = []
    pool = ThreadPoolExecutor(FORECAST_THREADS)
    try:
        for done in pool.map(lambda item: forecast(stack, item), items):
            forecasts.append(done)
            seen(len(forecasts))
    finally:
        # After Ctrl-C or a refusal nobody wants to wait for the others.
        pool.shutdown(wait=False, cancel_futures=True)
    return forecasts


def follow(
    stack: Operated,
    outcomes: Sequence[Outcome],
    since: datetime,
    seconds: float,
    seen: Callable[[int], None] = lambda _: None,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Waits until something has become of everything that was sent, and writes it into the outcomes.

    Raises what boto3 raises; what was found out until then stays.

    Args:
        stack: where it was sent.
        outcomes: those that were sent, and others, which are left alone.
        since: when the first of them was sent.
        seconds: how long to wait at most.
        seen: hears after each look how many are not open any more.
        clock: seconds, from any start.
        sleep: waits so many seconds.
    """
    open_ones = [one for one in outcomes if one.is_open]
    for one in open_ones:
        one.state = "running" if one.forecast.verdict == "runs" else "waiting"
    watch = _Watch(stack, since - CLOCK_TOLERANCE, deque(one for one in open_ones if one.forecast.verdict == "runs"))
    begun = clock()
    next_quarantine = begun + (QUARANTINE_SECONDS if not stack.is_local else LOCAL_POLL_SECONDS)
    while True:
        watch.look(open_ones)
        if clock() >= next_quarantine and any(one.state == "waiting" for one in open_ones):
            watch.look_into_quarantine(open_ones)
            next_quarantine = clock() + QUARANTINE_SECONDS
        open_ones = [one for one in open_ones if one.is_open]
        seen(len(outcomes) - len(open_ones))
        left = begun + seconds - clock()
        if not open_ones or left <= 0:
            return
        sleep(min(left, LOCAL_POLL_SECONDS if stack.is_local else POLL_SECONDS))


@dataclass
class _Watch:
    stack: Operated
    since: datetime
    running: deque[Outcome] = field(default_factory=deque)

    def look(self, open_ones: Sequence[Outcome]) -> None:
        """One look at all that is open.

        What replay starts is new, so it is among the newest executions: one call for a thousand of them. What ran
        before may be old, and is asked for by name.
        """
        started = [one for one in open_ones if one.forecast.verdict == "starts"]
        if started:
            statuses = self._newest({_name(one, attempt) for one in started for attempt in _attempts(one)})
            for one in started:
                # The highest: somebody else may have started one in between, which failed at once.
                names = [name for attempt in _attempts(one) if (name := _name(one, attempt)) in statuses]
                if names:
                    self._settle(one, names[-1], statuses[names[-1]])
        for _ in range(min(DESCRIBED, len(self.running))):
            one = self.running.popleft()
            name = one.forecast.execution or ""
            self._settle(one, name, self._describe(name)["status"])
            if one.is_open:
                self.running.append(one)

    def look_into_quarantine(self, open_ones: Sequence[Outcome]) -> None:
        """Finds what did not start because the replay function put it aside."""
        with HeldQueue(self.stack.sqs, self.stack.quarantine_queue_url) as quarantine:
            there = {
                message.body
                for message in quarantine.receive(quarantine.counts().visible)
                # The same message may have been put aside before.
                if message.sent_at >= self.since
            }
        for one in open_ones:
            if one.state == "waiting" and one.item.messages[0].body in there:
                one.state = "quarantined"

    def _newest(self, wanted: set[str]) -> dict[str, str]:
        """The status of those of the wanted executions that have started."""
        found: dict[str, str] = {}
        token: dict[str, Any] = {}
        for _ in range(PAGES):
            page = self.stack.stepfunctions.list_executions(
                stateMachineArn=self.stack.state_machine_arn, maxResults=1000, **token
            )
            new = [one for one in page["executions"] if one["startDate"] >= self.since]
            found |= {one["name"]: one["status"] for one in new if one["name"] in wanted}
            if len(new) < len(page["executions"]) or not page.get("nextToken"):
                break
            token = {"nextToken": page["nextToken"]}
        return found

    def _settle(self, one: Outcome, name: str, status: str) -> None:
        one.execution = name
        if status in _ALIVE:
            one.state = "running"
        elif status == "SUCCEEDED":
            one.state = "succeeded"
        else:
            # An error's name, not its cause: that is text of the work.
            one.state, one.error = "failed", self._describe(name).get("error") or status

    def _describe(self, name: str) -> dict[str, Any]:
        client: SFNClient = self.stack.stepfunctions
        return dict(client.describe_execution(executionArn=self.stack.execution_arn(name)))


def _attempts(one: Outcome) -> range:
    return range(one.forecast.attempt, EXECUTION_LIMIT + 1)


def _name(one: Outcome, attempt: int) -> str:
    job = one.item.job
    return attempt_name(job.delivery_id if job is not None else "", attempt)
