"""Where a delivery's segments come from: the local file, or X-Ray. Both give the same documents."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore import exceptions
from botocore.config import Config

from local import traces
from ops.replay.stack import ATTEMPTS, CONNECT_SECONDS, READ_SECONDS, ReplayError, explain, open_stack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from local.traces import Segment

FAILED, MISUSED = 1, 2
SLICE_HOURS = 6.0
"""The longest time that one call asks X-Ray for."""
BATCH = 5
"""BatchGetTraces takes no more traces at once."""
_DENIED = {"AccessDenied", "AccessDeniedException"}


class TraceError(Exception):
    """There is nothing to show. The message says why, and what to do.

    Args:
        message: for the operator.
        code: the command's exit code.
    """

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Delivery:
    """One line of the list of deliveries."""

    id: str
    start: float
    """Seconds since the epoch."""
    about: str
    """Repository, pull request and action, as far as they are known."""


class LocalFile:
    """The segments that the local stack left, whether or not it runs.

    Args:
        directory: of the local stack.

    Raises:
        TraceError: it left none.
    """

    def __init__(self, directory: Path) -> None:
        self.name = str(directory / "traces.jsonl")
        """What it is called in messages."""
        self.hint = "each start of the local stack begins anew"
        self._segments = traces.read_all(directory / "traces.jsonl")
        if not self._segments:
            raise TraceError(
                f"no traces yet in {self.name}: `make run` makes some; STACK=name reads a deployed stack's"
            )

    def newest(self) -> list[Delivery]:
        """All deliveries of the file, the newest first."""
        return _deliveries((one.start, one.annotations) for one in self._segments)

    def segments(self, delivery_id: str) -> list[Segment]:
        """The segments of all traces of a delivery; none if it is not there."""
        return traces.of_delivery(self._segments, delivery_id)


class XRay:
    """X-Ray, with the credentials and the region of the environment.

    Args:
        client: of X-Ray.
        stack: the stack's name.
        state_machine: its state machine's name, which is how the stack's traces are known among an account's.
        hours: how far to look back.
    """

    def __init__(self, client: Any, stack: str, state_machine: str, hours: float) -> None:
        self.name = f"X-Ray, stack {stack}"
        self.hint = (
            f"looked back {hours:g} h; HOURS= looks further. X-Ray keeps only some traces of a busy stack "
            "(by default one each second, and 5 % of the others), and shows a new one after some seconds"
        )
        self._client, self._state_machine, self._hours = client, state_machine, hours

    @classmethod
    def of(cls, directory: Path, stack: str, hours: float) -> XRay:
        """X-Ray of the account that a deployed stack is in.

        Raises:
            TraceError: there is no such stack, or AWS cannot be asked.
        """
        try:
            state_machine = open_stack(directory, stack).state_machine_arn.rpartition(":")[2]
        except ReplayError as error:
            raise TraceError(str(error)) from None
        with explained():
            client = boto3.session.Session().client(
                "xray",
                config=Config(
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=READ_SECONDS,
                    retries={"mode": "adaptive", "total_max_attempts": ATTEMPTS},
                ),
            )
        return cls(client, stack, state_machine, hours)

    def newest(self) -> list[Delivery]:
        """The deliveries that reached the state machine in the last minutes in which any did, the newest first."""
        for window in self._windows():
            found = self._summaries(f'annotation.Service = "webhook" AND service("{self._state_machine}")', window)
            # The second part of a trace's id is the second in which it began.
            if known := _deliveries((float(int(one["Id"].split("-")[1], 16)), _annotations(one)) for one in found):
                return known
        return []

    def segments(self, delivery_id: str) -> list[Segment]:
        """The segments of all traces of a delivery; none if it is not there.

        Raises:
            TraceError: AWS cannot be asked.
        """
        wanted = {
            one["Id"]
            for window in self._windows()
            for one in self._summaries(f'annotation.delivery_id = "{delivery_id}"', window)
        }
        found: list[Segment] = []
        read: set[str] = set()
        # By its id a trace is found however old it is: the one that a replay goes on from may be of last week.
        while missing := wanted - read:
            found += traces.parse(self._documents(sorted(missing)))
            read |= missing
            wanted |= traces.followed(found)
        return sorted(found, key=lambda one: one.start)

    def _windows(self) -> Iterator[tuple[float, float]]:
        """From now backwards, as start and end in seconds: short ones first, because the newest are asked for."""
        now, reached, length = time.time(), 0.0, 0.25
        while reached < self._hours:
            until, reached = reached, min(reached + length, self._hours)
            yield now - reached * 3600, now - until * 3600
            length = min(length * 5, SLICE_HOURS)

    def _summaries(self, expression: str, window: tuple[float, float]) -> list[dict[str, Any]]:
        with explained():
            pages = self._client.get_paginator("get_trace_summaries").paginate(
                StartTime=window[0], EndTime=window[1], FilterExpression=expression
            )
            return [one for page in pages for one in page["TraceSummaries"]]

    def _documents(self, trace_ids: list[str]) -> list[str]:
        documents: list[str] = []
        with explained():
            for begin in range(0, len(trace_ids), BATCH):
                for page in self._client.get_paginator("batch_get_traces").paginate(
                    TraceIds=trace_ids[begin : begin + BATCH]
                ):
                    if unprocessed := page.get("UnprocessedTraceIds"):
                        raise TraceError(f"X-Ray did not read {', '.join(unprocessed)}: try again in a minute")
                    documents += [one["Document"] for trace in page["Traces"] for one in trace["Segments"]]
        return documents


def _annotations(summary: dict[str, Any]) -> dict[str, Any]:
    """The first value of each annotation of a trace."""
    return {
        name: next(iter(values[0]["AnnotationValue"].values()), None)
        for name, values in summary.get("Annotations", {}).items()
        if values
    }


def _deliveries(annotated: Iterable[tuple[float, dict[str, Any]]]) -> list[Delivery]:
    """The deliveries that annotations name, the newest first, from starts and annotations."""
    found: dict[str, Delivery] = {}
    for start, values in annotated:
        delivery_id = values.get("delivery_id")
        if isinstance(delivery_id, str):
            known = found.get(delivery_id)
            told = about(values) or (known.about if known else "")
            found[delivery_id] = Delivery(delivery_id, min(start, known.start if known else start), told)
    return sorted(found.values(), key=lambda one: -one.start)


def about(annotations: dict[str, Any]) -> str:
    """Repository, pull request and action, as far as they are known."""
    number = str(annotations.get("pull_request", "")).removesuffix(".0")  # X-Ray's numbers are floats
    where = f"{annotations.get('repository', '')}{'#' if number else ''}{number}"
    return "  ".join(part for part in (where, str(annotations.get("action", ""))) if part)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turns what boto3 raises into a TraceError."""
    try:
        yield
    except (exceptions.ClientError, exceptions.BotoCoreError) as error:
        code = error.response.get("Error", {}).get("Code") if isinstance(error, exceptions.ClientError) else None
        if code in _DENIED:
            raise TraceError(
                "AWS denies it: your role needs cloudformation:DescribeStacks, xray:GetTraceSummaries and "
                "xray:BatchGetTraces (AWS' policy AWSXrayReadOnlyAccess has the latter two)"
            ) from None
        raise TraceError(explain(error)) from None
