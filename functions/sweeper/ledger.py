"""Where sweeps are written down: in the idempotency table, in items of two kinds.

- ``sweep#<hook>``: how far the sweeps of a hook have come, and which run has the hook until when.
- ``redelivery#<hook>#<guid>``: what was done for one event. The hook is part of the key because GitHub gives an event
  the same GUID at every hook that it is delivered to.

Only GetItem and UpdateItem are used. Every update is safe to be sent twice, since the SDK does so when an answer is
lost.
"""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from shared.aws import CONDITION_FAILED, error_code
from shared.idempotency import EXPIRES_AFTER_SECONDS
from sweeper.sweep import EventRecord, Progress, pause_after

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_dynamodb.client import DynamoDBClient

    from sweeper.hooks import Entry


class SweepRecordUnavailable(Exception):
    """The table did not answer; the message is AWS' error code."""


class SweptAlready(Exception):
    """Another run has the hook."""


class TableLedger:
    """The ledger (``sweeper.sweep.Ledger``) of one hook, for one run.

    Args:
        hook: the hook's name.
        table: the table: partition key ``id``, time to live ``expiration``.
        dynamodb: the client to use.
    """

    def __init__(self, hook: str, table: str, dynamodb: DynamoDBClient) -> None:
        self._hook = hook
        self._table = table
        self._dynamodb = dynamodb
        self._owner = str(uuid.uuid4())

    def begin(self, now: float, until: float) -> Progress:
        """Takes the hook for this run, and tells how far earlier ones have come.

        Args:
            now: seconds since the epoch.
            until: the same; when this run is over in whatever way, and others need not wait any longer.

        Raises:
            SweptAlready: another run has it.
            SweepRecordUnavailable: see there.
        """
        item = self._update(
            self._progress_id,
            "SET #owner = :owner, #lease = :until, #expiration = :expiration",
            "attribute_not_exists(#lease) OR #lease < :now OR #owner = :owner",
            {
                ":owner": {"S": self._owner},
                ":until": _number(until),
                ":now": _number(now),
                ":expiration": _number(now + EXPIRES_AFTER_SECONDS),
            },
        )
        if item is None:
            raise SweptAlready("another run has the hook")
        return Progress(
            swept_until=_integer(item, "swept_until") or 0,
            top=_integer(item, "top"),
            page=item.get("page", {}).get("S"),
            left=_integer(item, "left"),
        )

    def end(self, progress: Progress | None, now: float) -> None:
        """Gives the hook back, with this progress or, with None, with that of before.

        Does nothing when this run does not have it any longer: then another one's progress counts.

        Raises:
            SweepRecordUnavailable: see there. The hook is free again when this run's time is over.
        """
        sets, removes = "SET #lease = :zero, #expiration = :expiration", []
        values: dict[str, Any] = {
            ":owner": {"S": self._owner},
            ":zero": _number(0),
            ":expiration": _number(now + EXPIRES_AFTER_SECONDS),
        }
        if progress is not None:
            fields = {
                "swept_until": _number(progress.swept_until),
                "top": None if progress.top is None else _number(progress.top),
                "page": None if progress.page is None else {"S": progress.page},
                "left": None if progress.left is None else _number(progress.left),
            }
            for name, value in fields.items():
                if value is None:
                    removes.append(f"#{name}")
                else:
                    sets += f", #{name} = :{name}"
                    values[f":{name}"] = value
        expression = f"{sets} REMOVE {', '.join(removes)}" if removes else sets
        self._update(self._progress_id, expression, "#owner = :owner", values)

    def record(self, guid: str) -> EventRecord:
        """What is known of an event; an empty record when nothing is.

        Raises:
            SweepRecordUnavailable: see there.
        """
        with _translated():
            answer = self._dynamodb.get_item(
                TableName=self._table, Key={"id": {"S": self._record_id(guid)}}, ConsistentRead=True
            )
        item = answer.get("Item", {})
        return EventRecord(
            attempts=_integer(item, "attempts") or 0,
            newest=_integer(item, "newest") or 0,
            asked_at=_integer(item, "asked_at") or 0,
            due_at=_integer(item, "due_at") or 0,
            delivered="delivered" in item,
            given_up="given_up" in item,
        )

    def claim(self, entry: Entry, record: EventRecord, now: float) -> None:
        """Counts a request for the entry's event, before it is made.

        Args:
            entry: the entry that is to be redelivered.
            record: what the decision was made on.
            now: seconds since the epoch.

        Raises:
            SweptAlready: another run has counted one since the record was read.
            SweepRecordUnavailable: see there.
        """
        attempts = record.attempts + 1
        claimed = self._update(
            self._record_id(entry.guid),
            "SET #attempts = :attempts, #newest = :newest, #asked_at = :now, #due_at = :due_at, #owner = :owner, "
            "#expiration = :expiration",
            # The second half is this very update, sent again.
            f"{_UNCOUNTED if record.attempts == 0 else _COUNTED} OR (#attempts = :attempts AND #owner = :owner)",
            {
                ":attempts": _number(attempts),
                ":newest": _number(entry.delivered_at),
                ":now": _number(now),
                ":due_at": _number(now + pause_after(attempts)),
                ":owner": {"S": self._owner},
                ":expiration": _number(now + EXPIRES_AFTER_SECONDS),
            }
            | ({":before": _number(record.attempts)} if record.attempts else {}),
        )
        if claimed is None:
            raise SweptAlready("another run has claimed the delivery")

    def unclaim(self, entry: Entry, record: EventRecord) -> None:
        """Takes a claim back: GitHub said that the request has no effect.

        Raises:
            SweepRecordUnavailable: see there. The request stays counted.
        """
        before = {":before": _number(record.attempts)} if record.attempts else {}
        self._update(
            self._record_id(entry.guid),
            "SET #asked_at = :asked_at, #due_at = :due_at"
            + (", #attempts = :before" if before else " REMOVE #attempts"),
            "#attempts = :attempts AND #owner = :owner",
            {
                ":asked_at": _number(record.asked_at),
                ":due_at": _number(record.due_at),
                ":attempts": _number(record.attempts + 1),
                ":owner": {"S": self._owner},
            }
            | before,
        )

    def give_up(self, entry: Entry, now: float) -> bool:
        """Notes that nothing more is done for the event.

        Returns:
            Whether that is new.

        Raises:
            SweepRecordUnavailable: see there.
        """
        return (
            self._update(
                self._record_id(entry.guid),
                "SET #given_up = :owner, #expiration = :expiration",
                "attribute_not_exists(#given_up) OR #given_up = :owner",
                {":owner": {"S": self._owner}, ":expiration": _number(now + EXPIRES_AFTER_SECONDS)},
            )
            is not None
        )

    def note(self, entry: Entry, now: float) -> None:
        """Notes that this entry is the newest of its event, and whether it delivered it.

        Raises:
            SweepRecordUnavailable: see there.
        """
        self._update(
            self._record_id(entry.guid),
            "SET #newest = :newest, #expiration = :expiration" + (", #delivered = :yes" if entry.succeeded else ""),
            "attribute_not_exists(#newest) OR #newest <= :newest",
            {":newest": _number(entry.delivered_at), ":expiration": _number(now + EXPIRES_AFTER_SECONDS)}
            | ({":yes": {"BOOL": True}} if entry.succeeded else {}),
        )

    @property
    def _progress_id(self) -> str:
        return f"sweep#{self._hook}"

    def _record_id(self, guid: str) -> str:
        return f"redelivery#{self._hook}#{guid}"

    def _update(self, key: str, expression: str, condition: str, values: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The item after the update; None when the condition does not hold."""
        names = {
            f"#{name}": attribute for name, attribute in _ATTRIBUTES.items() if f"#{name}" in expression + condition
        }
        with _translated():
            try:
                answer = self._dynamodb.update_item(
                    TableName=self._table,
                    Key={"id": {"S": key}},
                    UpdateExpression=expression,
                    ConditionExpression=condition,
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_NEW",
                )
            except ClientError as error:
                if error_code(error) == CONDITION_FAILED:
                    return None
                raise
        return answer["Attributes"]


_UNCOUNTED = "attribute_not_exists(#attempts)"
_COUNTED = "#attempts = :before"

# Some of these names are DynamoDB's own words, so all are given apart from the expressions.
_ATTRIBUTES = {
    name: name
    for name in (
        "expiration",
        "owner",
        "swept_until",
        "top",
        "page",
        "left",
        "attempts",
        "newest",
        "asked_at",
        "due_at",
        "delivered",
        "given_up",
    )
} | {"lease": "lease_until"}


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise SweepRecordUnavailable(error_code(error)) from None


def _number(value: float) -> dict[str, str]:
    return {"N": str(int(value))}


def _integer(item: Mapping[str, Any], name: str) -> int | None:
    return int(item[name]["N"]) if name in item else None
