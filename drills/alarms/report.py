"""The drill's result as a table of Markdown: every alarm, what it watches, and what set it off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local.cloudwatch.alarms import metrics_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from drills.alarms.drilled import Drilled

_COMPARED = {
    "GreaterThanOrEqualToThreshold": "≥",
    "GreaterThanThreshold": ">",
    "LessThanOrEqualToThreshold": "≤",
    "LessThanThreshold": "<",
}


def table(
    drilled: Sequence[Drilled], definitions: Mapping[str, Mapping[str, Any]], levels: Mapping[str, str], stack: str
) -> str:
    """The Markdown table, a row an alarm.

    Args:
        drilled: what the drill showed.
        definitions: of each alarm, as CloudWatch was told.
        levels: of each alarm, who is told of it.
        stack: the stack's name, which is left out of the alarms' names.
    """
    rows = ["| alarm | level | watches | threshold | set off by |", "|---|---|---|---|---|"]
    for one in drilled:
        name = one.name.removeprefix(f"{stack}-")
        definition = definitions[one.name]
        cells = (
            f"[`{name}`](runbook.md#{name})",
            levels[one.name],
            watched(definition, stack),
            threshold(definition),
            one.by.replace(f"{stack}-", ""),
        )
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows)


def watched(definition: Mapping[str, Any], stack: str) -> str:
    """The metrics that an alarm looks at, each once, whatever its dimensions."""
    if "AlarmRule" in definition:
        return "the alarms below it"
    names = {f"`{metric.namespace} {metric.name}`" for metric in metrics_of(definition)}
    return ", ".join(sorted(names)).replace(f"Pullback/{stack}", "Pullback")


def threshold(definition: Mapping[str, Any]) -> str:
    """When an alarm fires, in words."""
    if "AlarmRule" in definition:
        return "one of them"
    periods, needed = definition["EvaluationPeriods"], definition.get("DatapointsToAlarm")
    if metrics := definition.get("Metrics"):
        # CloudWatch takes an alarm's metrics with one period only.
        seconds = next(one["MetricStat"]["Period"] for one in metrics if "MetricStat" in one)
        what = next(one.get("Label", one["Id"]) for one in metrics if one.get("ReturnData", True))
    else:
        seconds = definition["Period"]
        # The embedded CloudWatch names a Statistic besides, which does not count.
        what = definition.get("ExtendedStatistic") or definition["Statistic"]
    minutes = f"{seconds // 60} min"
    often = minutes if periods == 1 else f"{needed or periods} of {periods} periods of {minutes}"
    return f"{what} {_COMPARED[definition['ComparisonOperator']]} {definition['Threshold']:,.10g} in {often}"
