"""Lambda handler of the state machine's one state: hands job and token to the processor and returns.

What it returns means nothing to the execution, which waits for the token. So whatever goes wrong is raised: an error
value would look like success, and the execution would wait for nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyAlreadyInProgressError
from botocore.exceptions import BotoCoreError, ClientError

from shared.aws import client, error_code
from shared.idempotency import OncePerToken
from shared.job import TaskEvent
from shared.metrics import Metric
from shared.settings import Settings
from shared.telemetry import Telemetry

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = Settings()
PROCESSOR_FUNCTION_ARN = settings.text("PROCESSOR_FUNCTION_ARN")
_table = settings.text("IDEMPOTENCY_TABLE")
settings.check()

telemetry = Telemetry("task")
lambda_client = client("lambda")
once = OncePerToken("task", _table, client("dynamodb", attempts=1), telemetry)

ACCEPTED = 202


class DispatchFailed(Exception):
    """Lambda did not take the processor's event. Retry in the state machine matches this name."""


class TokenMissing(Exception):
    """The event has no task token: nobody could ever complete the execution."""


@telemetry.handler
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, str]:
    """Dispatches one task event. Every field goes on as it came, those unknown here included.

    Raises:
        InvalidContract: the event does not satisfy the contract; its text names the field, never a value.
        TokenMissing, DispatchFailed: see there.
    """
    telemetry.bind_delivery(event.get("delivery_id"))
    task = TaskEvent.read(event)
    telemetry.bind(task, execution=task.execution, token=task.taskToken)
    if task.taskToken is None:
        raise TokenMissing("the event has no taskToken")
    try:
        once.run(task.taskToken, lambda: dispatch(event), context)
    except IdempotencyAlreadyInProgressError:
        # The same event twice at once: the other one dispatches it, and a failure here would end its execution.
        telemetry.log.warning("task is being dispatched already")
    return {"result": "dispatched"}


def dispatch(event: dict[str, Any]) -> dict[str, str]:
    """Invokes the processor asynchronously.

    Raises:
        DispatchFailed: Lambda refused, could not be reached, or answered otherwise than 202.
    """
    try:
        response = lambda_client.invoke(
            FunctionName=PROCESSOR_FUNCTION_ARN,
            InvocationType="Event",
            Payload=json.dumps(event, separators=(",", ":")).encode(),
        )
    except (ClientError, BotoCoreError) as error:
        raise DispatchFailed(error_code(error)) from None
    if response["StatusCode"] != ACCEPTED:
        raise DispatchFailed(f"status {response['StatusCode']}")
    telemetry.count(Metric.TASK_DISPATCHED)
    telemetry.log.info("task dispatched")
    return {"result": "dispatched"}
