"""Lambda handler of the work: runs one action for a job and completes its task.

Invoked asynchronously by the task function with a token; invoked without one, by hand, it returns the outcome.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyAlreadyInProgressError

from processor import registry
from processor.artifacts import ArtifactStore
from processor.attempt import carry_out, released_on_failure, with_findings
from processor.callback import Callback, CallbackUnavailable
from processor.errors import InvalidJob, TaskOver
from processor.forks import held_back
from processor.heartbeat import Heartbeat
from processor.lookout import Lookout
from processor.policy import (
    FILE,
    Policy,
    default_of,
    model_of,
    not_concerned,
    of_repository,
)
from processor.rerun import rerequest_all
from pullrequest.claim import Claims, Holder
from pullrequest.credential import Credential
from pullrequest.errors import WorkInProgress
from pullrequest.finding import Findings
from pullrequest.github import PullRequestClient, connect
from pullrequest.github_access import Installations, Patience
from pullrequest.result import Result, StoredResult
from shared.aws import client
from shared.contract import InvalidContract
from shared.idempotency import OncePerToken
from shared.job import RERUN, Outcome, TaskEvent
from shared.metrics import Metric
from shared.settings import Settings
from shared.telemetry import Telemetry, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = Settings()
_table = settings.text("IDEMPOTENCY_TABLE")
_bucket = settings.text("ARTIFACT_BUCKET")
_link = settings.text("ARTIFACT_LINK")
_credential_name = settings.text("GITHUB_CREDENTIAL_ARN")
GITHUB_API_URL = settings.text("GITHUB_API_URL")
HEARTBEAT_INTERVAL_SECONDS = settings.number("HEARTBEAT_INTERVAL_SECONDS")
default_policy = settings.read("DEFAULT_POLICY", default_of)
settings.check()

telemetry = Telemetry("processor")
stepfunctions = client("stepfunctions")
heartbeats = client("stepfunctions", attempts=1)
once = OncePerToken("processor", _table, client("dynamodb", attempts=1), telemetry)
claims = Claims(_table, client("dynamodb"))
credential = Credential(_credential_name, client("secretsmanager"), telemetry)
installations = Installations()
artifacts = ArtifactStore(client("s3", read_timeout=30.0), _bucket, _link)


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)


class RunningWork:
    """The ``processor.work.Work`` that an action gets.

    Args:
        github, artifacts, checkpoint: see there.
        policy: the repository's.
        action: whose section of it counts.
    """

    def __init__(
        self,
        github: PullRequestClient,
        artifacts: ArtifactStore,
        checkpoint: Callable[[], None],
        policy: Policy,
        action: str,
    ) -> None:
        self.github = github
        self.artifacts = artifacts
        self.checkpoint = checkpoint
        self.policy = policy.of(action)
        self.findings = Findings(self.policy.concerns)
        self.telemetry = telemetry
        self._whole = policy

    def complete(self, result: Result) -> Result:
        """The action's result, with what it found in single files, and what is to be said of the policy."""
        return self._whole.told(with_findings(result, self.findings), is_changed=FILE in self.github.listed)


@telemetry.handler
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any] | None:
    """Does the work of one event.

    With a token nothing is returned, and every error becomes the task's failure; without one the outcome is returned
    and errors are raised.

    Raises:
        CallbackUnavailable: Step Functions did not take the callback. Lambda then counts the event as failed, and
            hands it to the on-failure destination; the stored result keeps the work from being done again.
    """
    telemetry.bind_delivery(event.get("delivery_id"))
    token = event.get("taskToken")
    callback = Callback(token, stepfunctions, heartbeats) if isinstance(token, str) and token else None
    heartbeat = Heartbeat(
        callback, lambda: context.get_remaining_time_in_millis() / 1000, HEARTBEAT_INTERVAL_SECONDS, telemetry
    )
    try:
        task = accept(event)
        with heartbeat:
            outcome = attempt(task, context, heartbeat)
        if callback is None:
            return outcome.plain()
        heartbeat.require_open()
        callback.succeed(outcome)
    except IdempotencyAlreadyInProgressError:
        # Lambda delivered the event twice. Whoever holds the token completes it; raising would send this copy to the
        # on-failure destination as if the work had failed.
        telemetry.log.warning("task is being worked on already")
    except TaskOver as closed:
        # Final, and nobody's fault: the execution timed out, was aborted, or is complete.
        telemetry.count(Metric.CALLBACK_REFUSED)
        telemetry.log.warning("task is closed already", reason=str(closed))
    except CallbackUnavailable:
        # The work is done and its result is stored; to report it as failed would be untrue.
        raise
    except Exception as error:  # whatever it is, the execution has to hear of it
        if isinstance(error, WorkInProgress):
            telemetry.count(Metric.WORK_DEFERRED)
            telemetry.log.warning("work is in other hands", reason=str(error))
        else:
            telemetry.count(Metric.WORK_FAILED, action=known_action(event))
            telemetry.log.exception("work failed", error=type(error).__name__)
        telemetry.annotate("error", type(error).__name__)
        if callback is None:
            raise
        report_failure(callback, error, heartbeat)
    return None


def accept(event: dict[str, Any]) -> TaskEvent:
    """The event as the contract has it; from here on the log tells of its job.

    Raises:
        InvalidJob: the event does not satisfy the contract.
    """
    try:
        task = TaskEvent.read(event)
    except InvalidContract as error:
        raise InvalidJob(str(error)) from None
    telemetry.bind(task, execution=task.execution, token=task.taskToken)
    # A later attempt has waited for the ones before it, which is no delay of its own.
    if task.entered_at is not None and not task.retry_count:
        delay = (now() - task.entered_at).total_seconds() * 1000
        # The two clocks are not one.
        telemetry.count(Metric.START_DELAY, max(0.0, delay))
    return task


def known_action(event: dict[str, Any]) -> str:
    """The event's action if there is one of this name, for a metric: names from outside could be any number."""
    return name if (name := event.get("action")) in (*registry.names(), RERUN) else "unknown"


def attempt(task: TaskEvent, context: LambdaContext, heartbeat: Heartbeat) -> Outcome:
    """The outcome of a task: worked out, or the stored one of an earlier delivery of the same event.

    Raises:
        Exception: whatever the action raises.
    """
    telemetry.log.info("work started")
    if task.taskToken is None:
        return perform(task, Holder(context.aws_request_id, None), heartbeat)
    by = Holder(fingerprint(task.taskToken), task.execution)
    stored = once.run(task.taskToken, lambda: perform(task, by, heartbeat).plain(), context)
    return Outcome.read(stored)


def perform(job: TaskEvent, by: Holder, heartbeat: Heartbeat) -> Outcome:
    """Runs the job's action, or finds the result that the same work has had.

    Raises:
        UnknownAction, OutcomeTooLarge, CredentialUnavailable, WorkInProgress, WorkRecordUnavailable: see there.
        Exception: whatever the action raises.
    """
    started = time.monotonic()
    began_at = job.entered_at or now()

    def elapsed_ms() -> int:
        return round((time.monotonic() - started) * 1000)

    def age() -> float:
        return (now() - began_at).total_seconds()

    action = None if job.check_suite else registry.find(job.action)
    github = connect(
        job,
        credential,
        GITHUB_API_URL,
        telemetry,
        age=age,
        installations=installations,
        patience=Patience(telemetry, age, checkpoint=heartbeat.checkpoint),
    )
    if action is None:
        return told(job, StoredResult.of(rerequest_all(github), elapsed_ms()))
    claim = claims.take(job, by, getattr(action, "LIMITS", {}))
    telemetry.log.debug("claim taken", phase=claim.phase)
    is_reused = claim.result is not None
    with released_on_failure(claim):
        policy = Policy() if is_reused else of_repository(github, {job.action: model_of(job.action)}, default_policy)
    if policy.problem:
        telemetry.count(Metric.POLICY_INVALID)
        telemetry.log.warning("policy not read", reason=str(policy.problem))
    heartbeat.keep(claim)
    try:
        result = carry_out(
            job,
            RunningWork(
                github,
                artifacts,
                Lookout(heartbeat.checkpoint, github.overtaken, HEARTBEAT_INTERVAL_SECONDS),
                policy,
                job.action,
            ),
            action,
            claim,
            confirm=heartbeat.confirm,
            held_back=lambda: (
                not_concerned(policy.of(job.action), github) or held_back(job, action, policy.general.forks, github)
            ),
            elapsed_ms=elapsed_ms,
        )
    finally:
        heartbeat.keep(None)
    return told(job, result, is_reused=is_reused)


def told(job: TaskEvent, result: StoredResult, *, is_reused: bool = False) -> Outcome:
    """The outcome of a result, counted, annotated and logged."""
    outcome = Outcome.read({**result.plain(), "action": job.action, "delivery_id": job.delivery_id})
    if is_reused:
        telemetry.count(Metric.WORK_REUSED)
    else:
        telemetry.count(Metric.WORK_SUCCEEDED, action=job.action, conclusion=outcome.conclusion)
        telemetry.count(Metric.WORK_DURATION, outcome.duration_ms, action=job.action)
    telemetry.annotate("conclusion", outcome.conclusion)
    telemetry.log.info(
        "work done",
        conclusion=outcome.conclusion,
        summary=outcome.summary,
        duration_ms=outcome.duration_ms,
        reused=is_reused,
    )
    return outcome


def report_failure(callback: Callback, error: Exception, heartbeat: Heartbeat) -> None:
    """Ends the task as failed, unless it has ended already.

    Raises:
        CallbackUnavailable: Step Functions did not take it.
    """
    if heartbeat.is_closed:
        return
    try:
        callback.fail(error)
    except TaskOver as closed:
        telemetry.count(Metric.CALLBACK_REFUSED)
        telemetry.log.warning("task is closed already", reason=str(closed))
