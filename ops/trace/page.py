"""The waterfall as a page: one file, without anything from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from local.story import Axis
from ops.pages import templates
from ops.trace.source import about

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.story import Row, Trace

_HERE = Path(__file__).parent
_TICKS = 5


def render(delivery_id: str, told: Sequence[Trace], source: str) -> str:
    """The page of a delivery.

    All text in it is escaped; what it may load or run is bounded by a Content-Security-Policy to its own style and
    script, by their hashes.

    Args:
        delivery_id: the delivery.
        told: its traces, one at least.
        source: where they come from, for the reader.
    """
    rows = [row for one in told for row in one.rows]
    axis = Axis(rows)
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return (
        templates(_HERE)
        .get_template("page.html")
        .render(
            delivery_id=delivery_id,
            facts=_facts(rows, axis, source),
            traces=told,
            folds=axis.folds,
            ticks=[(at / _TICKS, _seconds(axis.time(at / _TICKS) - axis.start)) for at in range(_TICKS)],
            place=lambda row: _place(row, axis),
            details=lambda row: _details(row, axis),
            since=lambda row: _milliseconds(row.segment.start - axis.start),
            percent=lambda share: f"{share * 100:.3f}%",
            seconds=_seconds,
            date=_date,
            policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
            "base-uri 'none'; form-action 'none'",
            # Ours, not to be escaped: the hashes are of these very bytes.
            style=Markup(style),  # noqa: S704
            script=Markup(script),  # noqa: S704
        )
    )


def _facts(rows: Sequence[Row], axis: Axis, source: str) -> list[tuple[str, str]]:
    annotations: dict[str, Any] = {}
    for row in rows:
        annotations = {**row.segment.annotations, **annotations}
    outcomes = [row.outcome for row in sorted(rows, key=lambda row: row.segment.start) if row.outcome]
    attempts = max((row.attempts or 1 for row in rows), default=1)
    facts = {
        "for": about(annotations),
        "outcome": outcomes[-1] if outcomes else "none yet",
        "attempts": str(attempts) if attempts > 1 else "",
        "started": _date(axis.start),
        "took": _seconds(axis.end - axis.start),
        "from": source,
    }
    return [(name, value) for name, value in facts.items() if value]


def _place(row: Row, axis: Axis) -> dict[str, float]:
    """Where a row's bar and the wait before it are, from 0 to 1."""
    start = axis.at(row.segment.start)
    waits_from = axis.at(row.segment.start - (row.waited or 0))
    return {"start": start, "length": axis.at(row.end) - start, "waits_from": waits_from, "waits": start - waits_from}


def _details(row: Row, axis: Axis) -> list[tuple[str, str]]:
    """Everything that is known of a row, for who points at it."""
    one = row.segment
    details = {
        "segment": one.name,
        "resource": one.origin,
        "operation": one.operation,
        "start": f"{_date(one.start)}, {_milliseconds(one.start - axis.start)} after the first",
        "took": row.took,
        "waited": f"{_milliseconds(row.waited)} since its caller or the attempt before it ended"
        if row.waited
        else None,
        "attempt": f"{row.attempt} of {row.attempts}" if row.attempt else None,
        "outcome": row.outcome,
        "problem": one.problem,
        "why": "Only its calls tell of it: it is still at work, or its process died." if row.is_lost else None,
        "HTTP status": one.status,
        **{f"error {number}": text for number, text in enumerate(one.cause, 1)},
        **{f"@{name}": value for name, value in one.annotations.items()},
        "request": one.request_id,
        "trace": one.trace_id,
        "id": one.id,
    }
    return [(name, str(value)) for name, value in details.items() if value is not None]


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _seconds(seconds: float) -> str:
    return _milliseconds(seconds) if seconds < 1 else f"{seconds:.1f} s"


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"
