"""The shapes in which dead work reaches us, and the job in each of them.

| shape | comes from |
|---|---|
| ``destination`` | Lambda's on-failure destination: the processor died or could not call back |
| ``event`` | a dead-letter queue of Lambda: the asynchronous event as it was |
| ``execution`` | EventBridge, "Step Functions Execution Status Change", live or replayed from an archive |
| ``delivery`` | the webhook: the job of a delivery whose execution could not be started |

docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html,
docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from aws_lambda_powertools.utilities.data_classes import EventBridgeEvent

from shared.contract import Contract, InvalidContract, read_object
from shared.job import Job, TaskEvent

Shape = Literal["destination", "event", "execution", "delivery"]

EXECUTION_EVENT = "Step Functions Execution Status Change"

# A class name, or a name of Lambda's or Step Functions' own. Anything else may be text of the work, and is not shown.
_ERROR_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,127}")


class PoisonMessage(Exception):
    """No further try can do anything with the message. The text tells why and quotes nothing of it."""


@dataclass(frozen=True)
class DeadWork:
    """Work that ended without success."""

    shape: Shape
    job: Job
    error: str | None = None
    """Name of what went wrong, where the shape tells."""
    started_at: datetime | None = None
    """When the execution started, where the shape tells."""
    ended_at: datetime | None = None
    status: str | None = None
    """The execution's status, for the shape ``execution``."""
    execution: str | None = None
    """The execution's name, where the shape tells."""
    execution_arn: str | None = None
    token: str | None = field(default=None, repr=False)


class _RequestContext(Contract, frozen=True, kw_only=True):
    condition: str = ""


class _Destination(Contract, frozen=True, kw_only=True):
    timestamp: datetime | None = None
    requestContext: _RequestContext  # noqa: N815 - AWS's name
    requestPayload: TaskEvent  # noqa: N815 - AWS's name
    responsePayload: Any = None  # noqa: N815 - AWS's name


class _ExecutionDetail(Contract, frozen=True, kw_only=True):
    executionArn: str  # noqa: N815 - AWS's name
    name: str
    status: Literal["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]
    startDate: int | None = None  # noqa: N815 - AWS's name
    stopDate: int | None = None  # noqa: N815 - AWS's name
    input: str
    error: str | None = None


def read(body: str) -> DeadWork:
    """The dead work in a message.

    Raises:
        PoisonMessage: the message has none of the shapes, or its job does not satisfy the contract.
    """
    try:
        message = read_object(body)
        if "requestPayload" in message:
            return _destination(message)
        if "detail-type" in message:
            return _execution(message)
        event = TaskEvent.read(message)
    except InvalidContract as error:
        reason = f"a field is missing or not valid: {error}" if error.field else str(error)
        raise PoisonMessage(reason) from None
    shape: Shape = "delivery" if event.taskToken is None else "event"
    return DeadWork(shape, _job_of(event), execution=event.execution, token=event.taskToken)


def _destination(message: dict[str, Any]) -> DeadWork:
    record = _Destination.read(message)
    event, payload = record.requestPayload, record.responsePayload
    error = _name(payload.get("errorType") if isinstance(payload, dict) else None)
    return DeadWork(
        "destination",
        _job_of(event),
        error=error or _name(record.requestContext.condition),
        ended_at=record.timestamp,
        execution=event.execution,
        token=event.taskToken,
    )


def _execution(message: dict[str, Any]) -> DeadWork:
    event = EventBridgeEvent(message)
    if event.get("source") != "aws.states" or event.detail_type != EXECUTION_EVENT:
        raise PoisonMessage("an event of another kind")
    detail = _ExecutionDetail.read(event.get("detail"))
    ended_at = detail.stopDate
    return DeadWork(
        "execution",
        Job.read_json(detail.input),
        error=_name(detail.error),
        started_at=None if detail.startDate is None else _moment(detail.startDate),
        ended_at=None if ended_at is None else _moment(ended_at),
        status=detail.status,
        execution=detail.name,
        execution_arn=detail.executionArn,
    )


def _job_of(event: TaskEvent) -> Job:
    return Job.read(event.plain())


def _name(error: object) -> str | None:
    return error if isinstance(error, str) and _ERROR_NAME.fullmatch(error) else None


def _moment(milliseconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
