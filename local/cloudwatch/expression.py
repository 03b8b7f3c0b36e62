"""CloudWatch's metric math, as far as alarms and the dashboard use it.

Follows "Using math expressions with CloudWatch metrics" of the CloudWatch guide: where only one side of an arithmetic,
a comparison or a logical operator has data in a period, the other side counts as 0; a period in which neither has data
is not in the result; what would divide by zero is left out. Who would not rely on that writes FILL.
"""

from __future__ import annotations

import ast
import functools
import math
import operator
import re
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import TYPE_CHECKING

from local.cloudwatch.series import Series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Operand = float | Series | list[Series]

_BINARY: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: a / b if b else math.nan,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.And: lambda a, b: bool(a) and bool(b),
    ast.Or: lambda a, b: bool(a) or bool(b),
}
_AGGREGATE: dict[str, Callable[[Sequence[float]], float]] = {
    "SUM": sum,
    "MAX": max,
    "MIN": min,
    "AVG": lambda values: sum(values) / len(values),
}


def evaluate(expression: str, series: Mapping[str, Series | float], *, periods: Sequence[int]) -> Series:
    """The series that an expression gives.

    Args:
        expression: such as ``IF(FILL(m1, 0) > 5, m2)``. METRICS() is all of ``series`` that is not a number.
        series: what the names in the expression stand for.
        periods: the start of every period that is looked at, ascending, at equal distances; what FILL fills.

    Raises:
        ValueError: it cannot be read, does not give one series, or has a name or a function that is not known.
    """
    metrics = {name: value for name, value in series.items() if isinstance(value, dict)}
    return _evaluate(expression, series, metrics, periods)


def evaluate_all(
    expressions: Mapping[str, str], metrics: Mapping[str, Series], *, periods: Sequence[int]
) -> dict[str, Series]:
    """The series of every expression, by its id. They may refer to each other; METRICS() is the metrics alone.

    Raises:
        ValueError: as ``evaluate``; or expressions refer to each other in a circle.
    """
    uses = {name: _names(expression) & expressions.keys() for name, expression in expressions.items()}
    try:
        order = list(TopologicalSorter(uses).static_order())
    except CycleError as error:
        raise ValueError(f"expressions in a circle: {', '.join(error.args[1])}") from None
    results: dict[str, Series] = {}
    for name in order:
        results[name] = _evaluate(expressions[name], {**metrics, **results}, metrics, periods)
    return results


def _names(expression: str) -> set[str]:
    return {node.id for node in ast.walk(_parsed(expression)) if isinstance(node, ast.Name)}


def _evaluate(
    expression: str, known: Mapping[str, Series | float], metrics: Mapping[str, Series], periods: Sequence[int]
) -> Series:
    try:
        return _Math(known, metrics, periods).series(_parsed(expression))
    except (RecursionError, OverflowError):
        raise ValueError(f"no expression: {expression[:100]}") from None


def _parsed(expression: str) -> ast.expr:
    python = re.sub(r"\bAND\b|&&", " and ", re.sub(r"\bOR\b|\|\|", " or ", expression)).strip()
    try:
        return ast.parse(python, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"no expression: {expression[:100]}") from None


class _Math:
    """Computes the nodes of one expression. Not a number stands for what has no value, such as 1 / 0."""

    def __init__(
        self, known: Mapping[str, Series | float], metrics: Mapping[str, Series], periods: Sequence[int]
    ) -> None:
        self._known = known
        self._metrics = metrics
        self._periods = periods

    def series(self, node: ast.expr) -> Series:
        value = self._value(node)
        if isinstance(value, dict):
            return value
        raise ValueError(f"not one series: {ast.unparse(node)}")

    def _number_or_series(self, node: ast.expr) -> float | Series:
        value = self._value(node)
        if not isinstance(value, list):
            return value
        raise ValueError(f"neither a number nor one series: {ast.unparse(node)}")

    def _value(self, node: ast.expr) -> Operand:
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return float(number)
            case ast.Name(id=name) if name in self._known:
                return self._known[name]
            case ast.List(elts=elements):
                return [self.series(element) for element in elements]
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return _pointwise(operator.sub, 0.0, self._number_or_series(inner))
            case (
                ast.BinOp(left=left, op=sign, right=right) | ast.Compare(left=left, ops=[sign], comparators=[right])
            ) if type(sign) in _BINARY:
                return _pointwise(_BINARY[type(sign)], self._number_or_series(left), self._number_or_series(right))
            case ast.BoolOp(op=sign, values=values):
                both = functools.partial(_pointwise, _BINARY[type(sign)])
                return functools.reduce(both, map(self._number_or_series, values))
            case ast.Call(func=ast.Name(id=function), args=arguments, keywords=[]):
                return self._call(function, arguments, node)
        raise ValueError(f"unknown to metric math: {ast.unparse(node)}")

    def _call(self, function: str, arguments: list[ast.expr], node: ast.expr) -> Operand:
        match function, arguments:
            case "METRICS", []:
                return list(self._metrics.values())
            case "PERIOD", [ast.Name(id=name)] if name in self._metrics and len(self._periods) > 1:
                return float(self._periods[1] - self._periods[0])
            case "IF", [condition, *branches] if len(branches) in (1, 2):
                return _if(self._number_or_series(condition), *map(self._number_or_series, branches))
            case "FILL", [inner, how]:
                return self._fill(self.series(inner), how)
            case "RUNNING_SUM", [inner]:
                return _running_sum(self.series(inner))
            case "RATE", [inner]:
                return _rate(self.series(inner))
            case _, [inner] if function in _AGGREGATE:
                value = self._value(inner)
                return _across(function, value) if isinstance(value, list) else _along(function, self.series(inner))
        raise ValueError(f"unknown to metric math: {ast.unparse(node)}")

    def _fill(self, series: Series, how: ast.expr) -> Series:
        match how:
            case ast.Name(id="REPEAT"):
                return _repeated(series, self._periods)
            case ast.Name(id="LINEAR"):
                return _interpolated(series, self._periods)
        value = self._value(how)
        if isinstance(value, int | float):
            return _finite((at, series.get(at, value)) for at in self._periods)
        raise ValueError(f"FILL takes a number, REPEAT or LINEAR, not {ast.unparse(how)}")


def _pointwise(compute: Callable[[float, float], float], a: float | Series, b: float | Series) -> float | Series:
    """Computes with each period that one of the two has."""
    periods = sorted({at for operand in (a, b) if isinstance(operand, dict) for at in operand})
    if isinstance(a, dict) or isinstance(b, dict):
        return _finite((at, _computed(compute, _at(a, at), _at(b, at))) for at in periods)
    return _computed(compute, a, b)


def _computed(compute: Callable[[float, float], float], a: float, b: float) -> float:
    # Python would compare with what is not a number, and call it false.
    return math.nan if math.isnan(a) or math.isnan(b) else float(compute(a, b))


def _at(operand: float | Series, at: int) -> float:
    return operand.get(at, 0.0) if isinstance(operand, dict) else operand


def _finite(points: Iterable[tuple[int, float]]) -> Series:
    return {at: value for at, value in points if math.isfinite(value)}


def _if(condition: float | Series, then: float | Series, otherwise: float | Series | None = None) -> float | Series:
    """As the guide's tables have it: what is missing is 0 where the condition holds, and left out where it does not."""
    if otherwise is None:
        otherwise = {}
    if not isinstance(condition, dict):
        return then if condition and not math.isnan(condition) else otherwise
    points: Series = {}
    for at, holds in condition.items():
        branch = then if holds else otherwise
        points[at] = branch.get(at, 0.0 if holds else math.nan) if isinstance(branch, dict) else branch
    return _finite(points.items())


def _along(function: str, series: Series) -> float:
    """A number of all periods of one series."""
    return float(_AGGREGATE[function](list(series.values()))) if series else math.nan


def _across(function: str, several: list[Series]) -> Series:
    """A series: in each period, a number of what the several have there. AVG alone counts what is missing, as 0."""
    result: Series = {}
    for at in sorted({at for one in several for at in one}):
        values = [one.get(at, 0.0) for one in several if at in one or function == "AVG"]
        result[at] = float(_AGGREGATE[function](values))
    return result


def _running_sum(series: Series) -> Series:
    total = 0.0
    return {at: (total := total + value) for at, value in series.items()}


def _rate(series: Series) -> Series:
    """By the second, since the period before that has data."""
    return {at: (value - before) / (at - since) for (since, before), (at, value) in pairwise(series.items())}


def _repeated(series: Series, periods: Sequence[int]) -> Series:
    last = math.nan
    return _finite((at, last := series.get(at, last)) for at in periods)


def _interpolated(series: Series, periods: Sequence[int]) -> Series:
    filled = dict(series)
    for (since, before), (until, after) in pairwise(series.items()):
        for at in periods:
            if since < at < until:
                filled[at] = before + (after - before) * (at - since) / (until - since)
    return dict(sorted(filled.items()))
