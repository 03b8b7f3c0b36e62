"""Follows one delivery through its hops: sends it, waits for its execution, tells what happened where."""

from __future__ import annotations

import json
import runpy
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local import traces
from local.github import deliveries
from local.stack import PROJECT, StackInfo, aws_client

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local.github import PullRequest
    from local.traces import Segment

EXECUTION_SECONDS = 60.0
TRACE_SECONDS = 5.0
POLL_SECONDS = 0.1
ANY_SAMPLE = "synchronize"

# Every hop of a delivery, in order, and how its segment is found.
HOPS: dict[str, Callable[[Segment], bool]] = {
    "entrance": lambda one: one.name == "api gateway",
    "webhook": lambda one: one.service == "webhook",
    "start execution": lambda one: one.operation == "StartExecution",
    "task": lambda one: one.service == "task",
    "dispatch": lambda one: one.operation == "Invoke",
    "processor": lambda one: one.service == "processor",
    "callback": lambda one: one.operation in ("SendTaskSuccess", "SendTaskFailure"),
}
FUNCTIONS = ("webhook", "task", "processor")


@dataclass
class Flow:
    """What became of one delivery. Times in milliseconds, since the epoch where they are points in time."""

    delivery_id: str
    action: str
    http_status: int
    answer: dict[str, Any]
    ack_ms: float
    execution_arn: str | None = None
    status: str | None = None
    error: str | None = None
    cause: str | None = None
    output: dict[str, Any] | None = None
    segments: list[Segment] = field(default_factory=list)

    @property
    def trace_ids(self) -> list[str]:
        """All traces that the hops of this delivery used: one, if none was lost on the way."""
        return sorted({one.trace_id for one in self.segments})

    @property
    def hops(self) -> list[dict[str, Any]]:
        """The hops that were reached, with their times."""
        found = []
        for name, matches in HOPS.items():
            segment = next((one for one in self.segments if matches(one)), None)
            if segment is not None:
                found.append({"name": name, "start": round(segment.start * 1000), "end": round(segment.end * 1000)})
        return found

    def failed_hop(self) -> str | None:
        """The function at which the delivery stopped, or None when its execution succeeded."""
        if self.http_status != 202:
            return "webhook"
        if self.status == "SUCCEEDED":
            return None
        reached = {hop["name"] for hop in self.hops}
        return next((name for name in FUNCTIONS if name not in reached), FUNCTIONS[-1])

    def to_json(self) -> dict[str, Any]:
        """The record of ``last-run.json``."""
        return {
            "delivery_id": self.delivery_id,
            "action": self.action,
            "http_status": self.http_status,
            "ack_ms": round(self.ack_ms, 1),
            "execution_arn": self.execution_arn,
            "status": self.status,
            "error": self.error,
            "output": self.output,
            "trace_ids": self.trace_ids,
            "hops": self.hops,
        }


def event_file(name: str) -> Path:
    """A sample payload of GitHub's, by the event's action.

    Raises:
        FileNotFoundError: there is none; the message lists those that there are.
    """
    file = PROJECT / "events" / f"pull_request.{name}.json"
    if not file.exists():
        known = sorted(one.name.split(".")[1] for one in file.parent.glob("pull_request.*.json"))
        raise FileNotFoundError(f"no sample delivery for {name!r}; there are {', '.join(known)}")
    return file


def sample_of(action: str) -> bytes:
    """A sample payload that starts an action, made from the triggers that its module declares.

    So there is one for an action that was added a minute ago, too: GitHub's payload of that event, or that of another
    action of the event with the action's word in it.

    Raises:
        FileNotFoundError: there is no such action; the message lists those that there are.
    """
    # Read from the source, as the build does: nothing of the functions is imported here.
    table = runpy.run_path(str(PROJECT / "functions" / "processor" / "triggers.py"))["collect"]()
    words = [word for word, name in table.get("pull_request", {}).items() if name == action]
    if not words:
        known = sorted(set(table.get("pull_request", {}).values()))
        raise FileNotFoundError(f"no action {action!r} is started by a pull request; there are {', '.join(known)}")
    # GitHub's own payload before one that is made, and the action's namesake before others.
    word = min(words, key=lambda one: (one != action, not _is_sampled(one), words.index(one)))
    if _is_sampled(word):
        return event_file(word).read_bytes()
    payload = deliveries.of_action(json.loads(event_file(ANY_SAMPLE).read_bytes()), word.partition(".")[0])
    if word == "edited.base":
        base = payload["pull_request"]["base"]
        payload["changes"] = {"base": {"ref": {"from": base["ref"]}, "sha": {"from": base["sha"]}}}
    return json.dumps(payload).encode()


def _is_sampled(word: str) -> bool:
    return (PROJECT / "events" / f"pull_request.{word}.json").exists()


def deliver(stack: StackInfo, action: str, pull_request: PullRequest, *, body: bytes | None = None) -> Flow:
    """Signs and sends the sample delivery of an action for a pull request, or another body, as GitHub would."""
    delivery_id = str(uuid.uuid4())
    body = body or deliveries.render(sample_of(action), pull_request)
    status, answer, ack_ms = deliveries.deliver(stack.webhook_url, stack.webhook_secret, body, delivery_id)
    return Flow(delivery_id, action, status, answer, ack_ms)


def follow(flow: Flow, stack: StackInfo, traces_file: Path, timeout: float = EXECUTION_SECONDS) -> Flow:
    """Waits until the delivery's execution has ended, and completes the flow with what is known then."""
    name = flow.answer.get("execution")
    if name:
        stepfunctions = aws_client("stepfunctions", stack.aws_endpoint_url)
        flow.execution_arn = stack.execution_arn(name)
        deadline = time.monotonic() + timeout
        while True:
            execution = stepfunctions.describe_execution(executionArn=flow.execution_arn)
            flow.status = execution["status"]
            if flow.status != "RUNNING" or time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
        flow.error, flow.cause = execution.get("error"), execution.get("cause")
        flow.output = json.loads(execution["output"]) if execution.get("output") else None
    flow.segments = _segments(flow, traces_file)
    return flow


def _segments(flow: Flow, traces_file: Path) -> list[Segment]:
    # A handler's segment is sent when the handler ends, and the processor's ends after its callback.
    deadline = time.monotonic() + TRACE_SECONDS
    while True:
        segments = traces.of_delivery(traces.read(traces_file), flow.delivery_id)
        complete = any(one.service == "processor" for one in segments)
        if complete or flow.status != "SUCCEEDED" or time.monotonic() > deadline:
            return segments
        time.sleep(POLL_SECONDS)


def log_lines(stack: StackInfo, function: str, limit: int = 40) -> list[str]:
    """The last lines that a function logged."""
    logs = aws_client("logs", stack.aws_endpoint_url)
    group = f"/aws/lambda/{stack.stack_name}-{function}"
    try:
        events = logs.filter_log_events(logGroupName=group)["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [line for event in events for line in event["message"].splitlines()][-limit:]
