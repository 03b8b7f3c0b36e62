"""Who does a piece of work, and what came of it: one record for repository, pull request, head SHA and action.

The task token guards one attempt. This record guards the effect: the same work may be asked for by a retry (with a new
token), by two deliveries of one event (an App and a repository hook), or by a replay, one after the other or at once.
One of them holds the claim and writes to GitHub and S3; the others wait for its result (WorkInProgress, which the state
machine retries) or find it.

Phases: ``working`` -> ``decided`` (the result is stored, not yet shown) -> ``reported`` (final). ``released`` when an
attempt failed and another may begin, ``closed`` when an execution ended without success and its status says so. A
result that was decided outlives both: the next holder shows it and does not work it out again.

Two rules keep a zombie (an attempt that nobody waits for, still running) from overwriting what came after it:

- Every write is preceded by ``writing``, a conditional update that fails as soon as somebody else holds the claim.
- It also announces, until when the write may be under way; nobody takes the claim before that moment. So no write of
  the old holder can arrive after one of the new holder.
"""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from pullrequest.errors import GitHubUnavailable, WorkInProgress, WorkRecordUnavailable
from pullrequest.result import Result, StoredResult
from shared.aws import CONDITION_FAILED, error_code
from shared.idempotency import EXPIRES_AFTER_SECONDS
from shared.work_key import work_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb.client import DynamoDBClient

    from shared.job import Job

LEASE_SECONDS = 180
"""A holder that did not renew for so long is dead: the state's HeartbeatSeconds, because a claim is renewed with each
heartbeat that Step Functions accepted."""

WRITE_SECONDS = 60
"""Longest time from announcing one write to GitHub until it is over: the announcement itself, three connections of
10 s, an answer of 10 s, and the pauses between them."""

FRESH_SECONDS = 1
"""So long after it was decided a result's write may begin without another announcement: the minute is meant for the
write alone."""

Phase = Literal["working", "decided", "reported", "released", "closed"]

_CONFLICT_ATTEMPTS = 3


@dataclass(frozen=True)
class Holder:
    """Who asks for a claim.

    Args:
        owner: names the attempt: a fingerprint of its task token, or the request's id when there is none.
        execution: the execution's name; None when the processor was invoked by hand.
    """

    owner: str
    execution: str | None


@dataclass(frozen=True)
class WorkRecord:
    """What the table holds of a piece of work. Times in milliseconds since the epoch."""

    phase: Phase
    owner: str
    """Tells a person who holds the work; the claim's own id decides."""
    execution: str | None
    claim: str
    revision: int
    lease_until: int
    writing_until: int
    pending_shown: bool
    check_run: int | None
    """Id of the check run that is shown as pending; None where it is a status, or where the answer was lost."""
    result: StoredResult | None
    base_sha: str | None
    """The base that the result is for; None in records of before it was kept, which count for every base."""

    @classmethod
    def of(cls, item: dict[str, Any]) -> WorkRecord:
        """The record of a table item."""
        result = item["result"]["S"] if "result" in item else None
        return cls(
            phase=item["phase"]["S"],
            owner=item["owner"]["S"],
            execution=item["execution"]["S"] if "execution" in item else None,
            claim=item["claim"]["S"],
            revision=int(item["revision"]["N"]),
            lease_until=int(item["lease_until"]["N"]),
            writing_until=int(item["writing_until"]["N"]),
            pending_shown=item["pending_shown"]["BOOL"],
            check_run=int(item["check_run"]["N"]) if "check_run" in item else None,
            result=StoredResult.read_json(result) if result else None,
            base_sha=item["base_sha"]["S"] if "base_sha" in item else None,
        )

    def result_for(self, job: Job, limits: Mapping[str, int] | None) -> StoredResult | None:
        """The result, where it is the one of this job's work: of the same base, and by the same limits.

        Args:
            job: whose work.
            limits: those in force, by name; None for whatever they are.
        """
        result = self.result
        if result is None:
            return None
        if self.base_sha is None:
            # Of a version that knew neither base nor limits, and took a broken answer for a verdict, too.
            is_moved = job.changes is not None
            return None if is_moved or result.summary.startswith(_REFUSED_BEFORE) else result
        if self.base_sha != job.pull_request.base.sha:
            return None
        if limits is None or not result.refused_by:
            return result
        return result if all(limits.get(name) == value for name, value in result.refused_by.items()) else None

    def admits(self, attempt: Holder, now: int) -> bool:
        """Whether the attempt may take the work now; ``reported`` work is taken only where its result is another's.

        A later attempt of the same execution may take it at once: the state machine makes one only when the token of
        the one before is dead. Anybody else waits until the holder has let go or its lease has run out.

        The other way round where an execution was closed: an attempt of it that still runs does not know yet, and may
        not open again what nobody will close. Later it can only be one that was redriven.
        """
        if self.writing_until > now:
            return False
        is_same = self.execution is not None and self.execution == attempt.execution
        if self.phase == "closed":
            return not is_same or self.lease_until <= now
        return self.phase in ("released", "reported") or is_same or self.lease_until <= now


_REFUSED_BEFORE = "the archive is refused: "


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Claims:
    """The records in the idempotency table.

    Args:
        table: the table's name.
        dynamodb: the client to use.
        now: milliseconds since the epoch.

    All methods raise WorkRecordUnavailable when the table did not answer; the message holds the error code alone.
    """

    def __init__(self, table: str, dynamodb: DynamoDBClient, now: Callable[[], int] = _now_ms) -> None:
        self._table = table
        self._dynamodb = dynamodb
        self.now = now

    def find(self, job: Job) -> WorkRecord | None:
        """The record of the job's work."""
        key = {"id": {"S": work_key(job)}}
        try:
            answer = self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        except (ClientError, BotoCoreError) as error:
            raise _unavailable("GetItem", error) from None
        return WorkRecord.of(answer["Item"]) if "Item" in answer else None

    def take(self, job: Job, attempt: Holder, limits: Mapping[str, int] | None = None) -> Claim:
        """Takes the work, or hands over its result: a claim whose ``phase`` is ``reported`` has nothing left to do.

        Args:
            job: whose work.
            attempt: who asks.
            limits: the action's, by name: what another limit has refused is done again. None when no work is to be
                done, only shown.

        Raises:
            WorkInProgress: somebody else does the work right now.
        """
        for _ in range(_CONFLICT_ATTEMPTS):
            record = self.find(job)
            result = record.result_for(job, limits) if record is not None else None
            if record is not None and record.phase == "reported" and result is not None:
                return Claim(self, job, record, result)
            if record is not None and not record.admits(attempt, self.now()):
                raise WorkInProgress("another attempt does the same work")
            if claim := self._take(job, attempt, record, result):
                return claim
        raise WorkInProgress("several attempts ask for the same work")

    def _take(self, job: Job, attempt: Holder, seen: WorkRecord | None, result: StoredResult | None) -> Claim | None:
        claim_id = uuid.uuid4().hex
        decided = result is not None
        values: dict[str, Any] = {
            ":owner": {"S": attempt.owner},
            ":claim": {"S": claim_id},
            ":phase": {"S": "decided" if decided else "working"},
            ":pending": {"BOOL": seen.pending_shown if seen else False},
            ":over": {"N": "0"},
        }
        changes = ["#owner = :owner", "claim = :claim", "phase = :phase", "pending_shown = :pending"]
        changes.append("writing_until = :over")
        condition = "attribute_not_exists(id)"
        if seen is not None:
            condition, values[":seen"] = "revision = :seen", {"N": str(seen.revision)}
        if attempt.execution is not None:
            values[":execution"] = {"S": attempt.execution}
            changes.append("execution = :execution")
        try:
            record = self.update(job, changes, condition, values, removed=() if attempt.execution else ("execution",))
        except WorkInProgress:
            # The client repeats a call whose answer was lost, and the repetition finds the work taken: by itself.
            found = self.find(job)
            if found is None or found.claim != claim_id:
                return None
            record = found
        return Claim(self, job, record, result, taken_over=seen is not None)

    def update(
        self, job: Job, changes: Sequence[str], condition: str, values: dict[str, Any], removed: Sequence[str] = ()
    ) -> WorkRecord:
        """Changes the record, and prolongs its lease and its life.

        Args:
            job: whose record.
            changes: parts of DynamoDB's SET clause; ``#owner`` and ``#result`` stand for reserved words.
            condition: DynamoDB's condition.
            values: of the placeholders in both.
            removed: names of attributes that go.

        Returns:
            The record as it is then.

        Raises:
            WorkInProgress: the condition does not hold.
        """
        now = self.now()
        changes = [*changes, "lease_until = :lease", "expiration = :expiration"]
        expression = f"SET {', '.join(changes)} ADD revision :one"
        if removed:
            expression += f" REMOVE {', '.join(removed)}"
        names = {name: name[1:] for name in ("#owner", "#result") if name in expression}
        values = {
            **values,
            ":one": {"N": "1"},
            ":lease": {"N": str(now + LEASE_SECONDS * 1000)},
            ":expiration": {"N": str(now // 1000 + EXPIRES_AFTER_SECONDS)},
        }
        try:
            answer = self._dynamodb.update_item(
                TableName=self._table,
                Key={"id": {"S": work_key(job)}},
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
                ReturnValues="ALL_NEW",
                **({"ExpressionAttributeNames": names} if names else {}),  # type: ignore[arg-type]
            )
        except ClientError as error:
            if error_code(error) == CONDITION_FAILED:
                raise WorkInProgress("another attempt has taken the work over") from None
            raise _unavailable("UpdateItem", error) from None
        except BotoCoreError as error:
            raise _unavailable("UpdateItem", error) from None
        return WorkRecord.of(answer["Attributes"])


class Claim:
    """One holder's claim to a piece of work. Made by ``Claims``.

    All methods raise WorkInProgress when somebody else has taken the work over: the holder has to stop, and nothing
    that it does counts any more; WorkRecordUnavailable when the table did not answer.
    """

    def __init__(
        self, claims: Claims, job: Job, record: WorkRecord, result: StoredResult | None, *, taken_over: bool = False
    ) -> None:
        self._claims = claims
        self._job = job
        self._id = record.claim
        self._may_be_writing = False
        self._decided_at: int | None = None
        """When the result was decided, while the write that shows it has not begun."""
        self.phase: Phase = record.phase
        self.result = result
        """The result of this very work, where there is one: the record may also hold that of another base."""
        self.pending_shown = record.pending_shown
        """Whether the pending status is on the commit, as far as anybody knows."""
        self.check_run = record.check_run if record.pending_shown else None
        """The check run that is pending, where its id is known. Whoever creates one sets it; every update keeps it."""
        self.is_taken_over = taken_over
        """Whether an earlier holder may have written something already."""

    def renew(self) -> None:
        """Keeps the claim for another LEASE_SECONDS. May be called from another thread."""
        self._update([], {})

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Around one write to GitHub. Raises before the write when it must not happen.

        Until ``written`` or ``end`` says that it is over, nobody can take the claim for WRITE_SECONDS.
        """
        now, decided_at = self._claims.now(), self._decided_at
        # An announcement lasts for one write.
        self._decided_at = None
        if decided_at is None or now - decided_at > FRESH_SECONDS * 1000:
            self._update(*self._announcement(now))
        self.pending_shown = True
        try:
            yield
        except GitHubUnavailable:
            # Without an answer nobody knows whether the write is over: only time tells.
            self._may_be_writing = True
            raise

    def written(self) -> None:
        """Says that no write is under way, before a longer time without one."""
        self._update(["writing_until = :over"], {":over": {"N": "0"}})

    def decide(self, result: Result, duration_ms: int) -> StoredResult:
        """Stores the result, before it is shown: whoever takes over from here shows the same one.

        Announces the write that shows it, too.
        """
        stored = StoredResult.of(result, duration_ms)
        values = {
            ":result": {"S": stored.to_json()},
            ":phase": {"S": "decided"},
            ":base": {"S": self._job.pull_request.base.sha},
        }
        now = self._claims.now()
        changes, announced = self._announcement(now)
        self._update(["#result = :result", "phase = :phase", "base_sha = :base", *changes], values | announced)
        self._decided_at = now
        self.result, self.phase = stored, "decided"
        return stored

    def end(self, phase: Literal["reported", "released", "closed"], *, pending_shown: bool) -> None:
        """Lets go.

        Args:
            phase: why.
            pending_shown: whether a pending status is left on the commit.
        """
        changes = ["phase = :phase", "pending_shown = :pending"]
        values: dict[str, Any] = {":phase": {"S": phase}, ":pending": {"BOOL": pending_shown}}
        if not self._may_be_writing:
            changes.append("writing_until = :over")
            values[":over"] = {"N": "0"}
        if not pending_shown:
            # It is complete: when the work is done again, that has a check run of its own.
            self.check_run = None
        self._update(changes, values, () if pending_shown else ("check_run",))
        self.phase, self.pending_shown = phase, pending_shown

    @staticmethod
    def _announcement(now: int) -> tuple[list[str], dict[str, Any]]:
        # A status that may be there has to be closed as well, so it counts as shown from here on.
        values = {":until": {"N": str(now + WRITE_SECONDS * 1000)}, ":yes": {"BOOL": True}}
        return ["writing_until = :until", "pending_shown = :yes"], values

    def _update(self, changes: list[str], values: dict[str, Any], removed: Sequence[str] = ()) -> None:
        if self.check_run is not None:
            changes = [*changes, "check_run = :check_run"]
            values = {**values, ":check_run": {"N": str(self.check_run)}}
        self._claims.update(self._job, changes, "claim = :mine", {**values, ":mine": {"S": self._id}}, removed)


def _unavailable(operation: str, error: ClientError | BotoCoreError) -> WorkRecordUnavailable:
    return WorkRecordUnavailable(f"{operation}: {error_code(error)}")
