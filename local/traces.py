"""Traces, as the X-Ray SDK sent them: read, put together, drawn as a waterfall."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

BAR_CHARACTERS = 40


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
    annotations: dict[str, Any] = field(default_factory=dict)
    failed: bool = False

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
    if not file.exists():
        return []
    documents = (json.loads(line) for line in file.read_text().splitlines())
    return [segment for document in documents for segment in _flattened(document, document["trace_id"], None)]


def _flattened(document: dict[str, Any], trace_id: str, parent_id: str | None) -> Iterator[Segment]:
    if "end_time" in document:
        yield Segment(
            id=document["id"],
            trace_id=trace_id,
            parent_id=document.get("parent_id") or parent_id,
            name=document["name"],
            start=document["start_time"],
            end=document["end_time"],
            operation=document.get("aws", {}).get("operation"),
            annotations=document.get("annotations", {}),
            failed=bool(document.get("fault") or document.get("error")),
        )
    for child in document.get("subsegments", ()):
        yield from _flattened(child, trace_id, document["id"])


def of_delivery(segments: Iterable[Segment], delivery_id: str) -> list[Segment]:
    """The segments of every trace that a delivery's hops used, in the order of their start."""
    segments = list(segments)
    trace_ids = {segment.trace_id for segment in segments if segment.annotations.get("delivery_id") == delivery_id}
    return sorted((segment for segment in segments if segment.trace_id in trace_ids), key=lambda one: one.start)


def waterfall(segments: list[Segment]) -> Table:
    """The segments as a table: indented by parent, with a bar from start to end on one scale."""
    table = Table(box=None, padding=(0, 1), show_header=False)
    if not segments:
        return table
    first, last = min(one.start for one in segments), max(one.end for one in segments)
    scale = BAR_CHARACTERS / max(last - first, 0.001)
    by_parent: dict[str | None, list[Segment]] = {}
    ids = {one.id for one in segments}
    for one in segments:
        by_parent.setdefault(one.parent_id if one.parent_id in ids else None, []).append(one)

    def add(parent: str | None, depth: int) -> None:
        for one in by_parent.get(parent, ()):
            offset = int((one.start - first) * scale)
            length = max(1, round((one.end - one.start) * scale))
            style = "red" if one.failed else "cyan" if one.service else "blue"
            table.add_row(
                Text("  " * depth + one.label, style="bold" if one.service else ""),
                Text(f"{(one.start - first) * 1000:.0f} ms", style="dim", justify="right"),
                Text(f"{(one.end - one.start) * 1000:.0f} ms", justify="right"),
                Text(" " * offset + "█" * length, style=style),
            )
            add(one.id, depth + 1)

    add(None, 0)
    return table
