"""SEARCH expressions: the metrics that they find among those that there are.

Follows "Using search expressions in graphs" of the CloudWatch guide, as far as the dashboard uses it: a schema, then
``Name="value"`` or ``Name=("value" OR "other")``, of which all must hold. In quotes a value is the whole value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.cloudwatch.series import MetricId

_SEARCH = re.compile(
    r"""\s*SEARCH\(\s*(['"])(?P<query>.*?)\1\s*,\s*(['"])(?P<stat>\w[\w.]*)\3\s*(?:,\s*\d+\s*)?\)\s*"""
)
_SCHEMA = re.compile(r"\s*\{(?P<names>[^{}]+)\}\s*(?P<terms>.*)")
_TERM = re.compile(r'(?P<name>"[^"]+"|[\w.]+)\s*=\s*(?P<values>"[^"]*"|\(\s*[^()]*\))\s*(?:AND\s+)?')
_VALUE = re.compile(r'"([^"]*)"')


@dataclass(frozen=True)
class Search:
    """A search that was understood."""

    namespace: str
    dimensions: frozenset[str]
    terms: tuple[tuple[str, frozenset[str]], ...]
    """A property and the values that it may have."""
    stat: str

    def find(self, metrics: Iterable[MetricId]) -> list[MetricId]:
        """The metrics with exactly these dimensions for which all terms hold, in the order of their names."""
        return sorted((one for one in metrics if self._holds(one)), key=str)

    def _holds(self, metric: MetricId) -> bool:
        properties = {"Namespace": metric.namespace, "MetricName": metric.name, **dict(metric.dimensions)}
        return (
            metric.namespace == self.namespace
            and {name for name, _ in metric.dimensions} == self.dimensions
            and all(properties.get(name) in values for name, values in self.terms)
        )


def is_search(expression: str) -> bool:
    """Whether an expression is a search, and not metric math."""
    return expression.lstrip().startswith("SEARCH(")


def parse(expression: str) -> Search:
    """Reads a search.

    Raises:
        ValueError: it is not understood.
    """
    found = _SEARCH.fullmatch(expression)
    schema = _SCHEMA.fullmatch(found["query"]) if found else None
    if found is None or schema is None:
        raise ValueError(f"this search is not understood: {expression}")
    namespace, *dimensions = (name.strip().strip('"') for name in schema["names"].split(","))
    terms, at = [], 0
    while at < len(schema["terms"]):
        term = _TERM.match(schema["terms"], at)
        if term is None:
            raise ValueError(f"this part of a search is not understood: {schema['terms'][at:]}")
        terms.append((term["name"].strip('"'), _values(term["values"])))
        at = term.end()
    return Search(namespace, frozenset(dimensions), tuple(terms), found["stat"])


def _values(text: str) -> frozenset[str]:
    inner = text.strip("()").strip()
    parts = [part.strip() for part in re.split(r"\s+OR\s+", inner)]
    values = [_VALUE.fullmatch(part) for part in parts]
    if not all(values):
        raise ValueError(f"this part of a search is not understood: {text}")
    return frozenset(one[1] for one in values if one)
