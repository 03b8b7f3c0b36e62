"""Hands over what EventBridge lost: executions that ended without success, and of which nobody has heard.

Without it their pull requests would say "pending" for ever, their work would be in no queue, and nobody would know.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from shared.aws import error_code
from shared.dead_work import EXECUTION_EVENT, PoisonMessage, read
from shared.ended import ENDED_WITHOUT_SUCCESS
from shared.metrics import Metric

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType
    from mypy_boto3_stepfunctions.client import SFNClient
    from mypy_boto3_stepfunctions.type_defs import DescribeExecutionOutputTypeDef, ExecutionListItemTypeDef

    from shared.ended import EndedExecutions
    from shared.job import Job
    from shared.telemetry import Telemetry

WITHIN = timedelta(hours=2)
"""What ended earlier was seen by one of 120 watches before, unless all of them failed."""

MAY_WAIT = timedelta(hours=1)
"""While messages wait in the closing function's queue, what ended within this time may be one of them.

What ended earlier is handed over all the same, before it is older than WITHIN: twice the same event has one effect, a
lost one has none for ever."""

MAX_LOOKED_AT = 20
"""A minute. Each takes six calls; a lost event is rare, and the next minute goes on."""


_COUNTS: tuple[QueueAttributeNameType, ...] = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")


class HandOverFailed(Exception):
    """A queue or Step Functions did not answer; the next minute tries again. The message is AWS' error code."""


class Reconciliation:
    """One look at the executions that ended.

    Args:
        ended: what is known of them.
        stepfunctions: tells their input.
        sqs: takes the events.
        waiting_url: the queue of the closing function. While messages wait in it, an event may be one of them.
        queue_urls: where EventBridge's rule puts an event (template.yaml, EndedExecutionsRule). It goes to them in
            this order. Where a later one does not answer, the earlier ones get it again.
        telemetry: for metric and log.
    """

    def __init__(
        self,
        ended: EndedExecutions,
        stepfunctions: SFNClient,
        sqs: SQSClient,
        waiting_url: str,
        queue_urls: Sequence[str],
        telemetry: Telemetry,
    ) -> None:
        self._ended = ended
        self._stepfunctions = stepfunctions
        self._sqs = sqs
        self._waiting_url = waiting_url
        self._queue_urls = queue_urls
        self._telemetry = telemetry

    def run(self, executions: Iterable[ExecutionListItemTypeDef], now: datetime, after: timedelta) -> int:
        """Hands over those of the executions whose event was lost.

        Args:
            executions: the newest ones, whatever their status.
            now: the time.
            after: how long an event may take to arrive.

        Returns:
            How many were handed over.

        Raises:
            HandOverFailed, EndedRecordUnavailable: see there.
        """
        candidates = {
            one["name"]: one
            for one in executions
            if one["status"] in ENDED_WITHOUT_SUCCESS and now - WITHIN < one["stopDate"] <= now - after
        }
        unknown = self._ended.unknown(candidates) if candidates else set()
        if unknown and self._is_waiting():
            unknown = {name for name in unknown if candidates[name]["stopDate"] <= now - MAY_WAIT}
        # The oldest first: they have waited for longest.
        oldest_first = [name for name in reversed(candidates) if name in unknown]
        return sum(
            self._hand_over(name, candidates[name]["executionArn"])
            for name in oldest_first[:MAX_LOOKED_AT]
            if self._ended.take(name)
        )

    def _is_waiting(self) -> bool:
        try:
            answer = self._sqs.get_queue_attributes(QueueUrl=self._waiting_url, AttributeNames=[*_COUNTS])
        except (ClientError, BotoCoreError) as error:
            raise HandOverFailed(error_code(error)) from None
        return any(int(answer["Attributes"][name]) for name in _COUNTS)

    def _hand_over(self, name: str, arn: str) -> bool:
        """Whether there was something to hand over: not where nobody could do anything, or the end is shown."""
        try:
            body = json.dumps(event_of(self._stepfunctions.describe_execution(executionArn=arn)))
            is_lost = (job := job_of(body)) is not None and not self._ended.is_shown(job)
            if is_lost:
                for url in self._queue_urls:
                    self._sqs.send_message(QueueUrl=url, MessageBody=body)
        except (ClientError, BotoCoreError) as error:
            # Taken, and not done: it is taken again when the time for it is over.
            raise HandOverFailed(error_code(error)) from None
        self._ended.arrived(name)
        if is_lost:
            self._telemetry.count(Metric.EXECUTION_RECONCILED)
            self._telemetry.log.warning("lost event handed over", execution=name)
        return is_lost


def event_of(execution: DescribeExecutionOutputTypeDef) -> dict[str, Any]:
    """EventBridge's event of an execution, as the rule would have sent it.

    docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
    """
    detail = {
        "executionArn": execution["executionArn"],
        "stateMachineArn": execution["stateMachineArn"],
        "name": execution["name"],
        "status": execution["status"],
        "startDate": _milliseconds(execution["startDate"]),
        "stopDate": _milliseconds(execution["stopDate"]),
        "input": execution.get("input", ""),
        "output": None,
        "error": execution.get("error"),
        "cause": execution.get("cause"),
    }
    return {
        "version": "0",
        "id": execution["name"],
        "detail-type": EXECUTION_EVENT,
        "source": "aws.states",
        "account": execution["executionArn"].split(":")[4],
        "time": execution["stopDate"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": execution["executionArn"].split(":")[3],
        "resources": [execution["executionArn"]],
        "detail": detail,
    }


def job_of(body: str) -> Job | None:
    """The event's job; None when there is none: somebody may start executions by hand, with any input."""
    try:
        return read(body).job
    except PoisonMessage:
        return None


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
