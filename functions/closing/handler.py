"""Lambda handler behind the queue of ended executions: no pull request is left with a status that says "pending".

An execution that failed, timed out or was aborted has nobody left who could say so on the pull request: its processor
may be dead. EventBridge reports it here, and the commit status is closed with the reason.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pullrequest.claim import Claims, Holder
from pullrequest.credential import Credential
from pullrequest.display import Display, State
from pullrequest.errors import GitHubRefused, WorkError
from pullrequest.github import PullRequestClient, connect
from pullrequest.github_access import Installations, Patience
from pullrequest.showing import show, show_result
from shared.aws import client
from shared.dead_work import DeadWork, PoisonMessage, read
from shared.ended import ENDED_WITHOUT_SUCCESS, EndedExecutions
from shared.metrics import Metric
from shared.queue import QueueConsumer
from shared.settings import Settings
from shared.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = Settings()
_table = settings.text("IDEMPOTENCY_TABLE")
_credential_name = settings.text("GITHUB_CREDENTIAL_ARN")
GITHUB_API_URL = settings.text("GITHUB_API_URL")
_quarantine = settings.text("QUARANTINE_QUEUE_URL")
settings.check()

telemetry = Telemetry("closing")
claims = Claims(_table, client("dynamodb"))
ended = EndedExecutions(_table, client("dynamodb"), time.time)
credential = Credential(_credential_name, client("secretsmanager"), telemetry)
installations = Installations()
clock = time.time
consumer = QueueConsumer(client("sqs"), _quarantine, telemetry)

GONE = {404, 410, 422}
"""GitHub's answers when repository or commit are not there: they will not come back."""

_ENDS: dict[str, tuple[State, str]] = {"TIMED_OUT": ("timed_out", "timed out"), "ABORTED": ("cancelled", "aborted")}
_WHAT_TO_DO = """The work could not be done; nothing is said of the pull request.

Press *Re-run*, or push again. An operator finds what happened with `make trace DELIVERY={delivery}`."""


@telemetry.handler
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Closes the commit status of each execution of a batch; what could not be closed now is given back."""
    return consumer.consume(event, context, close)


def close(record: SQSRecord) -> None:
    """Closes the commit status of one ended execution.

    Raises:
        PoisonMessage: the message is no event of an execution without success, or GitHub refuses the status for good.
        WorkError, EndedRecordUnavailable: it cannot be closed now; the message comes again.
    """
    dead = read(record.body)
    telemetry.bind(dead.job, execution=dead.execution)
    if dead.execution is None or dead.status not in ENDED_WITHOUT_SUCCESS:
        raise PoisonMessage("no event of an execution that ended without success")
    # First of all: whatever becomes of the status, this event is not lost (watch.reconcile).
    ended.arrived(dead.execution)
    if dead.job.check_suite:
        # It shows nothing of its own.
        telemetry.log.error("execution ended without success", status=dead.status, error=dead.error, closed=False)
        return
    try:
        github = connect(
            dead.job,
            credential,
            GITHUB_API_URL,
            telemetry,
            age=lambda: age_of(dead),
            installations=installations,
            # Its queue waits: the message comes again in two minutes.
            patience=Patience(telemetry, pauses=()),
        )
        is_closed = close_status(dead, dead.execution, claims, github)
    except GitHubRefused as refusal:
        if refusal.status not in GONE:
            # A credential that is being rotated, a permission that is being mended: the queue waits for hours.
            raise
        raise PoisonMessage(f"GitHub refuses the status: {refusal}") from None
    if is_closed:
        telemetry.count(Metric.STATUS_CLOSED)
    telemetry.log.error("execution ended without success", status=dead.status, error=dead.error, closed=is_closed)


def age_of(dead: DeadWork) -> float:
    """Seconds since the execution started; infinite when its event does not tell."""
    return clock() - dead.started_at.timestamp() if dead.started_at else float("inf")


def not_finished(dead: DeadWork) -> Display:
    """What is shown of work that ended without a result. It is no ``failure``: that is for what a pull request does."""
    state, reason = _ENDS.get(dead.status or "", ("cancelled", dead.error or "failed"))
    text = _WHAT_TO_DO.format(delivery=dead.job.delivery_id)
    return Display(state, f"not finished: {reason}", text=text)


def close_status(
    dead: DeadWork,
    execution: str,
    claims: Claims,
    github: PullRequestClient,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Closes the status of the execution's work, unless it is shown already or is another execution's by now.

    Args:
        dead: the ended execution.
        execution: its name.
        claims: the records of who does what.
        github: the pull request.
        sleep: waits so many seconds; at most ``pullrequest.claim.WRITE_SECONDS``, for a write that may be under way.

    Raises:
        WorkError: it cannot be closed now.
    """
    record = claims.find(dead.job)
    if record is not None:
        if record.phase in ("reported", "closed") or record.execution != execution:
            return False
        # The attempt that wrote may be dead or not; once this has passed nothing of it can arrive any more.
        sleep(max(0, record.writing_until - claims.now()) / 1000)
    claim = claims.take(dead.job, Holder(f"closing {execution}", execution))
    if claim.phase == "reported":
        return False
    try:
        if claim.result is not None:
            # The work was done and only could not be shown.
            show_result(github, claim, claim.result)
        else:
            show(github, claim, not_finished(dead))
            claim.end("closed", pending_shown=False)
    except WorkError:
        # Other executions of the same work need not wait for this one.
        with suppress(WorkError):
            claim.end("released", pending_shown=claim.pending_shown)
        raise
    return True
