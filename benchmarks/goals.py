"""What is held to a goal: ratios of what was measured in one run, and how time and memory grow."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.growth import slope
from benchmarks.measure import ratios

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class Goal:
    """A row of the page's first table: what is measured of ours, to what, and what it is to be at most.

    Args:
        what: for people.
        section: of the record.
        ours: what is measured there.
        to: what it is divided by; for growth ``time`` or ``memory``, whose exponent it is.
        goal: what it is to be at most.
        bound: what ``--check`` holds it to: generous, because machines differ.
        before: what it was on 2026-11-24.
    """

    what: str
    section: str
    ours: str
    to: str
    goal: float
    bound: float
    before: float | None = None


GOALS = (
    Goal("init of webhook, to its bare", "starts", "webhook", "bare webhook", 1.00, 1.40, 4.28),
    Goal("init of task, to its bare", "starts", "task", "bare task", 1.00, 1.40, 3.85),
    Goal("init of processor, to its bare", "starts", "processor", "bare processor", 1.05, 1.40, 4.28),
    Goal("init of webhook, to the usual handler", "starts", "webhook", "usual webhook", 0.50, 0.90, 2.18),
    Goal("init and first call of webhook, to its bare", "first_calls", "webhook", "bare webhook", 1.05, 1.40),
    Goal("init and first call of task, to its bare", "first_calls", "task", "bare task", 1.05, 1.40),
    Goal("warm call of webhook, to its bare", "calls", "webhook", "bare webhook", 1.20, 2.20),
    Goal("body of 1 MB, to HMAC and `json.loads` of it", "large_bodies", "webhook", "floor webhook", 1.50, 2.00),
    Goal("report: exponent of time", "growth", "report", "time", 1.10, 1.40),
    Goal("report: exponent of peak memory", "growth", "report", "memory", 0.10, 0.20),
    Goal("bundle: exponent of time", "growth", "bundle", "time", 1.10, 1.40),
    Goal("bundle: exponent of peak memory", "growth", "bundle", "memory", 0.10, 0.20),
)

LEVERS = {
    "aws_lambda_powertools": "Powertools' imports and what its decorators do at each call; fewer of its utilities",
    "aws_xray_sdk": "the X-Ray SDK, which takes no releases after 2027-02-25 and goes with its successor",
    "msgspec": "the contract's models; nothing is known that is smaller",
    "botocore": "what botocore is asked beyond bare's calls: the previous secret, options of clients, hooks of tracing",
    "own": "code of ours",
}
"""Where a package makes the most of what is above a goal: what would have to change."""


def results(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each goal that something was measured for: by what was measured, the median and the range over the rounds."""
    for goal in GOALS:
        section = record.get(goal.section, {})
        found: dict[str, list[float]] = {}
        if goal.section == "growth":
            if goal.ours in section:
                found["exponent"] = _exponents(section[goal.ours], goal.to)
        else:
            found = {
                kind: ratios(measured[goal.ours], measured[goal.to])
                for kind, measured in section.items()
                if goal.ours in measured
            }
        if found:
            told = {
                kind: {"now": statistics.median(values), "range": [min(values), max(values)]}
                for kind, values in found.items()
            }
            yield asdict(goal) | {"measured": told}


def _exponents(rows: Any, of: str) -> list[float]:
    """One a round."""
    name = {"time": "seconds", "memory": "peak"}[of]
    sizes = [row["size"] for row in rows]
    return [slope(sizes, values) for values in zip(*(row[name] for row in rows), strict=True)]
