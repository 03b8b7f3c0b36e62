"""Powertools Idempotency, set up once for the functions that are guarded by the task token.

The token names one attempt: the same token twice is the same event delivered twice. What an attempt does to GitHub is
guarded by keys of its own, because a retry by the state machine carries a new token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyAlreadyInProgressError

from shared.metrics import Metric

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb.client import DynamoDBClient

    from shared.telemetry import Telemetry

# Longer than anything can hold an event back: the longest retention of an SQS queue is 14 days.
EXPIRES_AFTER_SECONDS = 15 * 24 * 60 * 60


class OncePerToken:
    """Runs a function once for each task token; a second call gets the stored result of the first.

    Args:
        prefix: names the records of this function. Given explicitly because Powertools' own prefix is the qualified
            name of the function, and a rename in a deployment would make every running attempt unknown.
        table: the idempotency table.
        dynamodb: the client to use; of one attempt a call. A client that repeats a write whose answer was lost would
            find its own record there, and take itself for a second delivery of the event.
        telemetry: counts what came again.

    One instance a function: Powertools' persistence layer keeps the configuration it saw first.
    """

    def __init__(self, prefix: str, table: str, dynamodb: DynamoDBClient, telemetry: Telemetry) -> None:
        self._prefix = prefix
        self._telemetry = telemetry
        self._store = DynamoDBPersistenceLayer(table_name=table, boto3_client=dynamodb)
        self._config = IdempotencyConfig(
            event_key_jmespath="taskToken",
            # Without this a missing key means "not idempotent", silently.
            raise_on_no_idempotency_key=True,
            expires_after_seconds=EXPIRES_AFTER_SECONDS,
            hash_function="sha256",
        )

    def run(self, token: str, function: Callable[[], dict[str, Any]], context: LambdaContext) -> dict[str, Any]:
        """The function's result, or the stored one.

        The record is deleted when the function raises, so that a retry does the work again.

        Args:
            token: the task token. Stored as a hash only.
            function: returns a small JSON object without secrets; it is stored as it is.
            context: tells how long this invocation can last, and so when a lock left by a killed one lapses.

        Raises:
            IdempotencyAlreadyInProgressError: another invocation holds the token right now.
            IdempotencyPersistenceLayerError: the table did not answer.
        """
        self._config.register_lambda_context(context)
        has_run = False

        def keyed(*, data: dict[str, str]) -> dict[str, Any]:  # noqa: ARG001 - Powertools reads the key from it
            nonlocal has_run
            has_run = True
            return function()

        guarded = idempotent_function(
            keyed,
            data_keyword_argument="data",
            persistence_store=self._store,
            config=self._config,
            key_prefix=self._prefix,
        )
        try:
            result: dict[str, Any] = guarded(data={"taskToken": token})
        except IdempotencyAlreadyInProgressError:
            self._telemetry.count(Metric.IDEMPOTENCY_IN_PROGRESS)
            raise
        if not has_run:
            self._telemetry.count(Metric.IDEMPOTENCY_HIT)
        return result
