"""Claims on a table that checks their expressions as DynamoDB does, to the millisecond."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from pullrequest.claim import Claim, Claims, Holder
from pullrequest.errors import WorkInProgress
from pullrequest.result import Result
from tests.unit.processor.fakes import a_job

if TYPE_CHECKING:
    from tests.integration.conftest import Account

JOB = a_job()
FINE = Result(conclusion="success", summary="fine")
NOW_MS = 1_700_000_000_123
SECOND_MS = 1000
LEASE_MS = 180 * SECOND_MS
WRITE_MS = 60 * SECOND_MS
FIRST, NEXT, OTHER = Holder("token 1", "a"), Holder("token 2", "a"), Holder("token 3", "b")
BY_HAND = Holder("request", None)


class Clock:
    now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


class Contested:
    """A client between whose reads and updates others take the work.

    Args:
        rivals: how many.
        forgets: whether the record is gone again when it is looked at.
    """

    def __init__(self, rivals: int, *, forgets: bool = False) -> None:
        self._dynamodb = boto3.client("dynamodb")
        self._rivals = rivals
        self._forgets = forgets
        self.reads = 0

    def get_item(self, **call: Any) -> dict[str, Any]:
        self.reads += 1
        return dict(self._dynamodb.get_item(**call))

    def update_item(self, **call: Any) -> dict[str, Any]:
        if not self._rivals:
            return dict(self._dynamodb.update_item(**call))
        self._rivals -= 1
        clock = Clock()
        # Long ago, so that nobody is kept from the work by it.
        clock.now_ms = NOW_MS - 10 * LEASE_MS - self._rivals
        rival = Claims(call["TableName"], boto3.client("dynamodb"), clock).take(JOB, OTHER)
        try:
            return dict(self._dynamodb.update_item(**call))
        finally:
            if self._forgets:
                self._dynamodb.delete_item(TableName=call["TableName"], Key=call["Key"])
            else:
                rival.end("released", pending_shown=False)


class Lossy:
    """A client that repeats each update, because the answer to the first was lost."""

    def __init__(self) -> None:
        self._dynamodb = boto3.client("dynamodb")
        self.get_item = self._dynamodb.get_item

    def update_item(self, **call: Any) -> dict[str, Any]:
        self._dynamodb.update_item(**call)
        return dict(self._dynamodb.update_item(**call))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def claims(account: Account, clock: Clock) -> Claims:
    return Claims("idempotency", boto3.client("dynamodb"), clock)


def item() -> dict[str, Any]:
    (found,) = boto3.client("dynamodb").scan(TableName="idempotency")["Items"]
    return dict(found)


def test_a_record_says_who_holds_the_work_and_how_long(claims: Claims) -> None:
    claims.take(JOB, FIRST)
    record = claims.find(JOB)
    assert record is not None
    assert (record.phase, record.owner, record.execution) == ("working", "token 1", "a")
    assert (record.lease_until, record.writing_until, record.revision) == (NOW_MS + LEASE_MS, 0, 1)
    # Seconds, for DynamoDB's time to live.
    assert item()["expiration"] == {"N": str(NOW_MS // 1000 + 15 * 24 * 3600)}


def test_who_works_by_hand_has_no_execution(claims: Claims, clock: Clock) -> None:
    claims.take(JOB, BY_HAND)
    record = claims.find(JOB)
    assert record is not None
    assert record.execution is None
    # Nor are two of them one execution.
    with pytest.raises(WorkInProgress):
        claims.take(JOB, Holder("another request", None))


def test_who_takes_over_by_hand_leaves_no_execution_of_the_one_before(claims: Claims) -> None:
    claims.take(JOB, FIRST).end("released", pending_shown=False)
    claims.take(JOB, BY_HAND)
    assert "execution" not in item()
    assert item()["revision"] == {"N": "3"}


def test_an_execution_that_takes_over_is_known_as_the_one(claims: Claims) -> None:
    claims.take(JOB, BY_HAND).end("released", pending_shown=False)
    claims.take(JOB, FIRST)
    assert item()["execution"] == {"S": "a"}


def test_a_lease_ends_with_its_last_millisecond(claims: Claims, clock: Clock) -> None:
    claims.take(JOB, FIRST)
    clock.now_ms += LEASE_MS - 1
    with pytest.raises(WorkInProgress):
        claims.take(JOB, OTHER)
    clock.now_ms += 1
    assert claims.take(JOB, OTHER).is_taken_over


def test_a_write_keeps_everybody_out_for_a_minute(claims: Claims, clock: Clock) -> None:
    claim = claims.take(JOB, FIRST)
    with claim.writing():
        pass
    assert claim.pending_shown
    clock.now_ms += WRITE_MS - 1
    with pytest.raises(WorkInProgress):
        claims.take(JOB, NEXT)
    clock.now_ms += 1
    assert claims.take(JOB, NEXT).pending_shown


def test_a_decision_is_handed_to_the_one_who_made_it(claims: Claims) -> None:
    claim = claims.take(JOB, FIRST)
    stored = claim.decide(FINE, 7)
    assert (stored.summary, stored.duration_ms) == ("fine", 7)
    assert claim.result == stored


def test_a_found_result_is_of_nobody_who_may_have_written(claims: Claims) -> None:
    claim = claims.take(JOB, FIRST)
    claim.decide(FINE, 7)
    claim.end("reported", pending_shown=False)
    record = claims.find(JOB)
    assert record is not None
    found = claims.take(JOB, OTHER)
    assert (found.phase, found.is_taken_over) == ("reported", False)
    # It is taken by whoever has other work on the same commit: another base, or another limit.
    assert record.admits(OTHER, NOW_MS)
    assert not Claim(claims, JOB, record, record.result).is_taken_over


def test_the_time_is_that_of_the_clock_on_the_wall(account: Account) -> None:
    before = time.time_ns() // 1_000_000
    now = Claims("idempotency", boto3.client("dynamodb")).now()
    assert isinstance(now, int)
    assert before <= now <= time.time_ns() // 1_000_000


@pytest.mark.parametrize("rivals", [1, 2])
def test_who_is_overtaken_twice_asks_again(account: Account, clock: Clock, rivals: int) -> None:
    dynamodb = Contested(rivals)
    assert Claims("idempotency", dynamodb, clock).take(JOB, FIRST).is_taken_over


@pytest.mark.parametrize("forgets", [True, False])
def test_who_is_overtaken_three_times_leaves_the_work_to_others(account: Account, clock: Clock, forgets: bool) -> None:
    dynamodb = Contested(3, forgets=forgets)
    with pytest.raises(WorkInProgress, match="several attempts"):
        Claims("idempotency", dynamodb, clock).take(JOB, FIRST)
    # Each time once to see who has it, and once to see whether that is itself.
    assert dynamodb.reads == 6


@pytest.mark.parametrize("attempt", [FIRST, BY_HAND])
def test_who_finds_itself_where_an_answer_was_lost_has_the_work(
    account: Account, clock: Clock, attempt: Holder
) -> None:
    claim = Claims("idempotency", Lossy(), clock).take(JOB, attempt)
    claim.renew()
    # Taken once, and renewed twice.
    assert item()["revision"] == {"N": "3"}
