"""Evaluates queries in the language of CloudWatch Logs Insights, as far as the saved ones and the dashboard use it.

Own code, because no library evaluates this language (what there is sends queries to AWS), and the embedded AWS passes
over what it does not know of it: ``stats``, ``and``, ``or`` and every field without ``@``.

Written from https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html. What is not understood is an
error, never passed over. Where that page is silent: a field that is missing is equal to nothing and different from
everything; an aggregation leaves out what is missing or, where it calculates, no number; of rows that compare equal the
one that was written first comes first.
"""

from __future__ import annotations

import json
import math
import operator
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from local.log_events import LogEvent

    Row = dict[str, Any]
    """Values by the names of fields; what is missing has no name, or None."""
    Expression = Callable[[Row], Any]
    Command = Callable[[list[Row]], list[Row]]

MAX_ROWS = 10_000

_PARAMETER = re.compile(r"\{\{(\w+)\}\}")
_BLANK = re.compile(r"(?:\s|#[^\n]*)*")
_NAME = re.compile(r"@?`[^`]+`|@?[A-Za-z_][\w.]*")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"' + r"|'(?:[^'\\]|\\.)*'")
_REGEX = re.compile(r"/((?:[^/\\\n]|\\.)+)/")
_PERIOD = re.compile(r"([1-9]\d*)(ms|[smhd])\b")
_COMPARISON = re.compile(r"!=|<=|>=|=|<|>")
_RESERVED = {"and", "or", "not", "like", "in", "as", "by", "asc", "desc"}
_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

# What Lambda itself writes. Times in milliseconds, memory in megabytes.
_PLATFORM = re.compile(r"(?P<type>START|END|REPORT) RequestId: (?P<requestId>\S+)")
_REPORT = re.compile(
    r"\tDuration: (?P<duration>[\d.]+) ms\tBilled Duration: (?P<billedDuration>[\d.]+) ms"
    r"\tMemory Size: (?P<memorySize>\d+) MB\tMax Memory Used: (?P<maxMemoryUsed>\d+) MB"
    r"(?:\tInit Duration: (?P<initDuration>[\d.]+) ms)?"
)


class Timestamp(int):
    """Milliseconds since the epoch, shown as Logs Insights does."""

    def __str__(self) -> str:
        return datetime.fromtimestamp(self / 1000, UTC).isoformat(" ", "milliseconds").removesuffix("+00:00")


def run(query: str, events: Iterable[LogEvent]) -> list[dict[str, Any]]:
    """The rows that a query finds in log events.

    Raises:
        ValueError: the query is not understood; the message tells where.
    """
    return Query(query).run(events)


def fill(query: str, values: Mapping[str, str]) -> str:
    """A saved query with the values of its parameters.

    Raises:
        ValueError: a parameter has no value.
    """

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise ValueError(f"the parameter {found[1]} has no value")
        return values[found[1]]

    return _PARAMETER.sub(value, query)


class Query:
    """A query that was understood.

    Args:
        text: the query. Its parameters are filled in.

    Raises:
        ValueError: it is not understood; the message tells where.

    Attributes:
        fields: every field of log events that it reads.
        columns: what its rows have.
    """

    def __init__(self, text: str) -> None:
        parser = _Parser(text)
        self._commands = parser.parse()
        self.fields = frozenset(parser.read)
        self.columns = tuple(parser.columns or ("@timestamp", "@message"))

    def run(self, events: Iterable[LogEvent]) -> list[dict[str, Any]]:
        """The rows that it finds, each with those columns that have a value."""
        # The newest first, unless it is said otherwise.
        rows = sorted(map(discover, events), key=lambda row: -row["@timestamp"])
        for command in self._commands:
            rows = command(rows)
        return [
            {name: str(value) if isinstance(value, Timestamp) else value for name, value in found}
            for row in rows[:MAX_ROWS]
            for found in [[(name, row[name]) for name in self.columns if row.get(name) is not None]]
        ]


def discover(event: LogEvent) -> Row:
    """The fields of a log event: its own, those of a JSON object with dots, and those of Lambda's own lines."""
    row: Row = {
        "@timestamp": Timestamp(event.timestamp_ms),
        "@message": event.message,
        "@log": event.log_group,
        "@logStream": event.log_stream,
    }
    if event.message.startswith("{"):
        try:
            row |= _flat(json.loads(event.message))
        except (ValueError, RecursionError):
            return row
    elif platform := _PLATFORM.match(event.message):
        row |= {f"@{name}": value for name, value in platform.groupdict().items()}
        if report := _REPORT.search(event.message):
            row |= {f"@{name}": float(value) for name, value in report.groupdict().items() if value is not None}
            row["@memorySize"] *= 1_000_000
            row["@maxMemoryUsed"] *= 1_000_000
    return row


def _flat(value: Any, name: str = "") -> Row:
    inner: Iterable[tuple[str, Any]]
    match value:
        case dict():
            inner = value.items()
        case list():
            inner = ((str(index), one) for index, one in enumerate(value))
        case _:
            return {} if value is None else {name: value}
    prefix = f"{name}." if name else ""
    return {key: found for part, one in inner for key, found in _flat(one, f"{prefix}{part}").items()}


def _number(value: Any) -> float | None:
    if isinstance(value, int | float):
        return value
    return float(value) if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value) else None


def _order(value: Any) -> tuple[Any, ...]:
    """Its place in a sort: what is missing, texts, numbers. Digits in a text go by their number."""
    number = _number(value)
    if number is not None:
        return 2, number
    if value is None:
        return (0,)
    chunks = re.findall(r"\d+|\D+", str(value))
    return 1, [("0", len(chunk), chunk) if chunk[0].isdecimal() else (chunk, 0, "") for chunk in chunks]


def _equal(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return False
    numbers = _number(left), _number(right)
    return str(left) == str(right) if None in numbers else numbers[0] == numbers[1]


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def ordered(left: Any, right: Any) -> bool:
        return left is not None and right is not None and compare(_order(left), _order(right))

    return ordered


def _calculated(calculate: Callable[[float, float], float]) -> Callable[[Any, Any], float | None]:
    def calculated(left: Any, right: Any) -> float | None:
        numbers = _number(left), _number(right)
        if numbers[0] is None or numbers[1] is None or (calculate is operator.truediv and not numbers[1]):
            return None
        return calculate(numbers[0], numbers[1])

    return calculated


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
}
_CALCULATE = {
    "+": _calculated(operator.add),
    "-": _calculated(operator.sub),
    "*": _calculated(operator.mul),
    "/": _calculated(operator.truediv),
}
# Of the values of a group, in the order of time.
_AGGREGATIONS: dict[str, Callable[[list[Any]], Any]] = {
    "count": len,
    "count_distinct": lambda values: len(set(map(str, values))),
    "earliest": lambda values: values[0] if values else None,
    "latest": lambda values: values[-1] if values else None,
}
_CALCULATIONS: dict[str, Callable[[list[float]], float]] = {
    "sum": sum,
    "avg": lambda numbers: sum(numbers) / len(numbers),
    "min": min,
    "max": max,
}


def _percentile(numbers: list[float], percent: float) -> float:
    return sorted(numbers)[max(math.ceil(len(numbers) * percent / 100) - 1, 0)]


class _Parser:
    """Reads a query from left to right.

    Attributes:
        read: fields of log events that were named.
        columns: what the rows have after the commands so far; none is everything's default.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._made: set[str] = set()
        self._is_aggregated = False
        self.read: set[str] = set()
        self.columns: list[str] = []

    def parse(self) -> list[Command]:
        """The commands in their order."""
        if parameter := _PARAMETER.search(self._text):
            self._at = parameter.start()
            self._refuse("a value for the parameter")
        commands = [self._command()]
        while self._take("|"):
            commands.append(self._command())
        if self._here < len(self._text):
            self._refuse("| or the end")
        return commands

    # What a text is made of

    @property
    def _here(self) -> int:
        """Where the next word begins."""
        return _BLANK.match(self._text, self._at).end()  # type: ignore[union-attr] # it matches nothing as well

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._here)
        if found:
            self._at = found.end()
        return found

    def _take(self, sign: str) -> bool:
        return self._match(re.compile(re.escape(sign))) is not None

    def _word(self, *words: str) -> str | None:
        found = self._match(re.compile(rf"({'|'.join(words)})\b", re.IGNORECASE))
        return found[1].lower() if found else None

    def _demand(self, sign: str) -> None:
        if not self._take(sign):
            self._refuse(sign)

    def _refuse(self, expected: str) -> NoReturn:
        at = self._here
        before = self._text[:at]
        line, column = before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1
        found = self._text[at : at + 20].partition("\n")[0] or "the end"
        raise ValueError(f"line {line}, column {column}: expected {expected}, found {found}")

    def _several(self, one: Callable[[], Any]) -> list[Any]:
        found = [one()]
        while self._take(","):
            found.append(one())
        return found

    def _name(self) -> str:
        start = self._here
        found = self._match(_NAME)
        if not found or found[0].lower() in _RESERVED:
            self._at = start
            self._refuse("a field")
        return found[0].replace("`", "")

    def _field(self) -> Expression:
        start = self._here
        name = self._name()
        if name not in self._made:
            if self._is_aggregated:
                self._at = start
                self._refuse(f"one of {', '.join(sorted(self._made))}")
            self.read.add(name)
        return lambda row: row.get(name)

    def _alias(self, start: int) -> str:
        """The name behind ``as``; what was written since start if there is none."""
        written = self._text[start : self._at].strip()
        return self._name() if self._word("as") else written.replace("`", "")

    # Commands

    def _command(self) -> Command:
        commands: dict[str, Callable[[], Command]] = {
            "fields": self._fields,
            "display": self._display,
            "filter": self._filter,
            "stats": self._stats,
            "sort": self._sort,
            "limit": self._limit,
        }
        word = self._word(*commands)
        if word is None:
            self._refuse(f"one of {', '.join(commands)}")
        return commands[word]()

    def _fields(self) -> Command:
        made: dict[str, Expression] = dict(self._several(self._named))
        self.columns += [name for name in made if name not in self.columns]
        self._made |= made.keys()
        return lambda rows: [row | {name: value(row) for name, value in made.items()} for row in rows]

    def _named(self) -> tuple[str, Expression]:
        start = self._here
        value = self._expression()
        return self._alias(start), value

    def _display(self) -> Command:
        self.columns = []
        return self._fields()

    def _filter(self) -> Command:
        condition = self._expression()
        return lambda rows: [row for row in rows if condition(row)]

    def _stats(self) -> Command:
        made: dict[str, Callable[[list[Row]], Any]] = dict(self._several(self._aggregation))
        by: dict[str, Expression] = dict(self._several(self._named)) if self._word("by") else {}
        self.columns = [*by, *made]
        self._made = set(self.columns)
        self._is_aggregated = True

        def aggregate(rows: list[Row]) -> list[Row]:
            groups: dict[tuple[Any, ...], list[Row]] = {} if by else {(): []}
            for row in sorted(rows, key=lambda row: row.get("@timestamp", 0)):
                groups.setdefault(tuple(value(row) for value in by.values()), []).append(row)
            return [
                dict(zip(by, key, strict=True)) | {name: value(group) for name, value in made.items()}
                for key, group in groups.items()
            ]

        return aggregate

    def _aggregation(self) -> tuple[str, Callable[[list[Row]], Any]]:
        start = self._here
        word = self._word(*_AGGREGATIONS, *_CALCULATIONS, "pct")
        if word is None:
            self._refuse(f"one of {', '.join([*_AGGREGATIONS, *_CALCULATIONS, 'pct'])}")
        self._demand("(")
        is_every = word == "count" and self._match(re.compile(r"\*|(?=\))")) is not None
        value = (lambda row: row) if is_every else self._expression()
        aggregate = _AGGREGATIONS.get(word) or self._calculation(word)
        self._demand(")")
        return self._alias(start), lambda rows: aggregate([found for row in rows if (found := value(row)) is not None])

    def _calculation(self, word: str) -> Callable[[list[Any]], float | None]:
        calculate = _CALCULATIONS.get(word)
        if calculate is None:
            self._demand(",")
            percent = float((self._match(_NUMBER) or self._refuse("a number"))[0])
            calculate = lambda numbers: _percentile(numbers, percent)  # noqa: E731

        def calculated(values: list[Any]) -> float | None:
            numbers = [number for value in values if (number := _number(value)) is not None]
            return calculate(numbers) if numbers else None

        return calculated

    def _sort(self) -> Command:
        keys: list[tuple[Expression, bool]] = self._several(self._key)

        def sort(rows: list[Row]) -> list[Row]:
            for value, is_descending in reversed(keys):
                rows = sorted(rows, key=lambda row, value=value: _order(value(row)), reverse=is_descending)  # type: ignore[misc]
            return rows

        return sort

    def _key(self) -> tuple[Expression, bool]:
        value = self._field()
        direction = self._word("asc", "desc") or self._refuse("asc or desc")
        return value, direction == "desc"

    def _limit(self) -> Command:
        found = self._match(re.compile(r"\d+")) or self._refuse("a number")
        return lambda rows: rows[: int(found[0])]

    # Expressions, from what binds least to what binds most

    def _expression(self) -> Expression:
        choices = [self._all_of()]
        while self._word("or"):
            choices.append(self._all_of())
        return choices[0] if len(choices) == 1 else lambda row: any(choice(row) for choice in choices)

    def _all_of(self) -> Expression:
        conditions = [self._negation()]
        while self._word("and"):
            conditions.append(self._negation())
        return conditions[0] if len(conditions) == 1 else lambda row: all(one(row) for one in conditions)

    def _negation(self) -> Expression:
        if self._word("not"):
            inner = self._negation()
            return lambda row: not inner(row)
        return self._comparison()

    def _comparison(self) -> Expression:
        left = self._sum()
        if sign := self._match(_COMPARISON):
            compare, right = _COMPARE[sign[0]], self._sum()
            return lambda row: compare(left(row), right(row))
        is_negated = self._word("not") is not None
        word = self._word("like", "in")
        if word is None:
            if is_negated:
                self._refuse("like or in")
            return left
        test = self._pattern() if word == "like" else self._membership()
        return lambda row: test(left(row)) is not is_negated

    def _pattern(self) -> Callable[[Any], bool]:
        """What stands behind ``like``: a regular expression or a part of the text."""
        start = self._here
        if found := self._match(_REGEX):
            try:
                pattern = re.compile(found[1])
            except re.error:
                self._at = start
                self._refuse("a regular expression")
        else:
            pattern = re.compile(re.escape(self._string()))
        return lambda value: value is not None and pattern.search(str(value)) is not None

    def _membership(self) -> Callable[[Any], bool]:
        self._demand("[")
        members = self._several(self._literal)
        self._demand("]")
        return lambda value: any(_equal(value, member) for member in members)

    def _literal(self) -> str | float:
        number = self._match(_NUMBER)
        return float(number[0]) if number else self._string()

    def _string(self) -> str:
        found = self._match(_STRING) or self._refuse("a text in quotes")
        return re.sub(r"\\(.)", r"\1", found[0][1:-1])

    def _sum(self) -> Expression:
        return self._chain("[+-]", self._product)

    def _product(self) -> Expression:
        return self._chain("[*/]", self._primary)

    def _chain(self, signs: str, part: Callable[[], Expression]) -> Expression:
        value = part()
        while sign := self._match(re.compile(signs)):
            value = self._calculate(_CALCULATE[sign[0]], value, part())
        return value

    def _calculate(
        self, calculate: Callable[[Any, Any], float | None], left: Expression, right: Expression
    ) -> Expression:
        return lambda row: calculate(left(row), right(row))

    def _primary(self) -> Expression:
        if self._take("("):
            inner = self._expression()
            self._demand(")")
            return inner
        if self._text.startswith(('"', "'"), self._here) or _NUMBER.match(self._text, self._here):
            literal = self._literal()
            return lambda _: literal
        if function := self._match(re.compile(r"(\w+)\s*\(")):
            return self._function(function)
        return self._field()

    def _function(self, found: re.Match[str]) -> Expression:
        functions = {"bin": self._bin, "coalesce": self._coalesce, "ispresent": self._is_present}
        function = functions.get(found[1].lower())
        if function is None:
            self._at = found.start()
            self._refuse(f"one of {', '.join(functions)}")
        value = function()
        self._demand(")")
        return value

    def _bin(self) -> Expression:
        if self._is_aggregated:
            self._refuse("no bin of rows that have no time")
        found = self._match(_PERIOD) or self._refuse("a period such as 5m")
        period = int(found[1]) * _MILLISECONDS[found[2]]
        return lambda row: Timestamp(row["@timestamp"] // period * period)

    def _coalesce(self) -> Expression:
        values: list[Expression] = self._several(self._expression)
        return lambda row: next((found for value in values if (found := value(row)) is not None), None)

    def _is_present(self) -> Expression:
        value = self._expression()
        return lambda row: value(row) is not None
