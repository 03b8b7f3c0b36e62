"""What a sweep asks for: against a GitHub and a ledger in memory, whatever the paging, the bounds and the faults."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullrequest.errors import GitHubRateLimited, GitHubRefused, GitHubUnavailable, WorkError
from shared.metrics import Metric
from sweeper.hooks import CursorLost, Entry, Hook, Page, parse_hooks
from sweeper.sweep import (
    LOOK_BACK_SECONDS,
    MAX_ATTEMPTS,
    PAUSES_SECONDS,
    SETTLE_SECONDS,
    Bounds,
    EventRecord,
    Progress,
    Sweep,
    Verdict,
    judge,
    pause_after,
)
from tests.support import HOOK_LISTS

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_790_000_000
CURABLE = (0, 302, 401, 403, 404, 408, 429, 500, 502, 503, 504)
FINAL = (400, 409, 413, 415)


@dataclass
class Webhooks:
    """A hook at GitHub. ``answers`` is what the webhook answers to redeliveries, 2xx by default."""

    entries: list[Entry] = field(default_factory=list)
    per_page: int = 3
    now: int = NOW
    answer: int = 200
    asked: Counter[str] = field(default_factory=Counter)
    fault: Callable[[str], WorkError | None] = lambda call: None
    forgotten: bool = False

    def add(self, guid: str, status_code: int, ago: int, *, redelivery: bool = False) -> Entry:
        entry = Entry(1000 + len(self.entries), guid, self.now - ago, redelivery, status_code)
        self.entries.append(entry)
        return entry

    def page(self, cursor: str | None) -> Page:
        if error := self.fault("list"):
            raise error
        newest_first = sorted(self.entries, key=lambda entry: (entry.delivered_at, entry.id), reverse=True)
        start = 0
        if cursor is not None:
            if self.forgotten:
                self.forgotten = False
                raise CursorLost("GET: 422")
            start = next(number for number, entry in enumerate(newest_first) if str(entry.id) == cursor)
        end = start + self.per_page
        return Page(tuple(newest_first[start:end]), str(newest_first[end].id) if end < len(newest_first) else None)

    def redeliver(self, entry: Entry) -> None:
        if error := self.fault("before"):
            raise error
        self.asked[entry.guid] += 1
        self.add(entry.guid, self.answer, 0, redelivery=True)
        if error := self.fault("after"):
            raise error

    def wants(self) -> set[str]:
        """The events that need redelivery, worked out in another way than the sweep does."""
        newest: dict[str, Entry] = {}
        for entry in sorted(self.entries, key=lambda one: (one.delivered_at, one.id)):
            newest[entry.guid] = entry
        succeeded = {entry.guid for entry in self.entries if entry.status_code in range(200, 300)}
        return {guid for guid, entry in newest.items() if entry.status_code in CURABLE} - succeeded


@dataclass
class Memory:
    """The ledger in memory; that of the table is held to the same tests in tests/integration."""

    progress: Progress = field(default_factory=Progress)
    records: dict[str, EventRecord] = field(default_factory=dict)
    ended: int = 0

    def begin(self, now: float, until: float) -> Progress:
        assert until >= now
        return self.progress

    def end(self, progress: Progress | None, now: float) -> None:
        self.ended += 1
        self.progress = progress or self.progress

    def record(self, guid: str) -> EventRecord:
        return self.records.get(guid, EventRecord())

    def claim(self, entry: Entry, record: EventRecord, now: float) -> None:
        attempts = record.attempts + 1
        due_at = int(now) + pause_after(attempts)
        self.records[entry.guid] = replace(
            record, attempts=attempts, newest=entry.delivered_at, asked_at=int(now), due_at=due_at
        )

    def unclaim(self, entry: Entry, record: EventRecord) -> None:
        self.records[entry.guid] = replace(
            self.records[entry.guid], attempts=record.attempts, asked_at=record.asked_at, due_at=record.due_at
        )

    def give_up(self, entry: Entry, now: float) -> bool:
        new = not self.record(entry.guid).given_up
        self.records[entry.guid] = replace(self.record(entry.guid), given_up=True)
        return new

    def note(self, entry: Entry, now: float) -> None:
        record = self.record(entry.guid)
        if record.newest <= entry.delivered_at:
            self.records[entry.guid] = replace(
                record, newest=entry.delivered_at, delivered=record.delivered or entry.succeeded
            )


class Telemetry:
    """Counts, and keeps the errors that were logged."""

    def __init__(self) -> None:
        self.counts: Counter[Metric] = Counter()
        self.errors: list[dict[str, Any]] = []
        self.log = self

    def count(self, metric: Metric, value: int = 1, **by: str) -> None:
        self.counts[metric] += value

    def info(self, message: str, **fields: Any) -> None: ...

    warning = info

    def error(self, message: str, **fields: Any) -> None:
        self.errors.append({"message": message, **fields})


@dataclass
class Stage:
    github: Webhooks = field(default_factory=Webhooks)
    ledger: Memory = field(default_factory=Memory)
    telemetry: Telemetry = field(default_factory=Telemetry)
    bounds: Bounds = field(default_factory=Bounds)

    def run(self, out_of_time: Callable[[], bool] = lambda: False) -> Any:
        """One run, at GitHub's time."""
        return Sweep(
            hook="octo-org/hello:1",
            deliveries=self.github,
            ledger=self.ledger,
            telemetry=self.telemetry,
            clock=lambda: self.github.now,
            out_of_time=out_of_time,
            bounds=self.bounds,
        ).run(until=self.github.now + 300)

    def run_to_the_end(self, *, every: int = 300, limit: int = 200) -> int:
        """Runs until a walk ends; how many that took."""
        for number in range(limit):
            self.github.now += every
            if self.run().finished:
                return number + 1
        raise AssertionError("the walk does not end")


@pytest.mark.parametrize("status_code", CURABLE)
def test_a_failure_that_may_be_cured_is_redelivered_once(status_code: int) -> None:
    stage = Stage()
    stage.github.add("a", status_code, 600)
    assert stage.run().requested == 1
    stage.run_to_the_end()
    stage.run_to_the_end()
    assert stage.github.asked == {"a": 1}
    assert stage.telemetry.counts[Metric.SWEEP_REDELIVERY_REQUESTED] == 1


@pytest.mark.parametrize("status_code", [*FINAL, 200, 202])
def test_what_was_answered_for_good_is_left_alone(status_code: int) -> None:
    stage = Stage()
    stage.github.add("a", status_code, 600)
    assert stage.run_to_the_end() == 1
    assert not stage.github.asked


def test_a_success_of_any_entry_settles_the_event() -> None:
    stage = Stage()
    stage.github.add("cured", 503, 900)
    stage.github.add("cured", 200, 600, redelivery=True)
    stage.github.add("done again", 202, 900)
    stage.github.add("done again", 503, 600, redelivery=True)
    stage.github.add("cured just now", 503, 900)
    stage.github.add("cured just now", 202, 1, redelivery=True)
    stage.run_to_the_end()
    assert not stage.github.asked


def test_the_newest_failure_decides() -> None:
    stage = Stage()
    stage.github.add("final by now", 503, 900)
    stage.github.add("final by now", 409, 600, redelivery=True)
    stage.github.add("still failing", 503, 900)
    stage.github.add("still failing", 504, 600, redelivery=True)
    stage.run()
    assert stage.github.asked == {"still failing": 1}


def test_young_deliveries_are_left_to_the_next_walk() -> None:
    stage = Stage()
    stage.github.add("young", 503, SETTLE_SECONDS - 1)
    stage.github.add("under way again", 503, 900)
    stage.github.add("under way again", 503, 5, redelivery=True)
    stage.run()
    assert not stage.github.asked
    stage.run_to_the_end()
    assert stage.github.asked == {"young": 1, "under way again": 1}


def test_the_first_sweep_looks_back_as_far_as_github_redelivers() -> None:
    stage = Stage()
    stage.github.add("too old", 503, LOOK_BACK_SECONDS + 1)
    stage.github.add("old", 503, LOOK_BACK_SECONDS)
    stage.run()
    assert stage.github.asked == {"old": 1}


def test_a_walk_ends_where_the_last_one_began() -> None:
    stage = Stage(github=Webhooks(per_page=2))
    for number in range(20):
        stage.github.add(f"old-{number}", 200, 5000 - number)
    stage.run()
    assert stage.ledger.progress == Progress(swept_until=NOW - SETTLE_SECONDS)
    stage.github.now += 600
    stage.github.add("new", 200, 300)
    pages: list[str] = []
    stage.github.fault = pages.append
    assert stage.run().seen == 1
    assert pages == ["list"]


def test_a_bound_of_pages_is_met_and_the_next_run_goes_on_there() -> None:
    stage = Stage(github=Webhooks(per_page=2), bounds=Bounds(pages=3))
    for number in range(14):
        stage.github.add(f"g{number}", 503, 5000 - number)
    first = stage.run()
    assert (first.seen, first.requested, first.finished) == (6, 6, False)
    assert stage.ledger.progress.page is not None
    # What comes in meanwhile is not part of the walk, and does not move its pages.
    stage.github.now += 300
    stage.github.add("later", 503, 200)
    assert not stage.run().finished
    assert stage.run().finished
    assert stage.github.asked == {f"g{number}": 1 for number in range(14)}
    stage.run_to_the_end()
    assert stage.github.asked["later"] == 1


def test_a_success_on_an_earlier_runs_page_is_remembered() -> None:
    stage = Stage(github=Webhooks(per_page=1), bounds=Bounds(pages=1))
    stage.github.add("cured", 503, 900)
    stage.github.add("final", 503, 890)
    stage.github.add("final", 409, 610, redelivery=True)
    stage.github.add("cured", 200, 600, redelivery=True)
    assert stage.run_to_the_end() == 4
    assert not stage.github.asked


def test_a_bound_of_redeliveries_is_not_passed_over() -> None:
    stage = Stage(bounds=Bounds(redeliveries=2))
    for number in range(7):
        stage.github.add(f"g{number}", 503, 5000 - number)
    assert [stage.run().requested for _ in range(5)] == [2, 2, 2, 1, 0]
    assert set(stage.github.asked.values()) == {1}
    assert len(stage.github.asked) == 7


def test_a_page_that_is_read_again_much_later_is_not_asked_for_twice() -> None:
    stage = Stage(github=Webhooks(per_page=4), bounds=Bounds(pages=1, redeliveries=1))
    for number in range(8):
        stage.github.add(f"g{number}", 503, 5000 - number)
    for _ in range(30):
        stage.run()
        stage.github.now += 3600
    assert stage.github.asked == {f"g{number}": 1 for number in range(8)}


def test_without_time_nothing_is_begun_and_nothing_is_lost() -> None:
    stage = Stage()
    stage.github.add("a", 503, 600)
    stage.ledger.progress = before = Progress(swept_until=NOW - 1000, top=NOW - 100, page=None, left=NOW - 900)
    assert not stage.run(out_of_time=lambda: True).finished
    assert stage.ledger.progress == before
    calls = iter([False, True])
    assert not stage.run(out_of_time=lambda: next(calls, True)).finished
    assert not stage.github.asked
    stage.run_to_the_end()
    assert stage.github.asked == {"a": 1}


def test_a_webhook_that_stays_down_is_given_up_once_and_not_before_a_weekend_is_over() -> None:
    stage = Stage(github=Webhooks(answer=503))
    stage.github.add("a", 503, 600)
    times = []
    for _ in range(70 * 12):
        before = stage.github.asked.total()
        stage.run()
        times += [stage.github.now] * (stage.github.asked.total() - before)
        stage.github.now += 300
    assert stage.github.asked == {"a": MAX_ATTEMPTS}
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(pause >= least for pause, least in zip(pauses, PAUSES_SECONDS[:-1], strict=True)), pauses
    assert times[-1] - times[0] > 60 * 3600
    assert stage.telemetry.counts[Metric.SWEEP_GIVEN_UP] == 1
    assert stage.telemetry.errors == [
        {
            "message": "delivery given up",
            "hook": "octo-org/hello:1",
            "delivery_id": "a",
            "status": 503,
            "attempts": MAX_ATTEMPTS,
        }
    ]
    assert stage.ledger.progress.swept_until > times[-1], "what is given up does not hold the cursor"


def test_what_waits_for_its_pause_does_not_keep_others() -> None:
    stage = Stage(github=Webhooks(answer=503))
    stage.github.add("waits", 503, 600)
    stage.run()
    stage.github.now += 300
    stage.github.add("new", 503, 200)
    stage.run()
    assert stage.github.asked == {"waits": 1, "new": 1}
    stage.github.answer = 200
    for _ in range(20):
        stage.run_to_the_end()
    assert stage.github.asked == {"waits": 2, "new": 2}


def test_a_request_that_is_refused_is_counted_and_keeps_nobody_waiting() -> None:
    stage = Stage()
    stage.github.add("a", 503, 600)
    stage.github.add("b", 503, 500)
    refusals = iter([GitHubRefused("422")])
    stage.github.fault = lambda call: next(refusals, None) if call == "before" else None
    assert stage.run().requested == 1
    assert stage.github.asked.total() == 1
    refused = next(guid for guid in ("a", "b") if guid not in stage.github.asked)
    assert stage.ledger.record(refused).attempts == 1
    stage.github.now += PAUSES_SECONDS[0]
    stage.run()
    assert stage.github.asked == {"a": 1, "b": 1}


def test_what_is_given_up_is_given_up_before_it_is_out_of_sight() -> None:
    assert sum(PAUSES_SECONDS) < LOOK_BACK_SECONDS
    assert len(PAUSES_SECONDS) == MAX_ATTEMPTS


def test_a_request_of_unknown_effect_stays_counted() -> None:
    stage = Stage()
    stage.github.add("a", 503, 600)
    stage.github.fault = lambda call: GitHubUnavailable("x") if call == "before" else None
    for attempt in range(MAX_ATTEMPTS):
        with pytest.raises(GitHubUnavailable):
            stage.run()
        assert stage.run().requested == 0, "its pause is not over"
        stage.github.now += PAUSES_SECONDS[attempt]
    assert stage.run().given_up == 1
    assert stage.ledger.record("a").attempts == MAX_ATTEMPTS
    assert stage.telemetry.counts[Metric.SWEEP_GIVEN_UP] == 1
    assert stage.ledger.progress.swept_until > 0


def test_a_rate_limit_costs_no_attempt_and_moves_nothing() -> None:
    stage = Stage()
    stage.github.add("a", 503, 600)
    stage.github.fault = lambda call: GitHubRateLimited("x") if call == "before" else None
    for _ in range(2 * MAX_ATTEMPTS):
        with pytest.raises(GitHubRateLimited):
            stage.run()
    assert stage.ledger.progress == Progress()
    assert stage.ledger.ended == 2 * MAX_ATTEMPTS, "the hook is given back"
    stage.github.fault = lambda call: None
    assert stage.run().requested == 1


def test_a_page_that_github_forgot_begins_the_walk_again() -> None:
    stage = Stage(github=Webhooks(per_page=2), bounds=Bounds(pages=2))
    for number in range(8):
        stage.github.add(f"g{number}", 503, 5000 - number)
    stage.run()
    stage.github.forgotten = True
    stage.run_to_the_end()
    assert stage.github.asked == {f"g{number}": 1 for number in range(8)}


statuses = st.sampled_from([200, *CURABLE, *FINAL])
# Nobody asks for redelivery of what succeeded, so a success is the last entry of its event. (When somebody does, and it
# fails, one harmless request may follow: the success may be on a page that only the next run reads.)
histories = st.lists(
    st.lists(statuses, min_size=1, max_size=4).filter(lambda history: 200 not in history[:-1]), max_size=15
)


def stage_of(histories: list[list[int]], order: Any, per_page: int, bounds: Bounds) -> Stage:
    """Events with the status codes of their entries, oldest first, mixed in any order that keeps each one's own."""
    stage = Stage(github=Webhooks(per_page=per_page), bounds=bounds)
    turns = [number for number, history in enumerate(histories) for _ in history]
    order.shuffle(turns)
    left = [list(history) for history in histories]
    for position, number in enumerate(turns):
        redelivery = len(left[number]) < len(histories[number])
        ago = 6000 - 2 * position
        stage.github.add(f"g{number}", left[number].pop(0), ago, redelivery=redelivery)
    return stage


bounds = st.just(Bounds()) | st.builds(Bounds, pages=st.integers(1, 4), redeliveries=st.integers(1, 5))


@settings(deadline=None)
@given(histories=histories, order=st.randoms(use_true_random=False), per_page=st.integers(1, 6), bounds=bounds)
def test_every_failed_event_is_redelivered_exactly_once(
    histories: list[list[int]], order: Any, per_page: int, bounds: Bounds
) -> None:
    stage = stage_of(histories, order, per_page, bounds)
    wanted = stage.github.wants()
    # One walk to settle them, another one to see that nothing is asked for again.
    stage.run_to_the_end()
    stage.run_to_the_end()
    assert stage.github.asked == dict.fromkeys(wanted, 1)
    assert stage.telemetry.counts[Metric.SWEEP_REDELIVERY_REQUESTED] == len(wanted)
    assert stage.github.wants() == set()


@settings(deadline=None)
@given(
    histories=histories,
    order=st.randoms(use_true_random=False),
    per_page=st.integers(1, 6),
    bounds=bounds,
    data=st.data(),
)
def test_faults_and_crashes_lose_nothing_and_stay_bounded(
    histories: list[list[int]], order: Any, per_page: int, bounds: Bounds, data: st.DataObject
) -> None:
    stage = stage_of(histories, order, per_page, bounds)
    wanted = stage.github.wants()
    errors = iter(
        data.draw(
            st.lists(
                st.sampled_from([None, None, None, GitHubUnavailable("x"), GitHubRateLimited("x"), RuntimeError("x")]),
                max_size=30,
            )
        )
    )

    def fault(call: str) -> Any:
        error = next(errors, None)
        # A rate limit never comes after the effect.
        return None if call == "after" and isinstance(error, GitHubRateLimited) else error

    stage.github.fault = fault
    for _ in range(400):
        stage.github.now += 300
        try:
            stage.run()
        except (WorkError, RuntimeError):
            continue
    assert set(stage.github.asked) <= wanted
    assert all(count <= MAX_ATTEMPTS for count in stage.github.asked.values())
    given_up = {guid for guid, record in stage.ledger.records.items() if record.given_up}
    assert stage.github.wants() == given_up
    assert stage.telemetry.counts[Metric.SWEEP_GIVEN_UP] == len(given_up)


@settings(deadline=None, max_examples=30)
@given(histories=histories, order=st.randoms(use_true_random=False), per_page=st.integers(1, 6), bounds=bounds)
def test_no_event_is_asked_for_more_often_than_allowed(
    histories: list[list[int]], order: Any, per_page: int, bounds: Bounds
) -> None:
    stage = stage_of(histories, order, per_page, bounds)
    stage.github.answer = 503
    wanted = stage.github.wants()
    for _ in range(300):
        stage.github.now += 900
        stage.run()
    # A run of one page and one request a quarter of an hour does not get to all attempts before the look-back ends.
    assert set(stage.github.asked) == wanted
    assert all(times <= MAX_ATTEMPTS for times in stage.github.asked.values())
    assert stage.telemetry.counts[Metric.SWEEP_GIVEN_UP] <= len(wanted)
    if bounds == Bounds():
        assert stage.github.asked == dict.fromkeys(wanted, MAX_ATTEMPTS)
        assert stage.telemetry.counts[Metric.SWEEP_GIVEN_UP] == len(wanted)


@given(
    st.builds(
        EventRecord,
        attempts=st.integers(0, 9),
        newest=st.integers(NOW - 5, NOW + 5),
        asked_at=st.integers(NOW - 125, NOW - 115),
        due_at=st.integers(NOW - 5, NOW + 5),
        delivered=st.booleans(),
        given_up=st.booleans(),
    )
)
def test_the_judgement(record: EventRecord) -> None:
    verdict = judge(record, Entry(2, "g", NOW, redelivery=False, status_code=503), NOW, NOW - SETTLE_SECONDS)
    if verdict is Verdict.REQUEST:
        assert record.attempts < MAX_ATTEMPTS
        assert record.due_at <= NOW
        assert record.asked_at < NOW - SETTLE_SECONDS
        assert not record.delivered
        assert not record.given_up
    if verdict is Verdict.GIVE_UP:
        assert record.attempts >= MAX_ATTEMPTS
        assert record.due_at <= NOW
    if record.delivered or record.given_up or record.newest > NOW:
        assert verdict is Verdict.SETTLED


def test_hooks_are_named_in_a_list() -> None:
    first, second = parse_hooks("octo-org/hello.py:12,app,app")
    assert first.path == "/repos/octo-org/hello.py/hooks/12/deliveries"
    assert first.owner_path == "/repos/octo-org/hello.py"
    assert (second, second.path, second.owner_path) == (Hook("app"), "/app/hook/deliveries", None)


@pytest.mark.parametrize(("names", "are_hooks"), HOOK_LISTS.items())
def test_what_names_no_hook_is_refused_without_being_quoted(names: str, *, are_hooks: bool) -> None:
    if are_hooks:
        assert [hook.name for hook in parse_hooks(names)] == list(dict.fromkeys(names.split(",")))
        return
    with pytest.raises(ValueError, match=r"entry [1-3] is none of") as caught:
        parse_hooks(names)
    assert len(names) < 5 or names not in str(caught.value)


def test_an_entry_is_told_by_its_number() -> None:
    with pytest.raises(ValueError, match="entry 2 is none of"):
        parse_hooks("app,octo-org")
