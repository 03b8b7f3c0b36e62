"""`make docs`: writes docs/metrics.md from the catalogue of metrics, and into docs/reliability.md what GitHub's answers
mean."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from drills.record import fill
from local.stack import PROJECT

if TYPE_CHECKING:
    from local.progress import Progress
    from pullrequest.answers import Rule

sys.path.append(str(PROJECT / "functions"))

from pullrequest.answers import RULES
from shared.metrics import COLD_START, COLD_START_DIMENSIONS, SERVICE, Metric

PAGE = PROJECT / "docs" / "metrics.md"

_HEAD = """# Metrics

Made by `make docs` from [functions/shared/metrics.py](../functions/shared/metrics.py), the catalogue; do not edit.

The namespace is `Pullback/<stack>`: each stack has its own. Metrics travel as log lines (CloudWatch's embedded metric
format). An alarm or a widget matches exactly one set of dimensions, so each set is listed; the values of `service` are
the functions: `webhook`, `task`, `processor`, `crash`, `closing`, `replay`, `sweeper`, `watch`.

| metric | unit | dimensions | meaning |
|---|---|---|---|
"""


def metrics_page() -> str:
    """docs/metrics.md, as it should be."""
    rows = [
        (metric.label, metric.unit.value, " or ".join(map(_set, metric.dimension_sets)), metric.meaning)
        for metric in Metric
    ]
    rows.append((COLD_START, "Count", _set(COLD_START_DIMENSIONS), "invocations that began with a new environment"))
    return _HEAD + "".join(f"| `{name}` | {unit} | {sets} | {meaning} |\n" for name, unit, sets, meaning in rows)


def _set(dimensions: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(dimensions, key=lambda name: (name != SERVICE, name)))


def answers_table() -> str:
    """What GitHub's answers mean, for docs/reliability.md."""
    rows = ["| answer | to | what it is | why |", "|---|---|---|---|"]
    for rule in RULES:
        calls = "<br>".join(f"`{call}`" for call in rule.calls) or "any call"
        rows.append(f"| {_answer(rule)} | {calls} | {rule.verdict.value} | {rule.why} |")
    return "\n".join(rows)


def _answer(rule: Rule) -> str:
    statuses = rule.statuses
    if isinstance(statuses, range):
        named = "all else" if len(statuses) > 100 else f"{statuses[0] // 100}xx"
    else:
        named = ", ".join(map(str, statuses))
    if rule.message:
        named += f' "{rule.message} …"'
    return f"{named}, with the headers of a limit" if rule.exhausted else named


def docs(progress: Progress) -> int:
    """Writes the page and the table."""
    PAGE.write_text(metrics_page())
    fill("answers", answers_table())
    progress.console.print(f"  {PAGE.relative_to(PROJECT)}, the answers in docs/reliability.md")
    return 0
