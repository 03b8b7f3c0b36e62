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
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import EphemeralMetrics

from shared import start
from shared.job import DELIVERY_ID_PATTERN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from shared.job import Job
    from shared.metrics import Metric

# A handler that fails before it counts anything has no metrics, which is nothing to warn of in the middle of its log.
warnings.filterwarnings("ignore", message="No application metrics to publish")


_TRACE_ID = re.compile(r"1-[0-9a-f]{8}-[0-9a-f]{24}")


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
        self._service = service
        self.log = Logger(service=service)
        # The namespace is the environment's (POWERTOOLS_METRICS_NAMESPACE): each stack has its own, because one with
        # the same names in the same account must not set off this one's alarms.
        self._metrics = Metrics(service=service)
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
            try:
                return function(event, context)
            except Exception as error:
                # Lambda's own record of it knows nothing of deliveries.
                self.log.exception("invocation failed", error=type(error).__name__)
                raise

        start.is_over()
        return instrumented  # type: ignore[no-any-return]

    def count(self, metric: Metric, value: float = 1, **by: str) -> None:
        """Adds a value to a metric.

        Flushed when the handler ends, also when it raises; one that is broken down at once.

        Args:
            metric: the metric.
            value: in the metric's unit.
            by: a value for each dimension that the metric is broken down by.

        Raises:
            ValueError: the dimensions are not those of the catalogue.
        """
        if set(by) != set(metric.by):
            raise ValueError(f"{metric.label} is broken down by {', '.join(metric.by) or 'nothing'}")
        if not by:
            self._metrics.add_metric(name=metric.label, unit=metric.unit, value=value)
            return
        # Dimensions hold for all metrics of a flush, so this one is flushed by itself: for the function, and in parts.
        single = EphemeralMetrics(service=self._service)
        single.add_metric(name=metric.label, unit=metric.unit, value=value)
        single.add_dimensions(service=self._service, **by)
        single.flush_metrics()

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

    @contextmanager
    def calling(self, service: str, call: str) -> Iterator[Callable[[int], None]]:
        """A call to a service that is not AWS's, as a subsegment. Told of the status of its answer, of the last one.

        Args:
            service: its name.
            call: method and path template: X-Ray gets no query and no credential.
        """
        method, _, path = call.partition(" ")
        with self._tracer.provider.in_subsegment(service, namespace="remote") as opened:
            # X-Ray's, of which Powertools' type knows less; None where nothing is traced.
            subsegment: Any = opened

            def note(key: str, value: str | int) -> None:
                if subsegment is not None:
                    subsegment.put_http_meta(key, value)

            note("method", method)
            note("url", path)
            yield lambda status: note("status", status)

    def annotate(self, key: str, value: str | int) -> None:
        """Adds an indexed annotation to the trace."""
        self._tracer.put_annotation(key, value)  # type: ignore[arg-type] # an int is no numbers.Number to mypy
