"""Traces, as the X-Ray SDK sent them or as X-Ray gives them back: read, put together, drawn as a waterfall."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


_END_OF_TIME = 1e11
"""In seconds: a date that calendars still have."""


@dataclass(frozen=True)
class Segment:
    """A segment or subsegment; times in seconds since the epoch."""

    id: str
    trace_id: str
    parent_id: str | None
    name: str
    start: float
    end: float
    operation: str | None = None
    """AWS's name of a call; of a call to another service its method and path."""
    annotations: dict[str, Any] = field(default_factory=dict)
    failed: bool = False
    origin: str | None = None
    """The AWS resource that it is of, such as AWS::Lambda; a subsegment has its segment's."""
    problem: str | None = None
    """``fault`` (of the service), ``error`` (of its caller: an answer 4xx), ``throttle``, or None."""
    cause: tuple[str, ...] = ()
    """The exceptions that it ended with, each as ``type: message``."""
    status: int | None = None
    """Of the HTTP answer."""
    request_id: str | None = None
    """AWS' id of the call or invocation."""
    is_inferred: bool = False
    """X-Ray made it up from the caller's segment: the service that was called sends none."""
    in_progress: bool = False
    """Its end is not known; ``end`` is its start then."""

    @property
    def service(self) -> str | None:
        """The function, for the segment that covers its handler."""
        service = self.annotations.get("Service")
        return str(service) if service else None

    @property
    def label(self) -> str:
        """What the segment is, in one or two words."""
        return self.service or self.operation or self.name


def read(file: Path) -> list[Segment]:
    """All finished segments of a file with one document a line."""
    return [segment for segment in read_all(file) if not segment.in_progress]


def read_all(file: Path) -> list[Segment]:
    """All segments of a file with one document a line."""
    if not file.exists():
        return []
    return parse(file.read_text(encoding="utf-8", errors="replace").splitlines())


def parse(documents: Iterable[str]) -> list[Segment]:
    """The segments and subsegments of segment documents.

    What is no segment document is left out: a line that is being written, or a shape that is not known here. A segment
    that is there twice, first in progress and then finished, is taken once, finished.

    Args:
        documents: JSON texts, of the local file or of X-Ray's BatchGetTraces.
    """
    found: dict[tuple[str, str], Segment] = {}
    for text in documents:
        try:
            document = json.loads(text)
        except ValueError:
            continue
        for segment in _flattened(document, None, None, None):
            known = found.get((segment.trace_id, segment.id))
            if known is None or known.in_progress:
                found[segment.trace_id, segment.id] = segment
    return list(found.values())


def _flattened(document: Any, trace_id: str | None, parent_id: str | None, origin: str | None) -> Iterator[Segment]:
    if not isinstance(document, dict):
        return
    trace_id, own_id = _text(document, "trace_id") or trace_id, _text(document, "id")
    start, end = _time(document, "start_time"), _time(document, "end_time")
    if trace_id is None or own_id is None or start is None:
        return
    in_progress = end is None or document.get("in_progress") is True
    aws, http = _object(document, "aws"), _object(document, "http")
    status = _object(http, "response").get("status")
    operation = _text(aws, "operation")
    if document.get("namespace") == "remote":
        # A call to somebody else: method and path.
        request = _object(http, "request")
        operation = " ".join(filter(None, (_text(request, "method"), _text(request, "url")))) or None
    origin = _text(document, "origin") or origin
    yield Segment(
        id=own_id,
        trace_id=trace_id,
        parent_id=_text(document, "parent_id") or parent_id,
        name=_text(document, "name") or "?",
        start=start,
        end=start if end is None or in_progress else max(start, end),
        operation=operation,
        annotations=_object(document, "annotations"),
        failed=bool(document.get("fault") or document.get("error")),
        origin=origin,
        # The SDK calls every exception a fault, also the one that an answer 4xx makes; the answer says more.
        problem=next((kind for kind in ("throttle", "error", "fault") if document.get(kind)), None),
        cause=tuple(
            f"{one.get('type', 'Exception')}: {one.get('message', '')}"
            for one in _list(_object(document, "cause"), "exceptions")
            if isinstance(one, dict)
        ),
        status=status if isinstance(status, int) else None,
        request_id=_text(aws, "request_id"),
        is_inferred=bool(document.get("inferred")),
        in_progress=in_progress,
    )
    for child in _list(document, "subsegments"):
        yield from _flattened(child, trace_id, own_id, origin)


def _text(document: dict[str, Any], key: str) -> str | None:
    value = document.get(key)
    return value if isinstance(value, str) and value else None


def _time(document: dict[str, Any], key: str) -> float | None:
    """Seconds since the epoch; what is none is None."""
    value = document.get(key)
    return float(value) if isinstance(value, int | float) and 0 <= value < _END_OF_TIME else None


def _object(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _list(document: dict[str, Any], key: str) -> list[Any]:
    value = document.get(key)
    return value if isinstance(value, list) else []


def of_delivery(segments: Iterable[Segment], delivery_id: str) -> list[Segment]:
    """The segments of every trace that a delivery's hops used, and that those go on from, in the order of their start.

    A replay begins a trace of its own; its annotation ``follows_trace`` names the one that it goes on from.
    """
    segments = list(segments)
    trace_ids = {segment.trace_id for segment in segments if segment.annotations.get("delivery_id") == delivery_id}
    while more := followed(one for one in segments if one.trace_id in trace_ids) - trace_ids:
        trace_ids |= more
    return sorted((segment for segment in segments if segment.trace_id in trace_ids), key=lambda one: one.start)


def followed(segments: Iterable[Segment]) -> set[str]:
    """The ids of the traces that these go on from."""
    return {str(one.annotations["follows_trace"]) for one in segments if "follows_trace" in one.annotations}
