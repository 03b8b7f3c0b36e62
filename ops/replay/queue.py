"""A queue that somebody looks at: its messages are held while he does, moved or given back."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from ops.replay.items import Message, batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from mypy_boto3_sqs.client import SQSClient

HOLD_SECONDS = 900
"""So long messages are hidden from everybody else. Those of a listing that was killed come back after it."""

CONFIRM_SECONDS = 600
"""What is left of the hold after this long is enough to move LIMIT messages."""

LIMIT = 10_000
"""Messages looked at in one go: SQS lets 120,000 be in flight, and the hold must last."""

BATCH_COUNT = 10
# SQS takes 1 MiB since 2025-08; some partitions of AWS may still have the old bound, and attributes count, too.
BATCH_BYTES = 200 * 1024
SEND_TRIES = 3
LONG_POLL_SECONDS = 1
"""Any wait makes SQS ask all its servers, not some: an empty answer then means something."""


@dataclass(frozen=True)
class QueueCounts:
    """About how many messages a queue has: SQS counts approximately.

    Args:
        visible: that can be received.
        held: that somebody has received and not deleted.
        retention_seconds: after which SQS deletes a message.
    """

    visible: int
    held: int
    retention_seconds: int


class HeldQueue:
    """The messages of a queue, held until the end of the ``with`` block, and then given back unless they were moved.

    Its methods raise what boto3 raises.

    Args:
        sqs: the client to use.
        url: the queue's.
    """

    def __init__(self, sqs: SQSClient, url: str) -> None:
        self._sqs = sqs
        self._url = url
        self._receipts: dict[str, str] = {}
        self._held_since = 0.0
        self.is_complete = True
        """False when there were more than LIMIT messages."""
        self.not_given_back = 0
        """Messages that stay hidden until their hold ends, because SQS did not take them back."""
        self.not_deleted = 0
        """Messages that were moved, and are still in this queue, too."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()

    @property
    def has_expired(self) -> bool:
        """Whether the hold may end before everything is moved."""
        return time.monotonic() > self._held_since + CONFIRM_SECONDS

    def counts(self) -> QueueCounts:
        """About how many messages there are."""
        attributes = self._sqs.get_queue_attributes(
            QueueUrl=self._url,
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
                "MessageRetentionPeriod",
            ],
        )["Attributes"]
        return QueueCounts(
            int(attributes["ApproximateNumberOfMessages"]),
            int(attributes["ApproximateNumberOfMessagesNotVisible"]),
            int(attributes["MessageRetentionPeriod"]),
        )

    def receive(self, expected: int, seen: Callable[[int], None] = lambda _: None) -> list[Message]:
        """Every message that can be received, at most LIMIT.

        Args:
            expected: about how many there are.
            seen: hears how many were received so far.
        """
        self._held_since = time.monotonic()
        messages: dict[str, Message] = {}
        empty = 0
        while len(messages) < LIMIT:
            received = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=BATCH_COUNT,
                VisibilityTimeout=HOLD_SECONDS,
                WaitTimeSeconds=LONG_POLL_SECONDS,
                MessageSystemAttributeNames=["SentTimestamp", "AWSTraceHeader"],
                MessageAttributeNames=["All"],
            ).get("Messages", [])
            for one in received:
                message = _message(one)
                # SQS may deliver a message twice; only the newer receipt is sure to count.
                messages[message.id] = message
                self._receipts[message.id] = message.receipt
            seen(len(messages))
            if not received:
                empty += 1
                if empty == 2 or len(messages) >= expected:
                    break
        self.is_complete = len(messages) < LIMIT
        return list(messages.values())

    def move(self, items: Sequence[tuple[Message, ...]], to_url: str) -> Iterator[list[bool]]:
        """Sends the first message of each item to another queue, and then deletes all messages of those that arrived.

        In this order, so that nothing is lost: what is cut off between the two is in both queues.

        Args:
            items: each with at least one message of this queue.
            to_url: where to.

        Yields:
            After each batch, of each item in it, in order, whether it was sent. What was not stays here.
        """
        others = {item[0].id: item for item in items}
        for batch in batches([item[0] for item in items], BATCH_COUNT, BATCH_BYTES):
            sent = self._send(batch, to_url)
            self._delete([one for message in batch if message.id in sent for one in others[message.id]])
            yield [message.id in sent for message in batch]

    def _send(self, batch: list[Message], to_url: str) -> set[str]:
        """Ids of the messages that the other queue took."""
        waiting = {str(number): message for number, message in enumerate(batch)}
        sent: set[str] = set()
        for attempt in range(SEND_TRIES):
            if attempt:
                time.sleep(0.5 * 2**attempt)
            try:
                answer = self._sqs.send_message_batch(
                    QueueUrl=to_url, Entries=[_entry(key, message) for key, message in waiting.items()]
                )
            except (ClientError, BotoCoreError):
                if sent:
                    break
                raise
            for done in answer.get("Successful", []):
                sent.add(waiting.pop(done["Id"]).id)
            for failed in answer.get("Failed", []):
                # Ours is the fault: the same message would be refused again.
                if failed.get("SenderFault"):
                    waiting.pop(failed["Id"])
            if not waiting:
                break
        return sent

    def _delete(self, messages: list[Message]) -> None:
        for start in range(0, len(messages), BATCH_COUNT):
            part = messages[start : start + BATCH_COUNT]
            try:
                answer = self._sqs.delete_message_batch(
                    QueueUrl=self._url,
                    Entries=[
                        {"Id": str(number), "ReceiptHandle": self._receipts[message.id]}
                        for number, message in enumerate(part)
                    ],
                )
                failed = {int(one["Id"]) for one in answer.get("Failed", [])}
            except (ClientError, BotoCoreError):
                # They were sent. That must be told, and followed, whatever becomes of these copies.
                failed = set(range(len(part)))
            self.not_deleted += len(failed)
            for number, message in enumerate(part):
                if number not in failed:
                    del self._receipts[message.id]

    def give_back(self) -> None:
        """Makes everything visible again that was not moved. Does not raise: it is the last thing to try."""
        receipts = list(self._receipts.values())
        self._receipts.clear()
        for start in range(0, len(receipts), BATCH_COUNT):
            part = receipts[start : start + BATCH_COUNT]
            failed = len(part)
            with contextlib.suppress(ClientError, BotoCoreError):
                answer = self._sqs.change_message_visibility_batch(
                    QueueUrl=self._url,
                    Entries=[
                        {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                        for number, receipt in enumerate(part)
                    ],
                )
                failed = len(answer.get("Failed", []))
            self.not_given_back += failed


def _message(received: Any) -> Message:
    system = received.get("Attributes", {})
    return Message(
        id=received["MessageId"],
        receipt=received["ReceiptHandle"],
        body=received["Body"],
        sent_at=datetime.fromtimestamp(int(system.get("SentTimestamp", 0)) / 1000, UTC),
        attributes=received.get("MessageAttributes", {}),
        trace_header=system.get("AWSTraceHeader"),
    )


def _entry(key: str, message: Message) -> Any:
    """The message as it is, its attributes and its trace included."""
    entry: dict[str, Any] = {"Id": key, "MessageBody": message.body}
    if message.attributes:
        entry["MessageAttributes"] = {
            name: {
                part: value for part, value in attribute.items() if part in {"DataType", "StringValue", "BinaryValue"}
            }
            for name, attribute in message.attributes.items()
        }
    if message.trace_header is not None:
        entry["MessageSystemAttributes"] = {
            "AWSTraceHeader": {"DataType": "String", "StringValue": message.trace_header}
        }
    return entry
