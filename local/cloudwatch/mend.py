"""What ministack's CloudWatch lacks, put right: alarms that are as true as AWS', on a clock that a drill can move.

Called by local/engine.py; each function names its reason, and tests/infrastructure/local/test_engine_gaps.py fails when
ministack gets it right by itself. Written against ministack 1.5.33.
"""

# ruff: noqa: SLF001 - what is put right is private to ministack

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from local.cloudwatch import alarms
from local.cloudwatch.series import MetricId, Sample, Samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_ONE_METRIC = ("Namespace", "MetricName", "Dimensions", "Statistic", "ExtendedStatistic", "Period", "Unit")
"""What an alarm on one metric has, and one on an expression has not."""


def evaluate_alarms(cloudwatch: Any) -> None:
    """Evaluates alarms as AWS does: whenever samples arrive, and whenever somebody asks for their state.

    Reason: ministack looks at all sets of dimensions together and at nothing of TreatMissingData and DatapointsToAlarm,
    and only when samples arrive, so that an alarm never ends by time alone.
    """
    describe = cloudwatch._describe_alarms

    def evaluate(alarm: dict[str, Any]) -> None:
        if not alarm.get("MetricName") and not alarm.get("Metrics"):
            # PutMetricAlarm, before ``keep_expressions`` has added the alarm's Metrics.
            return
        samples = Samples(_samples(cloudwatch, alarms.metrics_of(alarm)))
        now, before = cloudwatch.time.time(), alarm["StateValue"]
        verdict = alarms.evaluate(alarm, samples, now, before)
        if verdict.state != before:
            alarm |= {"StateValue": verdict.state, "StateReason": verdict.reason, "StateUpdatedTimestamp": int(now)}
            cloudwatch._record_history(alarm["AlarmName"], before, verdict.state, verdict.reason)
            cloudwatch._dispatch_alarm_actions(alarm, before, verdict.state, verdict.reason)
            cloudwatch._evaluate_parent_alarms(alarm)

    def evaluate_and_describe(*request: Any) -> Any:
        cloudwatch._evaluate_all_alarms()
        return describe(*request)

    cloudwatch._evaluate_alarm = evaluate
    cloudwatch._describe_alarms = evaluate_and_describe


def _samples(cloudwatch: Any, metrics: Iterable[MetricId]) -> Iterator[Sample]:
    for metric in metrics:
        key = (metric.namespace, metric.name, cloudwatch._dims_key(dict(metric.dimensions)))
        for point in cloudwatch._metrics.get(key, ()):
            count, total, low, high = cloudwatch._point_stats(point)
            # A set of statistics is its lowest and its highest value, and the rest as often as their mean.
            ends = (low, high) if count >= 2 else ()
            values = [(value, 1.0) for value in ends]
            if rest := count - len(ends):
                values.append(((total - sum(ends)) / rest, rest))
            for value, times in values:
                yield Sample(metric, point["Timestamp"], value, times, point["Unit"])


def keep_expressions(cloudwatch: Any, cloudformation: Any) -> None:
    """Keeps the Metrics of an alarm on an expression, and refuses an alarm that cannot be evaluated.

    Reason: ministack's PutMetricAlarm forgets them, and its CloudFormation refuses them.
    """
    put, record = cloudwatch._put_metric_alarm, cloudformation._cw_metric_alarm_record

    def put_with_metrics(params: Any, request: dict[str, Any], is_cbor: bool, is_json: bool = False) -> Any:  # noqa: FBT001, FBT002
        if not request:
            # The old protocol, which our SDK does not speak: ministack has the alarm in ``params``, without Metrics.
            return put(params, request, is_cbor, is_json)
        try:
            alarms.evaluate(request, Samples(), cloudwatch.time.time(), alarms.OK)
        except (KeyError, ValueError) as error:
            message = f"no alarm: {error}"
            return cloudwatch._error("ValidationError", message, 400, use_json=is_json, use_cbor=is_cbor)
        answer = put(params, request, is_cbor, is_json)
        if answer[0] == 200 and request.get("Metrics"):
            alarm = cloudwatch._alarms[request["AlarmName"]]
            _on_expression(alarm, request["Metrics"])
            cloudwatch._evaluate_alarm(alarm)
        return answer

    def record_with_metrics(name: str, properties: dict[str, Any]) -> dict[str, Any]:
        metrics = properties.get("Metrics")
        if not metrics:
            alarm: dict[str, Any] = record(name, properties)
            return alarm
        alarm = record(name, properties | {"Metrics": None, "Namespace": "-", "MetricName": "-"})
        _on_expression(alarm, metrics)
        return alarm

    cloudwatch._put_metric_alarm = put_with_metrics
    cloudformation._cw_metric_alarm_record = record_with_metrics


def _on_expression(alarm: dict[str, Any], metrics: list[dict[str, Any]]) -> None:
    for name in _ONE_METRIC:
        alarm.pop(name, None)
    alarm["Metrics"] = metrics


def move_clock(cloudwatch: Any, file: Path) -> None:
    """Lets CloudWatch's time, and nobody else's, go ahead of the real one by the seconds in a file, whenever it asks.

    Reason: an alarm on hours of silence cannot be tried in hours. Without the file the time is the real one.
    """

    def moved() -> float:
        return time.time() + (float(file.read_text()) if file.exists() else 0.0)

    cloudwatch.time = SimpleNamespace(time=moved)


def record_no_invocations(lambda_service: Any) -> None:
    """Leaves the metrics of AWS/Lambda to local/cloudwatch/aws.py.

    Reason: ministack records invocations through the API of Lambda alone, asynchronous ones without duration and
    errors; those by API Gateway, Step Functions and queues are missing, so that every graph would be wrong.
    """
    lambda_service._emit_lambda_metrics = lambda *_, **__: None
