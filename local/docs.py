"""`make docs`: writes docs/metrics.md from the catalogue of metrics."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from local.stack import PROJECT

if TYPE_CHECKING:
    from local.progress import Progress

sys.path.append(str(PROJECT / "functions"))

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


def docs(progress: Progress) -> int:
    """Writes the page."""
    PAGE.write_text(metrics_page())
    progress.console.print(f"  {PAGE.relative_to(PROJECT)}")
    return 0
