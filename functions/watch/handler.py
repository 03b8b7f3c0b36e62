"""Lambda handler that a schedule invokes every minute: measures what nothing reports by itself.

An execution that hangs emits no metric at all until it ends, and "nothing has succeeded for an hour" is no event. Both
are in Step Functions' own list, and so is the time since the last success. Whether a deployment is under way is in
CloudFormation's: while one is, alarms do not notify.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Literal

from aws_lambda_powertools.utilities.data_classes import EventBridgeEvent, event_source
from botocore.exceptions import BotoCoreError, ClientError

from shared.aws import client, error_code
from shared.ended import EndedExecutions, EndedRecordUnavailable
from shared.metrics import Metric
from shared.settings import Settings
from shared.telemetry import Telemetry
from watch.reconcile import WITHIN, HandOverFailed, Reconciliation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_stepfunctions.type_defs import ExecutionListItemTypeDef

settings = Settings()
STATE_MACHINE_ARN = settings.text("STATE_MACHINE_ARN")
STACK_ID = settings.text("STACK_ID")
SUCCESS_WITHIN_SECONDS = settings.number("SUCCESS_WITHIN_SECONDS")
RECONCILE_AFTER_SECONDS = settings.number("RECONCILE_AFTER_SECONDS")
_table = settings.text("IDEMPOTENCY_TABLE")
_ended_queue_url = settings.text("ENDED_EXECUTIONS_QUEUE_URL")
_dead_work_queue_url = settings.text("DEAD_WORK_QUEUE_URL")
settings.check()

PAGE = 1000
"""Executions a page: Step Functions' limit."""
MAX_PAGES = 10
"""Pages of one list: more than 10,000 executions that run at once are told as 10,000."""

OVERDUE_WITHIN = timedelta(hours=2)
"""Executions that started earlier say nothing of now: without new work an alarm on them would never end."""

DEPLOY_WITHIN = timedelta(minutes=30)
"""A stack that has been changing for longer hangs, and must not keep alarms from notifying."""

telemetry = Telemetry("watch")
stepfunctions = client("stepfunctions")
cloudformation = client("cloudformation")
clock = time.time


def seconds() -> float:
    """The time, in seconds since the epoch."""
    return clock()


reconciliation = Reconciliation(
    EndedExecutions(_table, client("dynamodb"), seconds),
    stepfunctions,
    client("sqs"),
    _ended_queue_url,
    # The closing function's last: as soon as it has the event, nobody looks for it any more.
    (_dead_work_queue_url, _ended_queue_url),
    telemetry,
)


class ExecutionsNotListed(Exception):
    """Step Functions did not list the executions. The next minute tries again; an alarm notices the silence."""


@telemetry.handler
@event_source(data_class=EventBridgeEvent)
def lambda_handler(event: EventBridgeEvent, context: LambdaContext) -> None:  # noqa: ARG001 - it says only that it is time
    """Emits the gauges.

    Raises:
        ExecutionsNotListed: see there.
    """
    now = datetime.fromtimestamp(clock(), UTC)
    watch_deployment(now)
    running = [one["startDate"] for one in executions("RUNNING", MAX_PAGES)]
    if len(running) >= PAGE * MAX_PAGES:
        # The list begins with the newest, so the oldest is among those that were not read.
        telemetry.log.warning("more executions run than are listed", listed=len(running))
    oldest_seconds = (now - min(running, default=now)).total_seconds()
    telemetry.count(Metric.EXECUTIONS_RUNNING, len(running))
    telemetry.count(Metric.OLDEST_EXECUTION_AGE, max(0.0, oldest_seconds))
    # Listed by their end, the last one first; were it by their start, it would be among the first thousand.
    succeeded = [one["stopDate"] for one in executions("SUCCEEDED", 1)]
    last_success = max(succeeded, default=None)
    if last_success is not None:
        telemetry.count(Metric.LAST_SUCCESS_AGE, max(0.0, (now - last_success).total_seconds()))
    due = now - timedelta(seconds=SUCCESS_WITHIN_SECONDS)
    recent = list(until_ended_before(min(due - OVERDUE_WITHIN, now - WITHIN), executions(None, MAX_PAGES)))
    telemetry.count(Metric.EXECUTIONS_SINCE_SUCCESS, since_success(recent, last_success, due))
    telemetry.log.debug("executions counted", running=len(running), oldest_seconds=round(oldest_seconds))
    try:
        reconciliation.run(recent, now, timedelta(seconds=RECONCILE_AFTER_SECONDS))
    except (HandOverFailed, EndedRecordUnavailable) as error:
        telemetry.log.warning("lost events not looked for", error=type(error).__name__, reason=str(error))


def until_ended_before(
    moment: datetime, listed: Iterable[ExecutionListItemTypeDef]
) -> Iterator[ExecutionListItemTypeDef]:
    """The executions up to the first one that had ended by then.

    Step Functions lists running executions by their start and all others by their end, newest first: an execution that
    started earlier than another may well come before it. What ended by a moment started before it as well, so nothing
    behind it is newer, and that would hold for a list in the order of the starts, too.
    """
    for one in listed:
        if one["status"] != "RUNNING" and one.get("stopDate", moment) < moment:
            return
        yield one


def since_success(recent: Iterable[ExecutionListItemTypeDef], last_success: datetime | None, due: datetime) -> int:
    """How many executions started after the last success, and long enough ago to have succeeded themselves.

    Those that somebody aborted are left out, as are those of more than OVERDUE_WITHIN ago.

    Args:
        recent: the newest executions, in any order.
        last_success: when an execution last succeeded.
        due: what started by then should have succeeded by now.
    """
    since = due - OVERDUE_WITHIN
    if last_success is not None:
        since = max(since, last_success)
    return sum(1 for one in recent if since < one["startDate"] <= due and one["status"] != "ABORTED")


def executions(status: Literal["RUNNING", "SUCCEEDED"] | None, pages: int) -> Iterator[ExecutionListItemTypeDef]:
    """The executions with this status (None: with any), newest first, so many pages of them at most.

    "Running executions are sorted by their startDate or redriveDate, and other executions are sorted by their
    stopDate": botocore's service model of ListExecutions.

    Raises:
        ExecutionsNotListed: see there.
    """
    try:
        listed = stepfunctions.get_paginator("list_executions").paginate(
            stateMachineArn=STATE_MACHINE_ARN,
            **({"statusFilter": status} if status else {}),  # type: ignore[arg-type] # for another argument
            PaginationConfig={"PageSize": PAGE},
        )
        for page in islice(listed, pages):
            yield from page["executions"]
    except (ClientError, BotoCoreError) as error:
        raise ExecutionsNotListed(error_code(error)) from None


def watch_deployment(now: datetime) -> None:
    """Tells whether CloudFormation is changing the stack; when that cannot be told, nothing, and alarms notify."""
    try:
        (stack,) = cloudformation.describe_stacks(StackName=STACK_ID)["Stacks"]
    except (ClientError, BotoCoreError) as error:
        telemetry.log.warning("stack not described", error=error_code(error))
        return
    # UPDATE_IN_PROGRESS, UPDATE_ROLLBACK_IN_PROGRESS, UPDATE_COMPLETE_CLEANUP_IN_PROGRESS, ...
    is_changing = stack["StackStatus"].endswith("_IN_PROGRESS")
    began = stack.get("LastUpdatedTime", stack["CreationTime"])
    telemetry.count(Metric.DEPLOY_IN_PROGRESS, int(is_changing and now - began < DEPLOY_WITHIN))
