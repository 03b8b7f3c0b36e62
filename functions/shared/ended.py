"""Which executions that ended without success are known to those who deal with them.

EventBridge delivers "Step Functions Execution Status Change" on a best-effort basis: an event may be lost before
EventBridge has it, and then no retry, no dead-letter queue and no archive has it either
(docs.aws.amazon.com/eventbridge/latest/ref/overiew-service-event-delivery-level.html). So the closing function notes
each event that arrives, in the idempotency table, and the watch hands over what nobody has noted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from shared.aws import CONDITION_FAILED, error_code
from shared.idempotency import EXPIRES_AFTER_SECONDS
from shared.work_key import FINISHED, work_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import KeysAndAttributesTypeDef

    from shared.job import Job

ENDED_WITHOUT_SUCCESS = ("FAILED", "TIMED_OUT", "ABORTED")
"""Statuses of executions, as the rule of the template has them (EndedExecutionsRule)."""

HANDING_OVER_SECONDS = 120
"""For so long who hands an event over may be at it; then somebody else does it again."""

_KEYS_A_CALL = 100
"""BatchGetItem's limit."""


class EndedRecordUnavailable(Exception):
    """The table did not answer; the message is AWS' error code."""


class EndedExecutions:
    """The notes in the idempotency table: an item ``ended#<execution>`` each.

    Args:
        table: the table's name.
        dynamodb: the client to use.
        clock: seconds since the epoch.

    All methods raise EndedRecordUnavailable when the table did not answer.
    """

    def __init__(self, table: str, dynamodb: DynamoDBClient, clock: Callable[[], float]) -> None:
        self._table = table
        self._dynamodb = dynamodb
        self._clock = clock

    def arrived(self, execution: str) -> None:
        """Notes that the event of an execution is in good hands."""
        self._update(execution, busy_until=None)

    def unknown(self, executions: Collection[str]) -> set[str]:
        """Those of the executions that nothing is noted of, or whose hand-over was never finished."""
        known = set()
        now = self._clock()
        for names in _batches(list(executions), _KEYS_A_CALL):
            keys: KeysAndAttributesTypeDef = {"Keys": [{"id": {"S": _key(name)}} for name in names]}
            try:
                answer = self._dynamodb.batch_get_item(RequestItems={self._table: keys})
            except (ClientError, BotoCoreError) as error:
                raise EndedRecordUnavailable(error_code(error)) from None
            # What the answer leaves out for now is not taken for lost: the next minute looks again.
            left = answer["UnprocessedKeys"]
            known |= {key["id"]["S"] for key in left[self._table]["Keys"]} if self._table in left else set()
            known |= {
                item["id"]["S"]
                for item in answer["Responses"].get(self._table, [])
                if "busy_until" not in item or int(item["busy_until"]["N"]) >= now
            }
        return {name for name in executions if _key(name) not in known}

    def is_shown(self, job: Job) -> bool:
        """Whether the job's pull request shows how its work ended."""
        try:
            answer = self._dynamodb.get_item(TableName=self._table, Key={"id": {"S": work_key(job)}})
        except (ClientError, BotoCoreError) as error:
            raise EndedRecordUnavailable(error_code(error)) from None
        return answer.get("Item", {}).get("phase", {}).get("S") in FINISHED

    def take(self, execution: str) -> bool:
        """Takes an event to hand it over; False when somebody else has it or is done with it."""
        return self._update(execution, busy_until=self._clock() + HANDING_OVER_SECONDS)

    def _update(self, execution: str, *, busy_until: float | None) -> bool:
        now = self._clock()
        values = {":expiration": {"N": str(int(now + EXPIRES_AFTER_SECONDS))}}
        expression, condition = "SET expiration = :expiration REMOVE busy_until", ""
        if busy_until is not None:
            values |= {":until": {"N": str(int(busy_until))}, ":now": {"N": str(int(now))}}
            expression = "SET expiration = :expiration, busy_until = :until"
            condition = "attribute_not_exists(id) OR busy_until < :now"
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key={"id": {"S": _key(execution)}},
                UpdateExpression=expression,
                ExpressionAttributeValues=values,
                **({"ConditionExpression": condition} if condition else {}),  # type: ignore[arg-type] # for another one
            )
        except ClientError as error:
            if error_code(error) == CONDITION_FAILED:
                return False
            raise EndedRecordUnavailable(error_code(error)) from None
        except BotoCoreError as error:
            raise EndedRecordUnavailable(error_code(error)) from None
        return True


def _key(execution: str) -> str:
    return f"ended#{execution}"


def _batches(names: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]
