"""Lambda handler behind the replay queue: starts the job of dead work again, as a new attempt.

The job, not the token: the token is dead with its attempt. Every shape of shared.dead_work is understood, so that any
dead work can be moved here as it is: deliveries that the webhook kept, messages that an operator picked, and events
that EventBridge replays from its archive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from shared.aws import client, error_code
from shared.dead_work import DeadWork, PoisonMessage, read
from shared.executions import Executions, ExecutionsExhausted
from shared.metrics import Metric
from shared.queue import QueueConsumer
from shared.settings import Settings
from shared.telemetry import Telemetry

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = Settings()
_state_machine_arn = settings.text("STATE_MACHINE_ARN")
_quarantine = settings.text("QUARANTINE_QUEUE_URL")
settings.check()

telemetry = Telemetry("replay")
stepfunctions = client("stepfunctions")
executions = Executions(_state_machine_arn, stepfunctions)
consumer = QueueConsumer(client("sqs"), _quarantine, telemetry)


@telemetry.handler
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Replays each message of a batch; messages that could not be started now are given back to the queue."""
    return consumer.consume(event, context, replay)


def replay(record: SQSRecord) -> None:
    """Starts the job of one message, unless its execution runs or has succeeded.

    Raises:
        PoisonMessage: there is no job in it, or all its attempts are used up.
        ExecutionsUnavailable: Step Functions is away; the message comes again.
    """
    dead = read(record.body)
    telemetry.bind(dead.job)
    telemetry.link(record.attributes.aws_trace_header or trace_header_of(dead))
    try:
        start = executions.start(dead.job)
    except ExecutionsExhausted:
        raise PoisonMessage("every attempt that this delivery may have was made, and failed") from None
    is_refused = start.result == "duplicate"
    telemetry.count(Metric.REPLAY_REFUSED if is_refused else Metric.REPLAY_STARTED)
    telemetry.log.info("replayed", result=start.result, execution=start.name, shape=dead.shape, after=dead.error)


def trace_header_of(dead: DeadWork) -> str | None:
    """The trace of the execution that died; None when that cannot be told, which is no reason not to replay."""
    if dead.execution_arn is None:
        return None
    try:
        return stepfunctions.describe_execution(executionArn=dead.execution_arn).get("traceHeader")
    except (ClientError, BotoCoreError) as error:
        telemetry.log.warning("trace not found", error=error_code(error))
        return None
