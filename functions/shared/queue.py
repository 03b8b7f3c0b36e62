"""Takes messages off a queue, one by one: done, given back for another try, or put aside with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from botocore.exceptions import BotoCoreError, ClientError

from shared.aws import error_code
from shared.dead_work import PoisonMessage
from shared.metrics import Metric

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_sqs.client import SQSClient

    from shared.telemetry import Telemetry


class QuarantineUnavailable(Exception):
    """The quarantine queue did not take a message; it goes back to its own queue."""


class QueueConsumer:
    """Handles the messages of a queue whose event source mapping reports batch item failures.

    Args:
        sqs: the client to use.
        quarantine_url: the queue for messages that nothing can be done with. Nobody consumes it, so that a message is
            never in a circle.
        telemetry: the function's.
    """

    def __init__(self, sqs: SQSClient, quarantine_url: str, telemetry: Telemetry) -> None:
        self._sqs = sqs
        self._quarantine_url = quarantine_url
        self._telemetry = telemetry

    def consume(
        self, event: dict[str, Any], context: LambdaContext, handle: Callable[[SQSRecord], None]
    ) -> PartialItemFailureResponse:
        """Handles each message of a batch, whatever becomes of the others.

        Args:
            event: the event source mapping's event.
            context: Lambda's.
            handle: deals with one message. What it raises decides: PoisonMessage puts the message into quarantine,
                anything else gives it back to its queue, which offers it again or moves it to its dead-letter queue.

        Returns:
            The messages that were given back.

        Raises:
            UnexpectedBatchTypeError: the event does not come from a queue (Powertools').
        """
        # Of this invocation alone, because it remembers failures. Whole failed batches are failures like any other:
        # an error of the function would hide which messages there were.
        processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)

        def handle_one(record: SQSRecord) -> None:
            with self._telemetry.message(record.message_id):
                self._handle(record, handle)

        return process_partial_response(event=event, record_handler=handle_one, processor=processor, context=context)

    def _handle(self, record: SQSRecord, handle: Callable[[SQSRecord], None]) -> None:
        try:
            try:
                handle(record)
            except PoisonMessage as poison:
                self._quarantine(record, str(poison))
        except Exception as error:
            self._telemetry.count(Metric.MESSAGE_RETURNED)
            self._telemetry.log.warning("message given back", exc_info=True, error=type(error).__name__)
            raise

    def _quarantine(self, record: SQSRecord, reason: str) -> None:
        source = record.event_source_arn.rpartition(":")[2]
        try:
            self._sqs.send_message(
                QueueUrl=self._quarantine_url,
                MessageBody=record.body,
                MessageAttributes={
                    "reason": {"DataType": "String", "StringValue": reason},
                    "source": {"DataType": "String", "StringValue": source},
                },
            )
        except (ClientError, BotoCoreError) as error:
            # Without AWS' words: they may quote the message, which may hold a token.
            raise QuarantineUnavailable(error_code(error)) from None
        self._telemetry.count(Metric.MESSAGE_QUARANTINED)
        self._telemetry.log.error("message quarantined", reason=reason, source=source)
