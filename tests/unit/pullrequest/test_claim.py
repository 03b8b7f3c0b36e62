"""Claims over a table in memory that keeps DynamoDB's promise: a conditional update happens whole or not at all."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from hypothesis import given, settings
from hypothesis import strategies as st

from pullrequest.claim import LEASE_SECONDS, WRITE_SECONDS, Claim, Claims, Holder
from pullrequest.errors import GitHubRefused, GitHubUnavailable, WorkInProgress, WorkRecordUnavailable
from pullrequest.result import Result
from shared.job import Job
from shared.work_key import work_key
from tests.unit.processor.fakes import a_job

JOB = a_job()
FINE = Result(conclusion="success", summary="fine")
A1, A2, B = Holder("token a1", "a"), Holder("token a2", "a"), Holder("token b", "b")


def refusal(code: str, operation: str = "UpdateItem") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "secret message"}}, operation)


@dataclass
class Table:
    """As much of DynamoDB as claims use, with the expressions that they use."""

    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    fails: list[Exception | None] = field(default_factory=list)
    answers_lost: int = 0

    def revision(self) -> int:
        """Of the one item: so often it was written."""
        (item,) = self.items.values()
        return int(item["revision"]["N"])

    def get_item(self, **call: Any) -> dict[str, Any]:
        assert call["ConsistentRead"]
        self._fail()
        item = self.items.get(call["Key"]["id"]["S"])
        return {"Item": dict(item)} if item else {}

    def update_item(self, **call: Any) -> dict[str, Any]:
        self._fail()
        answer = self._update(call)
        if self.answers_lost:
            # The SDK sends the call again when its answer is lost.
            self.answers_lost -= 1
            return self._update(call)
        return answer

    def _fail(self) -> None:
        if self.fails and (failure := self.fails.pop(0)):
            raise failure

    def _update(self, call: dict[str, Any]) -> dict[str, Any]:
        key, values = call["Key"]["id"]["S"], call["ExpressionAttributeValues"]
        names = call.get("ExpressionAttributeNames", {})
        item = self.items.get(key)
        if call["ConditionExpression"] == "attribute_not_exists(id)":
            holds = item is None
        else:
            name, value = call["ConditionExpression"].split(" = ")
            holds = item is not None and item.get(name) == values[value]
        if not holds:
            raise refusal("ConditionalCheckFailedException")
        changed = {"id": {"S": key}, **(item or {})}
        sets, *parts = re.split(r" (?=REMOVE|ADD)", call["UpdateExpression"].removeprefix("SET "))
        for change in sets.split(", "):
            name, value = change.split(" = ")
            changed[names.get(name, name)] = values[value]
        for part in parts:
            verb, _, rest = part.partition(" ")
            if verb == "ADD":
                name, value = rest.split(" ")
                changed[name] = {"N": str(int(changed.get(name, {"N": "0"})["N"]) + int(values[value]["N"]))}
            else:
                for name in rest.split(", "):
                    changed.pop(names.get(name, name), None)
        self.items[key] = changed
        return {"Attributes": dict(changed)}


@dataclass
class Clock:
    now_ms: int = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms

    def passes(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)


@dataclass
class Stage:
    table: Table = field(default_factory=Table)
    clock: Clock = field(default_factory=Clock)

    @property
    def claims(self) -> Claims:
        return Claims("table", self.table, self.clock)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_the_first_one_gets_the_work_and_nobody_else_does(stage: Stage) -> None:
    claim = stage.claims.take(JOB, A1)
    assert (claim.phase, claim.is_taken_over, claim.result, claim.pending_shown) == ("working", False, None, False)
    with pytest.raises(WorkInProgress):
        stage.claims.take(JOB, B)


def test_a_key_is_of_repository_pull_request_sha_and_action() -> None:
    sha = JOB.pull_request.head.sha
    assert work_key(JOB) == f"work#octo-org/hello#7#{sha}#synchronize"
    assert work_key(a_job("build")) != work_key(JOB)


def moved(base: str, **fields: Any) -> Job:
    """The same work on another base."""
    data = JOB.plain()
    data["pull_request"]["base"] = {"ref": "next", "sha": base}
    return Job.read({**data, **fields})


NEXT = moved("9" * 40, changes={"base": {"ref": {"from": "main"}}})


def test_another_base_is_other_work_and_one_holder_at_a_time_writes(stage: Stage) -> None:
    claim = stage.claims.take(JOB, A1)
    with pytest.raises(WorkInProgress):
        stage.claims.take(NEXT, B)
    claim.decide(FINE, 12)
    claim.end("reported", pending_shown=False)

    again = stage.claims.take(NEXT, B)
    assert (again.phase, again.result, again.is_taken_over) == ("working", None, True)
    again.end("released", pending_shown=False)
    # What was found for the first base is not lost by that.
    kept = stage.claims.take(JOB, A2)
    assert kept.phase == "decided"
    assert kept.result is not None
    assert kept.result.summary == "fine"


def test_the_result_of_the_new_base_is_found_and_the_old_one_is_not(stage: Stage) -> None:
    for job, summary in ((JOB, "old"), (NEXT, "new")):
        claim = stage.claims.take(job, A1)
        claim.decide(Result(conclusion="success", summary=summary), 12)
        claim.end("reported", pending_shown=False)

    found = stage.claims.take(moved("9" * 40), B)
    assert found.result is not None
    assert (found.phase, found.result.summary) == ("reported", "new")
    assert stage.claims.take(JOB, B).result is None


def of_yesterday(stage: Stage, summary: str = "fine") -> None:
    """A record as an older version left it: it knows no base."""
    claim = stage.claims.take(JOB, A1)
    claim.decide(Result(conclusion="failure", summary=summary), 12)
    claim.end("reported", pending_shown=False)
    del stage.table.items[work_key(JOB)]["base_sha"]


def test_a_record_of_yesterday_is_found_unless_the_base_was_changed(stage: Stage) -> None:
    of_yesterday(stage)
    assert stage.claims.take(JOB, B).phase == "reported"
    assert stage.claims.take(NEXT, B).result is None


def test_a_refusal_of_yesterday_is_decided_again(stage: Stage) -> None:
    """It may have been for another body in place of the archive."""
    of_yesterday(stage, "the archive is refused: it is not a well-formed gzip-compressed tar archive")
    assert stage.claims.take(JOB, B).result is None


def test_a_refusal_by_a_limit_counts_for_as_long_as_the_limit_is_the_same(stage: Stage) -> None:
    claim = stage.claims.take(JOB, A1, {"entries": 5, "ratio": 1})
    claim.decide(Result(conclusion="failure", summary="too large", refused_by={"entries": 5}), 12)
    claim.end("reported", pending_shown=False)

    assert stage.claims.take(JOB, B, {"entries": 5, "ratio": 2}).phase == "reported"
    # Who only shows what there is asks for no limits.
    assert stage.claims.take(JOB, B).phase == "reported"
    assert stage.claims.take(JOB, B, {"entries": 6, "ratio": 1}).result is None


def test_a_result_that_no_limit_made_counts_by_any_limits(stage: Stage) -> None:
    """Most results are that, and everybody but the closing function asks with limits."""
    claim = stage.claims.take(JOB, A1, {"entries": 5})
    claim.decide(FINE, 12)
    claim.end("reported", pending_shown=False)

    found = stage.claims.take(JOB, B, {"entries": 6})
    assert found.phase == "reported"
    assert found.result is not None


def test_a_reported_result_is_handed_out_for_good(stage: Stage) -> None:
    claim = stage.claims.take(JOB, A1)
    claim.decide(FINE, 12)
    claim.end("reported", pending_shown=False)
    stage.clock.passes(10 * LEASE_SECONDS)
    for attempt in (A1, A2, B):
        found = stage.claims.take(JOB, attempt)
        assert found.phase == "reported"
        assert found.result is not None
        assert (found.result.summary, found.result.duration_ms) == ("fine", 12)


def test_the_successor_in_the_same_execution_takes_over_at_once(stage: Stage) -> None:
    zombie = stage.claims.take(JOB, A1)
    successor = stage.claims.take(JOB, A2)
    assert successor.is_taken_over
    for effect in (zombie.renew, zombie.written, lambda: zombie.decide(FINE, 1), lambda: zombie.writing().__enter__()):
        with pytest.raises(WorkInProgress):
            effect()
    with pytest.raises(WorkInProgress):
        zombie.end("released", pending_shown=False)
    successor.renew()


def test_a_holder_that_went_silent_is_dead_when_its_lease_is_over(stage: Stage) -> None:
    claim = stage.claims.take(JOB, A1)
    stage.clock.passes(LEASE_SECONDS - 1)
    claim.renew()
    stage.clock.passes(LEASE_SECONDS - 1)
    with pytest.raises(WorkInProgress):
        stage.claims.take(JOB, B)
    stage.clock.passes(2)
    assert stage.claims.take(JOB, B).is_taken_over
    with pytest.raises(WorkInProgress):
        claim.renew()


@pytest.mark.parametrize("phase", ["released", "closed"])
def test_who_lets_go_makes_room(stage: Stage, phase: Any) -> None:
    stage.claims.take(JOB, A1).end(phase, pending_shown=True)
    taken = stage.claims.take(JOB, B)
    assert (taken.phase, taken.pending_shown, taken.is_taken_over) == ("working", True, True)


def test_an_attempt_of_a_closed_execution_cannot_open_its_work_again(stage: Stage) -> None:
    """It does not know yet that its execution has ended, and nobody would close the status a second time."""
    stage.claims.take(JOB, Holder("closing", "a")).end("closed", pending_shown=False)
    with pytest.raises(WorkInProgress):
        stage.claims.take(JOB, A1)
    stage.clock.passes(LEASE_SECONDS)
    # By now it knows; this one was redriven.
    stage.claims.take(JOB, A2)


@pytest.mark.parametrize("phase", ["released", "closed"])
def test_a_decided_result_outlives_its_holder(stage: Stage, phase: Any) -> None:
    claim = stage.claims.take(JOB, A1)
    claim.decide(FINE, 12)
    claim.end(phase, pending_shown=True)
    taken = stage.claims.take(JOB, B)
    assert taken.phase == "decided"
    assert taken.result is not None


def test_nobody_takes_over_while_a_write_may_be_under_way(stage: Stage) -> None:
    claim = stage.claims.take(JOB, A1)
    with claim.writing(), pytest.raises(WorkInProgress):
        stage.claims.take(JOB, A2)
    # It is not said to be over yet.
    with pytest.raises(WorkInProgress):
        stage.claims.take(JOB, A2)
    claim.written()
    assert stage.claims.take(JOB, A2).pending_shown


def test_a_write_without_an_answer_is_waited_for_also_after_its_attempt_has_let_go(stage: Stage) -> None:
    claim = stage.claims.take(JOB, A1)
    with pytest.raises(GitHubUnavailable), claim.writing():
        raise GitHubUnavailable("timeout")
    claim.end("released", pending_shown=True)
    stage.clock.passes(WRITE_SECONDS - 1)
    with pytest.raises(WorkInProgress):
        stage.claims.take(JOB, A2)
    stage.clock.passes(1)
    stage.claims.take(JOB, A2)


@pytest.mark.parametrize(("seconds", "updates"), [(0, 0), (1, 0), (1.001, 1)])
def test_what_is_decided_announces_the_write_that_shows_it(stage: Stage, seconds: float, updates: int) -> None:
    claim = stage.claims.take(JOB, A1)
    claim.decide(FINE, 12)
    with pytest.raises(WorkInProgress):
        stage.claims.take(JOB, A2)
    stage.clock.passes(seconds)
    before = stage.table.revision()
    with claim.writing():
        assert stage.table.revision() - before == updates
    # A second write needs an announcement of its own.
    before = stage.table.revision()
    with claim.writing():
        assert stage.table.revision() - before == 1


def test_a_decision_that_was_refused_announces_nothing(stage: Stage) -> None:
    zombie = stage.claims.take(JOB, A1)
    stage.claims.take(JOB, A2)
    with pytest.raises(WorkInProgress):
        zombie.decide(FINE, 12)
    with pytest.raises(WorkInProgress), zombie.writing():
        pytest.fail("it writes")


def test_a_write_that_was_refused_is_over(stage: Stage) -> None:
    claim = stage.claims.take(JOB, A1)
    with pytest.raises(GitHubRefused), claim.writing():
        raise GitHubRefused("422")
    claim.end("released", pending_shown=True)
    stage.claims.take(JOB, A2)


def test_a_lost_answer_is_no_loss_of_the_claim(stage: Stage) -> None:
    stage.table.answers_lost = 1
    claim = stage.claims.take(JOB, A1)
    claim.renew()
    stage.table.answers_lost = 1
    claim.end("released", pending_shown=False)
    stage.table.answers_lost = 1
    stage.claims.take(JOB, B).renew()


@pytest.mark.parametrize("failure", [refusal("ThrottlingException"), ConnectTimeoutError(endpoint_url="https://x")])
@pytest.mark.parametrize("call", [0, 1, 2])
def test_a_table_that_is_away_is_said_without_its_words(stage: Stage, failure: Exception, call: int) -> None:
    stage.table.fails = [None] * call + [failure]
    with pytest.raises(WorkRecordUnavailable, match=r"^(Get|Update)Item: (ThrottlingException|ConnectTimeoutError)$"):
        stage.claims.take(JOB, A1).renew()


def test_the_record_lives_longer_than_any_message(stage: Stage) -> None:
    stage.claims.take(JOB, A1)
    (item,) = stage.table.items.values()
    assert int(item["expiration"]["N"]) - stage.clock.now_ms // 1000 >= 14 * 24 * 3600


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "write", "written", "decide", "report", "release", "renew", "lose"]),
        st.integers(0, 3),
        st.floats(0, 120),
    ),
    max_size=40,
)


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_whatever_happens_one_holder_writes_and_the_first_decision_stands(  # noqa: C901 - a script of short steps
    steps: list[tuple[str, int, float]],
) -> None:
    """Attempts of two executions do as they like, in any order and with any pauses between."""
    stage = Stage()
    attempts = [Holder(f"token {number}", execution) for number, execution in enumerate("aabb")]
    held: dict[int, Claim] = {}
    newest = itertools.count()
    taken: dict[int, int] = {}
    last_writer = -1
    decisions: list[str] = []
    for word, who, pause in steps:
        stage.clock.passes(pause)
        claim = held.get(who)
        try:
            if word == "take":
                held[who] = stage.claims.take(JOB, attempts[who])
                taken[who] = next(newest)
            elif claim is None or claim.phase == "reported":
                continue
            elif word == "write":
                with claim.writing():
                    # No write of an earlier holder follows one of a later holder.
                    assert taken[who] >= last_writer
                    last_writer = taken[who]
            elif word == "written":
                claim.written()
            elif word == "decide" and claim.result is None:
                claim.decide(Result(conclusion="success", summary=f"{who} {len(decisions)}"), 1)
                decisions.append(f"{who} {len(decisions)}")
            elif word == "report" and claim.result is not None:
                claim.end("reported", pending_shown=False)
            elif word == "release":
                claim.end("released", pending_shown=True)
                held.pop(who)
            elif word == "renew":
                claim.renew()
            elif word == "lose":
                held.pop(who)
        except WorkInProgress:
            held.pop(who, None)
    assert len(decisions) <= 1
    stage.clock.passes(LEASE_SECONDS + WRITE_SECONDS)
    final = stage.claims.take(JOB, Holder("later", "later"))
    assert (final.result.summary if final.result else None) == (decisions[0] if decisions else None)
