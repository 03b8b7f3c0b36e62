"""Everything that CloudWatch would know of a running local stack: the metrics in its logs, and those of AWS itself."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests

from local import traces
from local.cloudwatch import aws, emf
from local.cloudwatch.series import Sample, Samples
from local.stack import aws_client, resources

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from local.stack import StackInfo
    from local.traces import Segment

TIMEOUT_SECONDS = 10
LATE_MS = 2000
"""A log event may be stored a little later than one that is dated after it."""
PAGE = 10_000
"""Log events that FilterLogEvents gives at most."""
INVOKED = "processor"
"""The one function that another one invokes, asynchronously."""


def collect(info: StackInfo, traces_file: Path) -> Samples:
    """Every sample there is at this moment.

    Args:
        info: the running stack.
        traces_file: where the X-Ray daemon writes its segments.

    Raises:
        ClientError, BotoCoreError, requests.RequestException: the embedded AWS does not answer.
    """
    return Collector(info, traces_file).poll()


class Collector:
    """Collects samples again and again. Each look at the queues makes samples of its own.

    Not for several threads at once.

    Args:
        info: the running stack.
        traces_file: where the X-Ray daemon writes its segments.

    Raises:
        ClientError, BotoCoreError: the embedded AWS does not answer.
    """

    def __init__(self, info: StackInfo, traces_file: Path) -> None:
        self._info = info
        self._stepfunctions = aws_client("stepfunctions", info.aws_endpoint_url)
        self.resources = Resources.of(info)
        logs = aws_client("logs", info.aws_endpoint_url)
        self._groups = [_LogGroup(logs, name) for name in self.resources.log_groups]
        self._traces = _Traces(traces_file)
        self._known: dict[str, set[str]] = {name: set() for name in self.resources.queues}
        self._messages = _Messages()
        self._gauges: list[Sample] = []

    def poll(self) -> Samples:
        """Every sample there is at this moment, those of the polls before included.

        Raises:
            ClientError, BotoCoreError, requests.RequestException: the embedded AWS does not answer.
        """
        self.look_at_queues()
        self._traces.read()
        samples = Samples(self._gauges)
        pages = self._stepfunctions.get_paginator("list_executions").paginate(
            stateMachineArn=self._info.state_machine_arn
        )
        samples.add(aws.executions(one for page in pages for one in page["executions"]))
        handled = defaultdict(list)
        for one in self._traces.segments:
            if one.service:
                handled[one.service].append(one)
        for group in self._groups:
            group.read()
            samples.add(group.samples)
            if (name := self.resources.functions.get(group.name)) is not None:
                service = self.resources.service(group.name)
                samples.add(aws.function(name, group.invocations, handled[service]))
                if service == INVOKED:
                    invokes = self._traces.calls("Invoke")
                    samples.add(aws.asynchronous(name, group.invocations, invokes, handled[service]))
        for api, stage in self.resources.stages:
            samples.add(aws.requests(api, stage, self._traces.of_origin("AWS::ApiGateway::Stage")))
        samples.add(aws.table(self._info.idempotency_table, self._traces.named("dynamodb")))
        return samples

    def look_at_queues(self) -> None:
        """Takes a sample of each queue, for who wants more of these than whole polls.

        Raises:
            requests.RequestException: the embedded AWS does not answer.
        """
        # Not ReceiveMessage, which would hide messages from their consumers.
        answer = requests.get(f"{self._info.aws_endpoint_url}/_ministack/sqs/messages", timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        at = time.time()
        found = self._messages.read(answer.json(), at)
        for name, known in self._known.items():
            messages = found.get(name, [])
            self._gauges += aws.queue(name, messages, at)
            self._gauges += aws.sent(name, [one for one in messages if one.id not in known], at)
            known.update(one.id for one in messages)


@dataclass(frozen=True)
class Resources:
    """What a stack is made of, as far as it has metrics."""

    stack_name: str
    log_groups: tuple[str, ...]
    functions: dict[str, str]
    """The function's name by its log group's."""
    queues: tuple[str, ...]
    stages: tuple[tuple[str, str], ...]
    """The REST API's name, and its stage's."""
    dashboards: tuple[str, ...]

    def service(self, log_group: str) -> str:
        """What the function that writes to a log group calls itself in metrics and traces."""
        return log_group.removeprefix(f"/aws/lambda/{self.stack_name}-")

    def function(self, service: str) -> str:
        """The function that calls itself so. Raises KeyError when there is none."""
        return self.functions[f"/aws/lambda/{self.stack_name}-{service}"]

    @classmethod
    def of(cls, info: StackInfo) -> Resources:
        """Those of a running stack. Raises ClientError or BotoCoreError when the embedded AWS does not answer."""
        endpoint = info.aws_endpoint_url
        ids: dict[str, list[str]] = defaultdict(list)
        for one in resources(info):
            ids[one["ResourceType"]].append(one["PhysicalResourceId"])
        functions, apis = aws_client("lambda", endpoint), aws_client("apigateway", endpoint)
        return cls(
            stack_name=info.stack_name,
            log_groups=tuple(ids["AWS::Logs::LogGroup"]),
            functions={_log_group_of(functions, name): name for name in ids["AWS::Lambda::Function"]},
            queues=tuple(url.rpartition("/")[2] for url in ids["AWS::SQS::Queue"]),
            stages=tuple(
                (apis.get_rest_api(restApiId=api)["name"], stage["stageName"])
                for api in ids["AWS::ApiGateway::RestApi"]
                for stage in apis.get_stages(restApiId=api)["item"]
            ),
            dashboards=tuple(ids["AWS::CloudWatch::Dashboard"]),
        )


def _log_group_of(functions: Any, name: str) -> str:
    group: str = functions.get_function_configuration(FunctionName=name)["LoggingConfig"]["LogGroup"]
    return group


class _Messages:
    """What is in the queues, as SQS would count it."""

    def __init__(self) -> None:
        self._moved: dict[tuple[str, str], tuple[float, int]] = {}
        """By dead-letter queue and message, when it was there first, and how often it had been received by then."""

    def read(self, listed: dict[str, Any], at: float) -> dict[str, list[aws.Queued]]:
        """By queue, its messages.

        Args:
            listed: the embedded AWS' own list of them.
            at: the moment.
        """
        return {
            url.rpartition("/")[2]: [self._queued(url, one, at) for one in messages]
            for regions in listed["messages"].values()
            for queues in regions.values()
            for url, messages in queues.items()
        }

    def _queued(self, queue: str, message: dict[str, Any], at: float) -> aws.Queued:
        sent, received = int(message["Attributes"]["SentTimestamp"]) / 1000, message["ReceiveCount"]
        if "DeadLetterQueueSourceArn" in message["Attributes"]:
            # The embedded AWS counts on from where the queue before has stopped. SQS' age begins anew.
            sent, before = self._moved.setdefault((queue, message["MessageId"]), (at, received))
            received -= before
        return aws.Queued(message["MessageId"], sent, message["IsVisible"], received)


class _LogGroup:
    """What the lines of one log group tell, read bit by bit."""

    def __init__(self, logs: Any, name: str) -> None:
        self.name = name
        self.samples: list[Sample] = []
        self.invocations: list[aws.Invocation] = []
        self._logs = logs
        self._newest_ms = 0
        self._taken: Counter[tuple[str, int, str]] = Counter()

    def read(self) -> None:
        """Reads what is new."""
        events = self._new_events()
        extracted = emf.read((one["timestamp"], one["message"]) for one in events)
        self.samples += extracted.samples
        by_stream: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for one in events:
            by_stream[one["logStreamName"]].append((one["timestamp"], one["message"]))
        for lines in by_stream.values():
            self.samples += aws.log_group(self.name, lines)
            # The embedded AWS stores all lines of an invocation at once.
            self.invocations += aws.invocations(lines)
        if events:
            at = events[-1]["timestamp"] / 1000
            self.samples += aws.metric_errors(self.name, extracted.parsing_errors, extracted.validation_errors, at)

    def _new_events(self) -> list[dict[str, Any]]:
        new: list[dict[str, Any]] = []
        while True:
            since = max(self._newest_ms - LATE_MS, 0)
            events = self._logs.filter_log_events(logGroupName=self.name, startTime=since)["events"]
            seen: Counter[tuple[str, int, str]] = Counter()
            before = self._newest_ms
            for one in events:
                key = (one["logStreamName"], one["timestamp"], one["message"])
                seen[key] += 1
                if seen[key] > self._taken[key]:
                    new.append(one)
                self._newest_ms = max(self._newest_ms, one["timestamp"])
            self._taken = Counter({key: n for key, n in (self._taken | seen).items() if key[1] >= since})
            # The embedded AWS gives no token for the next page.
            if len(events) < PAGE or self._newest_ms == before:
                return new


class _Traces:
    """The segments in a file that is being written, read bit by bit."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offset = 0
        self._found: dict[tuple[str, str], Segment] = {}

    @property
    def segments(self) -> Iterable[Segment]:
        """Those that have ended."""
        return [one for one in self._found.values() if not one.in_progress]

    def calls(self, operation: str) -> list[Segment]:
        """Calls of AWS with this operation."""
        return [one for one in self.segments if one.operation == operation]

    def named(self, name: str) -> list[Segment]:
        """Those of this name: of a call, the service."""
        return [one for one in self.segments if one.name == name]

    def of_origin(self, origin: str) -> list[Segment]:
        """Those that a resource of this type sent."""
        return [one for one in self.segments if one.origin == origin]

    def read(self) -> None:
        """Reads what is new."""
        if not self._file.exists():
            return
        with self._file.open("rb") as file:
            file.seek(self._offset)
            # A line that is being written is read the next time.
            whole = file.read().rpartition(b"\n")[0]
        self._offset += len(whole) + 1 if whole else 0
        for one in traces.parse(whole.decode(errors="replace").splitlines()):
            known = self._found.get((one.trace_id, one.id))
            if known is None or known.in_progress:
                self._found[one.trace_id, one.id] = one
