"""The metrics that CloudWatch takes from log events: the embedded metric format (EMF).

Follows "Specification: Embedded metric format" of the CloudWatch guide, with the limits of PutMetricData's MetricDatum.
The specification does not say which mistake counts as which error. Here a document whose structure is not the
specification's is a parsing error, and nothing is taken from it; a metric, a set of dimensions or a directive that
breaks a rule is a validation error each, and the rest of its document is taken.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.metrics import MetricUnit

from local.cloudwatch.series import MetricId, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_METRICS = 100
MAX_VALUES = 100
MAX_DIMENSIONS = 30
MAX_PAST_SECONDS = 14 * 24 * 3600
MAX_FUTURE_SECONDS = 2 * 3600
MAX_VALUE = 2**360

_UNITS = frozenset(unit.value for unit in MetricUnit)
_NAMESPACE = re.compile(r"[^:].{0,254}")
_NAME = re.compile(r".{1,255}")
# Printable ASCII with something to see in it.
_DIMENSION_NAME = re.compile(r"(?!:)(?=.*\S)[ -~]{1,255}")
_DIMENSION_VALUE = re.compile(r"(?=.*\S)[ -~]{1,1024}")


@dataclass
class Extracted:
    """What CloudWatch makes of log events."""

    samples: list[Sample] = field(default_factory=list)
    parsing_errors: int = 0
    """``EMFParsingErrors``: documents with ``_aws`` that are not built as they must be."""
    validation_errors: int = 0
    """``EMFValidationErrors``: directives, metrics and sets of dimensions that were left out."""


def read(events: Iterable[tuple[int, str]]) -> Extracted:
    """Reads log events. What is no JSON object, or has no ``_aws``, is a log line and nothing else.

    Args:
        events: each one's time in milliseconds since the epoch, and its message.
    """
    extracted = Extracted()
    for logged_at, message in events:
        document = _parsed(message)
        if not isinstance(document, dict) or "_aws" not in document:
            continue
        if not _is_well_built(document["_aws"]):
            extracted.parsing_errors += 1
            continue
        at = document["_aws"]["Timestamp"] / 1000
        if not logged_at / 1000 - MAX_PAST_SECONDS <= at <= logged_at / 1000 + MAX_FUTURE_SECONDS:
            extracted.validation_errors += 1
            continue
        for directive in document["_aws"]["CloudWatchMetrics"]:
            _extract(directive, document, at, extracted)
    return extracted


def _parsed(message: str) -> Any:
    try:
        return json.loads(message, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> None:
    # Python would read NaN and Infinity, which are no JSON.
    raise ValueError(constant)


def _is_well_built(aws: Any) -> bool:
    """Whether the members that must be there are, and are of their type."""
    if not isinstance(aws, dict):
        return False
    stamp, directives = aws.get("Timestamp"), aws.get("CloudWatchMetrics")
    # A time that no float can hold is no time either.
    if not isinstance(stamp, int) or isinstance(stamp, bool) or abs(stamp) > MAX_VALUE:
        return False
    return isinstance(directives, list) and all(map(_is_directive, directives))


def _is_directive(directive: Any) -> bool:
    if not isinstance(directive, dict):
        return False
    sets, metrics = directive.get("Dimensions"), directive.get("Metrics")
    return (
        isinstance(directive.get("Namespace"), str)
        and isinstance(sets, list)
        and all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in sets)
        and isinstance(metrics, list)
        and all(isinstance(metric, dict) and isinstance(metric.get("Name"), str) for metric in metrics)
    )


def _extract(directive: dict[str, Any], document: dict[str, Any], at: float, extracted: Extracted) -> None:
    namespace, sets, metrics = directive["Namespace"], directive["Dimensions"], directive["Metrics"]
    if not _NAMESPACE.fullmatch(namespace) or not sets or len(metrics) > MAX_METRICS:
        extracted.validation_errors += 1
        return
    dimensions = [found for names in sets if (found := _dimensions(names, document)) is not None]
    extracted.validation_errors += len(sets) - len(dimensions)
    for metric in metrics:
        values = _values(metric, document)
        if values is None:
            extracted.validation_errors += 1
            continue
        unit = metric.get("Unit", "None")
        extracted.samples += _samples(namespace, metric["Name"], dimensions, at, values, unit)


def _samples(
    namespace: str, name: str, dimensions: list[dict[str, str]], at: float, values: list[float], unit: str
) -> Iterator[Sample]:
    for each in dimensions:
        metric = MetricId.of(namespace, name, each)
        for value in values:
            yield Sample(metric, at, value, unit=unit)


def _dimensions(names: list[str], document: dict[str, Any]) -> dict[str, str] | None:
    """None when a rule is broken."""
    found: dict[str, str] = {}
    for name in names:
        value = document.get(name)
        if not isinstance(value, str) or not _DIMENSION_NAME.fullmatch(name) or not _DIMENSION_VALUE.fullmatch(value):
            return None
        found[name] = value
    return found if len(found) <= MAX_DIMENSIONS else None


def _values(metric: dict[str, Any], document: dict[str, Any]) -> list[float] | None:
    """None when a rule is broken."""
    unit = metric.get("Unit", "None")
    if not _NAME.fullmatch(metric["Name"]) or not isinstance(unit, str) or unit not in _UNITS:
        return None
    if metric.get("StorageResolution", 60) not in (1, 60):
        return None
    target = document.get(metric["Name"])
    values: list[Any] = target if isinstance(target, list) else [target]
    if len(values) > MAX_VALUES or not all(map(_is_value, values)):
        return None
    return [float(value) for value in values]


def _is_value(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_VALUE
