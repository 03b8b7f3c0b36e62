"""Lambda handler behind ``POST /webhook``: verifies a delivery, projects it to a job, starts its execution."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent, event_source
from botocore.exceptions import BotoCoreError, ClientError

from shared.aws import client, error_code
from shared.executions import Executions, ExecutionsExhausted, ExecutionsUnavailable
from shared.metrics import Metric
from shared.settings import Settings
from shared.telemetry import Telemetry, trace_header
from webhook.delivery import Delivery, Rejected, require_api_gateway
from webhook.projection import (
    NotOurs,
    decode,
    payload_actions,
    project,
    project_check_run,
    project_check_suite,
)
from webhook.secret import SecretUnavailable, WebhookSecret
from webhook.signature import is_valid
from webhook.triggers import Triggers

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from shared.job import Job

RETRY_AFTER_SECONDS = 60

settings = Settings()
_state_machine_arn = settings.text("STATE_MACHINE_ARN")
_secret_name = settings.text("WEBHOOK_SECRET_ARN")
_replay_queue_url = settings.text("REPLAY_QUEUE_URL")
MAX_BODY_BYTES = settings.number("MAX_BODY_BYTES", default=5_000_000)
settings.check()

telemetry = Telemetry("webhook")
triggers = Triggers.load()
secret = WebhookSecret(_secret_name, client("secretsmanager"), telemetry)
# One attempt a call: GitHub waits 10 s for the answer, and what cannot be started now is kept in the queue.
executions = Executions(_state_machine_arn, client("stepfunctions", attempts=1))

RERUN_EVENTS = {"check_run": ("rerequested", "requested_action"), "check_suite": ("rerequested",)}
"""What GitHub's buttons send: event -> the payload's action."""

_COUNTED_AS = {
    "started": Metric.DELIVERY_STARTED,
    "duplicate": Metric.DELIVERY_DUPLICATE,
    "restarted": Metric.DELIVERY_RESTARTED,
}


@telemetry.handler
@event_source(data_class=APIGatewayProxyEvent)
def lambda_handler(event: APIGatewayProxyEvent, context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    """Answers one delivery; README.md lists the answers."""
    telemetry.count(Metric.DELIVERY_RECEIVED)
    try:
        require_api_gateway(event)
        telemetry.bind_delivery(event.headers.get("x-github-delivery"))
        return receive(Delivery.read(event, max_body_bytes=MAX_BODY_BYTES))
    except Rejected as rejected:
        telemetry.count(Metric.DELIVERY_REJECTED, reason=rejected.result)
        telemetry.log.warning("delivery rejected", status=rejected.status, result=rejected.result, field=rejected.field)
        return answer(rejected.status, rejected.result, message=rejected.message, field=rejected.field)
    except (SecretUnavailable, ExecutionsUnavailable) as error:
        telemetry.count(Metric.DELIVERY_UNAVAILABLE)
        telemetry.log.exception("delivery not taken", error=type(error).__name__, reason=str(error))
        return answer(
            503,
            "unavailable",
            message="not known to be started; deliver again later, it will not run twice",
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        )


def receive(delivery: Delivery) -> dict[str, Any]:
    """The answer to a delivery that was read.

    Raises:
        Rejected: it is answered 4xx.
        SecretUnavailable, ExecutionsUnavailable: it is answered 503.
    """
    verify(delivery)
    delivery_id, event_name = delivery.identity()
    telemetry.log.append_keys(github_event=event_name)
    telemetry.annotate("delivery_id", delivery_id)
    if event_name == "ping":
        telemetry.count(Metric.DELIVERY_IGNORED)
        telemetry.log.info("ping answered")
        return answer(200, "pong")
    try:
        job = job_of(delivery, delivery_id, event_name)
    except NotOurs as reason:
        return ignored(str(reason))
    telemetry.bind(job)
    try:
        start = executions.start(job)
    except ExecutionsExhausted:
        raise Rejected(409, "exhausted", "every attempt at this delivery has failed; push again") from None
    except ExecutionsUnavailable as error:
        return queued(job, error)
    telemetry.count(_COUNTED_AS[start.result])
    telemetry.log.info("delivery accepted", result=start.result, execution=start.name)
    return answer(200 if start.result == "duplicate" else 202, start.result, execution=start.name)


def job_of(delivery: Delivery, delivery_id: str, event_name: str) -> Job:
    """The job of a delivery that is genuine.

    Raises:
        Rejected: it is answered 400.
        NotOurs: it triggers nothing.
    """
    payload = decode(delivery.body)
    is_known = event_name in RERUN_EVENTS or triggers.has_event(event_name)
    if not is_known:
        raise NotOurs("no action is triggered by this event")
    words = payload_actions(payload)
    if words[0] in RERUN_EVENTS.get(event_name, ()):
        if event_name == "check_suite":
            return project_check_suite(payload, app=delivery.app, delivery_id=delivery_id)
        return project_check_run(payload, app=delivery.app, delivery_id=delivery_id, actions=triggers.actions)
    action = triggers.action_for(event_name, *words)
    if action is None:
        raise NotOurs("no action is triggered by this action of the event")
    return project(payload, action=action, delivery_id=delivery_id)


def verify(delivery: Delivery) -> None:
    """Raises Rejected, 401, unless the delivery is signed with a valid secret."""
    if is_valid(delivery.body, delivery.signature, secret.versions()):
        telemetry.log.debug("delivery verified", bytes=len(delivery.body))
        return
    # The secret may have been rotated since it was cached.
    if delivery.signature and secret.may_refresh():
        telemetry.count(Metric.SECRET_REFRESHED)
        if is_valid(delivery.body, delivery.signature, secret.versions(fresh=True)):
            return
    telemetry.count(Metric.SIGNATURE_INVALID)
    raise Rejected(401, "unauthorized", "the signature is missing or wrong", "x-hub-signature-256")


def queued(job: Job, outage: ExecutionsUnavailable) -> dict[str, Any]:
    """Keeps the job of a delivery that cannot be started now, for the replay function.

    Raises:
        ExecutionsUnavailable: the outage, when the queue is away as well.
    """
    # Made when it is needed, which is hardly ever.
    sqs = client("sqs", attempts=1)
    header = trace_header()
    attributes = {"AWSTraceHeader": {"DataType": "String", "StringValue": header}} if header else {}
    try:
        sqs.send_message(
            QueueUrl=_replay_queue_url,
            # In ASCII: SQS refuses some characters that a title may have (U+FFFE), and JSON escapes them.
            MessageBody=json.dumps(json.loads(job.to_json())),
            MessageSystemAttributes=attributes,  # type: ignore[arg-type] # the keys are literals there
        )
    except (ClientError, BotoCoreError) as error:
        telemetry.log.warning("delivery not kept", error=error_code(error))
        raise outage from None
    telemetry.count(Metric.DELIVERY_QUEUED)
    telemetry.log.warning("delivery kept for later", error=str(outage))
    return answer(202, "queued", message="Step Functions is away; the delivery is kept and will be started")


def ignored(reason: str) -> dict[str, Any]:
    """The answer to a delivery that is genuine and triggers nothing."""
    telemetry.count(Metric.DELIVERY_IGNORED)
    telemetry.log.info("delivery ignored", reason=reason)
    return answer(202, "ignored", reason=reason)


def answer(status: int, result: str, *, headers: dict[str, str] | None = None, **fields: str | None) -> dict[str, Any]:
    """API Gateway's response: a stable ``result`` word, and whatever else there is to say."""
    body = {"result": result, **{name: value for name, value in fields.items() if value is not None}}
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", **(headers or {})},
        "body": json.dumps(body, separators=(",", ":")),
    }
