"""The catalogue of metrics: every metric that a handler may emit, with its unit, its dimensions and its meaning.

docs/metrics.md is made from it (`make docs`), and the end-to-end tests hold what is really emitted against it.
"""

from __future__ import annotations

from enum import Enum

from aws_lambda_powertools.metrics import MetricUnit

SERVICE = "service"
"""The dimension of every metric: the function."""


class Metric(Enum):
    """A metric: its name, unit, meaning, and what it is broken down by.

    Each is emitted with the one dimension ``service``, because an alarm matches exactly one set of dimensions. One that
    is broken down is emitted a second time with those dimensions besides. Their values are words of this program and
    few: a pull request, a repository, a delivery or a token is never one, because each value makes a metric of its own.
    """

    DELIVERY_RECEIVED = "DeliveryReceived", MetricUnit.Count, "webhook calls, whatever came of them"
    DELIVERY_STARTED = "DeliveryStarted", MetricUnit.Count, "deliveries that started an execution"
    DELIVERY_DUPLICATE = "DeliveryDuplicate", MetricUnit.Count, "deliveries whose execution runs or has succeeded"
    DELIVERY_RESTARTED = "DeliveryRestarted", MetricUnit.Count, "redeliveries that started a new attempt"
    DELIVERY_IGNORED = "DeliveryIgnored", MetricUnit.Count, "deliveries that trigger nothing, pings among them"
    DELIVERY_REJECTED = (
        "DeliveryRejected",
        MetricUnit.Count,
        "deliveries answered 4xx; the reason is the answer's `result`",
        ("reason",),
    )
    DELIVERY_QUEUED = "DeliveryQueued", MetricUnit.Count, "deliveries kept in the replay queue: Step Functions was away"
    DELIVERY_UNAVAILABLE = "DeliveryUnavailable", MetricUnit.Count, "deliveries answered 503"
    SIGNATURE_INVALID = "SignatureInvalid", MetricUnit.Count, "missing, malformed or wrong signatures"
    SECRET_REFRESHED = "SecretRefreshed", MetricUnit.Count, "webhook secret read again after a mismatch"
    TASK_DISPATCHED = "TaskDispatched", MetricUnit.Count, "processor invocations accepted by Lambda"
    IDEMPOTENCY_HIT = "IdempotencyHit", MetricUnit.Count, "events that came again and got the stored result"
    IDEMPOTENCY_IN_PROGRESS = (
        "IdempotencyInProgress",
        MetricUnit.Count,
        "events whose task token is being worked on already",
    )
    START_DELAY = (
        "StartDelay",
        MetricUnit.Milliseconds,
        "from the start of an execution to that of its work: task function, Lambda's queue, cold start; first attempts",
    )
    WORK_SUCCEEDED = (
        "WorkSucceeded",
        MetricUnit.Count,
        "work that ended with an outcome, whatever its conclusion",
        ("action", "conclusion"),
    )
    WORK_FAILED = "WorkFailed", MetricUnit.Count, "attempts whose work could not be done", ("action",)
    WORK_DURATION = "WorkDuration", MetricUnit.Milliseconds, "time that work took which has an outcome", ("action",)
    WORK_DEFERRED = "WorkDeferred", MetricUnit.Count, "attempts that found the same work in other hands"
    WORK_REUSED = "WorkReused", MetricUnit.Count, "attempts that took the stored result of the same work"
    HEARTBEAT_SENT = "HeartbeatSent", MetricUnit.Count, "heartbeats that Step Functions accepted"
    HEARTBEAT_LOST = "HeartbeatLost", MetricUnit.Count, "heartbeats that did not get through"
    CALLBACK_REFUSED = "CallbackRefused", MetricUnit.Count, "callbacks that came late: their task was closed already"
    GITHUB_CALL = "GitHubCall", MetricUnit.Count, "calls to GitHub, each with its retries"
    GITHUB_ERROR = "GitHubError", MetricUnit.Count, "calls to GitHub that failed for good", ("error",)
    GITHUB_RATE_LIMIT_LEFT = (
        "GitHubRateLimitLeft",
        MetricUnit.Count,
        "calls that GitHub's rate limit still allows this hour, after a call",
    )
    GITHUB_LAG = (
        "GitHubLag",
        MetricUnit.Seconds,
        "from the first answer that was older than its event to the one that was not, or to the attempt's end",
        ("call",),
    )
    GITHUB_REDIRECTED = (
        "GitHubRedirected",
        MetricUnit.Count,
        "redirects of GitHub's that were followed: a repository was renamed or moved",
    )
    CHECKS_NOT_PERMITTED = (
        "ChecksNotPermitted",
        MetricUnit.Count,
        "attempts that set a commit status because GitHub's App may not write check runs",
    )
    POLICY_INVALID = (
        "PolicyInvalid",
        MetricUnit.Count,
        "attempts that worked by the stack's default because the repository's policy cannot be read",
    )
    CRASH_REPORTED = "CrashReported", MetricUnit.Count, "dead processor invocations reported to their execution"
    EXECUTION_RECONCILED = (
        "ExecutionReconciled",
        MetricUnit.Count,
        "executions that ended without success, whose event EventBridge lost, and which the watch handed over",
    )
    STATUS_CLOSED = "StatusClosed", MetricUnit.Count, "commit statuses closed after an execution ended without success"
    REPLAY_STARTED = "ReplayStarted", MetricUnit.Count, "executions that replay started"
    REPLAY_REFUSED = "ReplayRefused", MetricUnit.Count, "replays of what runs or has succeeded"
    MESSAGE_QUARANTINED = "MessageQuarantined", MetricUnit.Count, "messages that cannot be read, put aside"
    MESSAGE_RETURNED = "MessageReturned", MetricUnit.Count, "messages given back to their queue for another try"
    SWEEP_DELIVERIES_SEEN = "SweepDeliveriesSeen", MetricUnit.Count, "deliveries that a sweep looked at"
    SWEEP_REDELIVERY_REQUESTED = "SweepRedeliveryRequested", MetricUnit.Count, "redeliveries asked of GitHub"
    SWEEP_GIVEN_UP = "SweepGivenUp", MetricUnit.Count, "deliveries that failed at every redelivery"
    SWEEP_FAILED = "SweepFailed", MetricUnit.Count, "sweeps of a hook that did not come to their end"
    EXECUTIONS_RUNNING = "ExecutionsRunning", MetricUnit.Count, "executions that run right now, 10,000 at most"
    OLDEST_EXECUTION_AGE = (
        "OldestExecutionAge",
        MetricUnit.Seconds,
        "how long ago the oldest of the running executions started, of the newest 10,000; 0 when none runs",
    )
    LAST_SUCCESS_AGE = (
        "LastSuccessAge",
        MetricUnit.Seconds,
        "how long ago an execution last succeeded; nothing when none has for 90 days",
    )
    EXECUTIONS_SINCE_SUCCESS = (
        "ExecutionsSinceSuccess",
        MetricUnit.Count,
        "executions of the last two hours that should have succeeded by now, and started after the last success",
    )
    DEPLOY_IN_PROGRESS = (
        "DeployInProgress",
        MetricUnit.Count,
        "1 while CloudFormation changes the stack, for 30 minutes at most, else 0",
    )

    def __init__(self, label: str, unit: MetricUnit, meaning: str, by: tuple[str, ...] = ()) -> None:
        self.label = label
        self.unit = unit
        self.meaning = meaning
        self.by = by

    @property
    def dimension_sets(self) -> tuple[frozenset[str], ...]:
        """The sets of dimensions that it is emitted with."""
        alone = frozenset({SERVICE})
        return (alone, alone | set(self.by)) if self.by else (alone,)


COLD_START = "ColdStart"
COLD_START_DIMENSIONS = frozenset({"function_name", SERVICE})
"""The one metric that Powertools emits by itself: a Count of 1 for each invocation that a new environment begins with,
under no other set of dimensions."""
