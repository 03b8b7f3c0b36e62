"""What CloudWatch is told of the running stack, and what it says of it, in a time that the drill moves on."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from drills.alarms.timeline import Timeline, later
from local.cloudwatch.alarms import metrics_of
from local.cloudwatch.collect import Collector
from local.cloudwatch.series import MetricId, Sample
from local.stack import aws_client

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from local.stack import LocalStack

MINUTE = 60
WATCHED_MINUTES = 20
"""After a long jump so many minutes pass one by one, with a sample of each gauge: no alarm on a gauge looks further
back."""
METRICS_A_REQUEST = 1000
"""PutMetricData's limit."""
ALARM_TYPES = ["MetricAlarm", "CompositeAlarm"]


class CloudWatch:
    """CloudWatch of a running stack, on the drill's time.

    Every metric that an alarm looks at goes there with PutMetricData, since the embedded CloudWatch gets none by
    itself: those in the functions' logs, and those of AWS, which ``local.cloudwatch`` works out.

    Args:
        stack: the running stack, with its clock.

    Raises:
        ClientError, BotoCoreError: the embedded AWS does not answer.
    """

    def __init__(self, stack: LocalStack) -> None:
        endpoint = stack.info.aws_endpoint_url
        self._client = aws_client("cloudwatch", endpoint)
        self._functions = aws_client("lambda", endpoint)
        self._clock_file: Path = stack.clock_file
        self._collector = Collector(stack.info, stack.traces)
        self._timeline = Timeline()
        self._published: Counter[Sample] = Counter()
        self._gauges: dict[MetricId, Sample] = {}
        self._said = 0
        self._is_watched = True
        self._watch = f"{self.function('watch')}:live"
        self.definitions: dict[str, dict[str, Any]] = {
            alarm["AlarmName"]: alarm
            for page in self._client.get_paginator("describe_alarms").paginate()
            for alarm in page["MetricAlarms"]
        }
        self._metrics = {metric for alarm in self.definitions.values() for metric in metrics_of(alarm)}
        self._watched_by_watch = {one for one in self._metrics if ("service", "watch") in one.dimensions}

    @property
    def now(self) -> float:
        """CloudWatch's time."""
        return time.time() + self._timeline.ahead

    def function(self, service: str) -> str:
        """The name of the function behind a service."""
        suffix = f"-{service}"
        return next(name for group, name in self._collector.resources.functions.items() if group.endswith(suffix))

    # Time

    def pass_time(self, seconds: float, watched_minutes: int = WATCHED_MINUTES) -> None:
        """Lets time pass, at the end minute by minute, as alarms are evaluated.

        What AWS and the watch tell each minute is told for these minutes too: what it was at the beginning, with ages
        that grow.

        Args:
            seconds: so many.
            watched_minutes: how many minutes pass one by one at the end. Before that nobody looks.
        """
        self.tell()
        whole = max(seconds - watched_minutes * MINUTE, 0)
        if whole:
            self._repeat_gauges(*(self.now + whole - ago * MINUTE for ago in range(WATCHED_MINUTES)))
            self._move(whole)
        left = seconds - whole
        while left > 0:
            step = min(left, MINUTE)
            self._repeat_gauges(self.now + step - 1)
            self._move(step)
            left -= step

    def pass_minutes(self, minutes: int = 1) -> None:
        """As ``pass_time``, to the beginning of a minute: what happens next is in that minute."""
        until = (math.floor(self.now / MINUTE) + minutes) * MINUTE + 1
        self.pass_time(until - self.now)

    def _move(self, seconds: float) -> None:
        self._timeline.move(time.time(), seconds)
        # Replaced whole: the embedded CloudWatch may read it at any moment.
        draft = self._clock_file.with_suffix(".new")
        draft.write_text(str(self._timeline.ahead))
        draft.replace(self._clock_file)
        self.states()

    # What CloudWatch is told

    def tell(self) -> None:
        """Lets the watch look, and tells CloudWatch everything that is new."""
        if self._is_watched:
            self.invoke("watch")
        found = Counter(one for one in self._collector.poll() if one.metric in self._metrics)
        new = list((found - self._published).elements())
        self._published |= found
        moved = [self._timeline.sample(one) for one in new]
        for one in sorted(moved, key=lambda sample: sample.at):
            if one.metric.namespace == "AWS/SQS" or one.metric in self._watched_by_watch:
                self._gauges[one.metric] = one
        self._put(moved)

    def publish(self, metric: MetricId, value: float, unit: str = "Count") -> None:
        """Tells CloudWatch of a metric, now."""
        self._put([Sample(metric, self.now, value, unit=unit)])

    def _repeat_gauges(self, *times: float) -> None:
        gauges = [one for one in self._gauges.values() if self._is_watched or one.metric not in self._watched_by_watch]
        self._put(later(one, at) for at in times for one in gauges)

    def _put(self, samples: Iterable[Sample]) -> None:
        by_namespace: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for one in samples:
            by_namespace[one.metric.namespace].append(
                {
                    "MetricName": one.metric.name,
                    "Dimensions": [{"Name": name, "Value": value} for name, value in sorted(one.metric.dimensions)],
                    "Timestamp": one.at,
                    "Values": [one.value],
                    "Counts": [one.count],
                    "Unit": one.unit,
                }
            )
        for namespace, data in by_namespace.items():
            for first in range(0, len(data), METRICS_A_REQUEST):
                self._client.put_metric_data(Namespace=namespace, MetricData=data[first : first + METRICS_A_REQUEST])

    def invoke(self, service: str) -> None:
        """Invokes a function as its schedule does, and waits for its end."""
        event = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
        name = self._watch if service == "watch" else f"{self.function(service)}:live"
        self._functions.invoke(FunctionName=name, Payload=json.dumps(event))["Payload"].read()

    @contextlib.contextmanager
    def unwatched(self) -> Iterator[None]:
        """Leaves the watch off meanwhile."""
        self._is_watched = False
        try:
            yield
        finally:
            self._is_watched = True

    # What CloudWatch says

    def put_composite(self, definition: dict[str, Any]) -> None:
        """Adds a composite alarm."""
        self._client.put_composite_alarm(**definition)

    def states(self) -> dict[str, str]:
        """The state of each alarm, by name."""
        return {
            alarm["AlarmName"]: alarm["StateValue"]
            for page in self._client.get_paginator("describe_alarms").paginate(AlarmTypes=ALARM_TYPES)
            for alarm in [*page["MetricAlarms"], *page["CompositeAlarms"]]
        }

    def said(self) -> list[tuple[str, str]]:
        """The history of alarms since ``forget``: in order, whose state changed, and to what."""
        pages = self._client.get_paginator("describe_alarm_history").paginate(
            AlarmTypes=ALARM_TYPES,
            HistoryItemType="StateUpdate",
            ScanBy="TimestampAscending",
            PaginationConfig={"PageSize": 100},
        )
        items = [item for page in pages for item in page["AlarmHistoryItems"]]
        return [(item["AlarmName"], item["HistorySummary"].rpartition(" ")[2]) for item in items[self._said :]]

    def forget(self) -> None:
        """Leaves out of ``said`` what is there by now."""
        self._said += len(self.said())
