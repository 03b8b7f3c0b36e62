"""Logs, metrics and traces. The only module that knows how they are made.

Tracing sits behind this module because the X-Ray SDK takes no releases after 2027-02-25 and its successor in Powertools
is still being discussed: the day it changes, it changes here.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import warnings
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit

from shared.job import DELIVERY_ID_PATTERN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from shared.job import Job

NAMESPACE = "Pullback"

# A handler that fails before it counts anything has no metrics, which is nothing to warn of in the middle of its log.
warnings.filterwarnings("ignore", message="No application metrics to publish")


_TRACE_ID = re.compile(r"1-[0-9a-f]{8}-[0-9a-f]{24}")


class Metric(Enum):
    """The catalogue: every metric that a handler may emit, with its unit and meaning.

    All have the one dimension ``service``: one alarm matches exactly one set of dimensions, and a pull request, a
    delivery or a token is never one.
    """

    DELIVERY_RECEIVED = "DeliveryReceived", MetricUnit.Count, "webhook calls, whatever came of them"
    DELIVERY_STARTED = "DeliveryStarted", MetricUnit.Count, "deliveries that started an execution"
    DELIVERY_DUPLICATE = "DeliveryDuplicate", MetricUnit.Count, "deliveries whose execution runs or has succeeded"
    DELIVERY_RESTARTED = "DeliveryRestarted", MetricUnit.Count, "redeliveries that started a new attempt"
    DELIVERY_IGNORED = "DeliveryIgnored", MetricUnit.Count, "deliveries that trigger nothing, pings among them"
    DELIVERY_REJECTED = "DeliveryRejected", MetricUnit.Count, "deliveries answered 4xx"
    DELIVERY_QUEUED = "DeliveryQueued", MetricUnit.Count, "deliveries kept in the replay queue: Step Functions was away"
    DELIVERY_UNAVAILABLE = "DeliveryUnavailable", MetricUnit.Count, "deliveries answered 503"
    SIGNATURE_INVALID = "SignatureInvalid", MetricUnit.Count, "missing, malformed or wrong signatures"
    SECRET_REFRESHED = "SecretRefreshed", MetricUnit.Count, "webhook secret read again after a mismatch"
    TASK_DISPATCHED = "TaskDispatched", MetricUnit.Count, "processor invocations accepted by Lambda"
    DUPLICATE_ATTEMPT = "DuplicateAttempt", MetricUnit.Count, "events whose task token is being worked on already"
    WORK_SUCCEEDED = "WorkSucceeded", MetricUnit.Count, "work that ended with an outcome, whatever its conclusion"
    WORK_FAILED = "WorkFailed", MetricUnit.Count, "work that could not be done"
    WORK_DURATION = "WorkDuration", MetricUnit.Milliseconds, "time an action took"
    HEARTBEAT_SENT = "HeartbeatSent", MetricUnit.Count, "heartbeats that Step Functions accepted"
    HEARTBEAT_LOST = "HeartbeatLost", MetricUnit.Count, "heartbeats that did not get through"
    CALLBACK_REFUSED = "CallbackRefused", MetricUnit.Count, "callbacks for a task that is closed already"
    WORK_DEFERRED = "WorkDeferred", MetricUnit.Count, "attempts that found the same work in other hands"
    WORK_REUSED = "WorkReused", MetricUnit.Count, "attempts that took the stored result of the same work"
    CRASH_REPORTED = "CrashReported", MetricUnit.Count, "dead processor invocations reported to their execution"
    STATUS_CLOSED = "StatusClosed", MetricUnit.Count, "commit statuses closed after an execution ended without success"
    REPLAY_STARTED = "ReplayStarted", MetricUnit.Count, "executions that replay started"
    REPLAY_REFUSED = "ReplayRefused", MetricUnit.Count, "replays of what runs or has succeeded"
    MESSAGE_QUARANTINED = "MessageQuarantined", MetricUnit.Count, "messages that cannot be read, put aside"
    MESSAGE_RETURNED = "MessageReturned", MetricUnit.Count, "messages given back to their queue for another try"
    SWEEP_DELIVERIES_SEEN = "SweepDeliveriesSeen", MetricUnit.Count, "deliveries that a sweep looked at"
    SWEEP_REDELIVERY_REQUESTED = "SweepRedeliveryRequested", MetricUnit.Count, "redeliveries asked of GitHub"
    SWEEP_GIVEN_UP = "SweepGivenUp", MetricUnit.Count, "deliveries that failed at every redelivery"
    SWEEP_FAILED = "SweepFailed", MetricUnit.Count, "sweeps of a hook that did not come to their end"

    def __init__(self, label: str, unit: MetricUnit, meaning: str) -> None:
        self.label = label
        self.unit = unit
        self.meaning = meaning


def fingerprint(token: str) -> str:
    """What may be shown of a task token: the first 12 hex digits of its SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()[:12]


def trace_header() -> str | None:
    """The X-Amzn-Trace-Id of this invocation, for what does not take it over by itself."""
    return os.environ.get("_X_AMZN_TRACE_ID")


class Telemetry:
    """Logger, metrics and tracer of one function.

    Args:
        service: the function's name in logs, metrics (dimension ``service``) and traces (annotation ``Service``).
    """

    def __init__(self, service: str) -> None:
        self.log = Logger(service=service)
        self._metrics = Metrics(service=service, namespace=NAMESPACE)
        # Only botocore: patching all that is installed costs start-up, and would trace GitHub's URLs.
        self._tracer = Tracer(service=service, patch_modules=["botocore"])

    def handler(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorates a Lambda handler.

        No event and no response is ever logged or traced: a task event holds the token. Keys bound while handling
        one event are cleared before the next one.
        """

        @self.log.inject_lambda_context(clear_state=True, log_event=False)
        @self._metrics.log_metrics(capture_cold_start_metric=True)
        @self._tracer.capture_lambda_handler(capture_response=False)
        @functools.wraps(function)
        def instrumented(event: Any, context: LambdaContext) -> Any:
            return function(event, context)

        return instrumented  # type: ignore[no-any-return]

    def count(self, metric: Metric, value: float = 1) -> None:
        """Adds to a metric; flushed when the handler ends, also when it raises."""
        self._metrics.add_metric(name=metric.label, unit=metric.unit, value=value)

    def bind_delivery(self, delivery_id: object) -> None:
        """Ties every further log line to a delivery of which nothing else is known to be right yet."""
        if isinstance(delivery_id, str) and re.fullmatch(DELIVERY_ID_PATTERN, delivery_id):
            self.log.append_keys(delivery_id=delivery_id)

    def bind(self, job: Job, *, execution: str | None = None, token: str | None = None) -> None:
        """Ties every further log line, and the trace, to a job."""
        keys: dict[str, str | int] = job.log_keys()
        if execution:
            keys["execution"] = execution
        if token:
            keys["token_fingerprint"] = fingerprint(token)
        self.log.append_keys(**keys)
        for name in ("delivery_id", "repository", "pull_request", "action"):
            self.annotate(name, keys[name])

    @contextmanager
    def message(self, message_id: str) -> Iterator[None]:
        """Ties log lines to one message of a batch; what is bound while it is handled goes with it."""
        before = set(self.log.get_current_keys())
        self.log.append_keys(message_id=message_id)
        try:
            yield
        finally:
            self.log.remove_keys([key for key in self.log.get_current_keys() if key not in before])

    def link(self, trace_header: str | None) -> None:
        """Notes that this goes on from another trace: a queue between two functions ends the first one's."""
        root = dict(part.split("=", 1) for part in (trace_header or "").split(";") if "=" in part).get("Root")
        if root and _TRACE_ID.fullmatch(root):
            self.annotate("follows_trace", root)
            self.log.append_keys(follows_trace=root)

    def annotate(self, key: str, value: str | int) -> None:
        """Adds an indexed annotation to the trace."""
        self._tracer.put_annotation(key, value)  # type: ignore[arg-type] # an int is no numbers.Number to mypy
