"""Lambda handler behind the queue of crashes: tells an execution that its processor died.

Lambda's on-failure destination puts a record here when the processor was killed, timed out, ran out of memory, could
not be started, waited too long in Lambda's queue, or could not reach Step Functions. Without this the execution would
notice at its heartbeat, minutes later. Whether there is another attempt is for the state machine's Retry to say.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from shared.aws import TASK_OVER, client, error_code
from shared.dead_work import PoisonMessage, read
from shared.metrics import Metric
from shared.queue import QueueConsumer
from shared.settings import Settings
from shared.telemetry import Telemetry

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = Settings()
_quarantine = settings.text("QUARANTINE_QUEUE_URL")
settings.check()

telemetry = Telemetry("crash")
stepfunctions = client("stepfunctions")
consumer = QueueConsumer(client("sqs"), _quarantine, telemetry)

CRASHED = "ProcessorCrashed"
"""The execution's error when the processor died; Retry in the state machine matches it."""

BUSY = "ProcessorBusy"
"""The same when nothing ran, so that nothing can have died: see NOT_RUN."""

NOT_RUN = frozenset({"EventAgeExceeded", "ZeroReservedConcurrency"})
"""Lambda's conditions for an event that waited too long in its queue, or that somebody keeps from running at all."""


class CrashNotReported(Exception):
    """Step Functions did not take the failure; the message comes again."""


@telemetry.handler
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Reports each crash of a batch; messages that could not be reported are given back to the queue."""
    return consumer.consume(event, context, report)


def report(record: SQSRecord) -> None:
    """Ends the task of one dead invocation as failed.

    Raises:
        PoisonMessage: it is no record of the processor's, or has no token.
        CrashNotReported: see there.
    """
    dead = read(record.body)
    telemetry.bind(dead.job, execution=dead.execution, token=dead.token)
    if dead.token is None:
        raise PoisonMessage("the record has no task token")
    error = BUSY if dead.error in NOT_RUN else CRASHED
    cause = json.dumps({"error": error, "crash": dead.error})
    try:
        stepfunctions.send_task_failure(taskToken=dead.token, error=error, cause=cause)
    except (ClientError, BotoCoreError) as refusal:
        code = error_code(refusal)
        if code not in TASK_OVER:
            raise CrashNotReported(code) from None
        # Somebody ended the task already, or its heartbeat did: the message has nothing more to say.
        telemetry.count(Metric.CALLBACK_REFUSED)
        telemetry.log.warning("task is closed already", reason=code)
        return
    telemetry.count(Metric.CRASH_REPORTED)
    telemetry.log.error("processor died", error=error, crash=dead.error)
