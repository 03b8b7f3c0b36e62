"""Every log event of the functions is in docs/logs.md, and every one there is in the functions."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FUNCTIONS = ROOT / "functions"
LEVELS = {
    "debug": "DEBUG",
    "info": "INFO",
    "warning": "WARNING",
    "error": "ERROR",
    "exception": "ERROR",
}
KEYS = {"append_keys", "remove_keys", "get_current_keys", "inject_lambda_context"}
"""What else is done with a logger."""


@dataclass
class LogEvent:
    """A log event, wherever it is written."""

    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), str(file))


def sources() -> list[Path]:
    return sorted(FUNCTIONS.rglob("*.py"))


def calls(file: Path) -> Iterator[ast.Call]:
    """The calls that write a log event."""
    for node in ast.walk(parsed(file)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="log"), attr=name)) if name in LEVELS:
                yield node


def imported(file: Path) -> Iterator[Path]:
    """Modules of ours that a module imports."""
    for node in ast.walk(parsed(file)):
        names = []
        match node:
            case ast.ImportFrom(module=str(module), names=aliases):
                names = [module, *(f"{module}.{alias.name}" for alias in aliases)]
            case ast.Import(names=aliases):
                names = [alias.name for alias in aliases]
        for name in names:
            path = FUNCTIONS / name.replace(".", "/")
            yield from (one for one in (path.with_suffix(".py"), path / "__init__.py") if one.exists())


def reached(file: Path) -> set[Path]:
    """A module and all modules of ours behind it."""
    found, ahead = set(), [file]
    while ahead:
        if (one := ahead.pop()) not in found:
            found.add(one)
            ahead += imported(one)
    return found


def services() -> dict[str, Path]:
    """The handlers' modules, by what their lines have as ``service``."""
    return {
        name: file
        for file in sources()
        for node in parsed(file).body
        if isinstance(node, ast.Assign)
        for name in re.findall(r"^telemetry = Telemetry\('(\w+)'\)$", ast.unparse(node))
    }


def written() -> dict[str, LogEvent]:
    """The log events of the code, by their messages."""
    found: dict[str, LogEvent] = {}
    writers = {service: reached(file) for service, file in services().items()}
    for file in sources():
        for call in calls(file):
            message = ast.literal_eval(call.args[0])
            assert isinstance(call.func, ast.Attribute)
            event = found.setdefault(message, LogEvent())
            event.levels.add(LEVELS[call.func.attr])
            event.fields |= {str(keyword.arg) for keyword in call.keywords} - {"exc_info"}
            event.functions |= {service for service, files in writers.items() if file in files}
    return found


def documented() -> dict[str, LogEvent]:
    """The log events of the page, by their messages."""
    (table,) = re.findall(
        r"^## Log events\n(.*?)(?=^## )", (ROOT / "docs/logs.md").read_text(), re.MULTILINE | re.DOTALL
    )
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines() if row.startswith("| `")]
    assert len({row[0] for row in rows}) == len(rows), "each has one row"
    return {
        message.strip("`"): LogEvent({level}, set(re.findall(r"`(\w+)`", fields)), set(functions.split(", ")))
        for message, level, functions, fields, meaning, _ in rows
        if meaning
    }


@pytest.mark.parametrize("file", sources(), ids=lambda file: str(file.relative_to(FUNCTIONS)))
def test_a_log_event_is_a_literal_with_fields_by_name(file: Path) -> None:
    for call in calls(file):
        where = f"line {call.lineno}"
        assert len(call.args) == 1, where
        assert isinstance(call.args[0], ast.Constant), where
        assert isinstance(call.args[0].value, str), where
        assert all(keyword.arg for keyword in call.keywords), where


@pytest.mark.parametrize("file", sources(), ids=lambda file: str(file.relative_to(FUNCTIONS)))
def test_nothing_is_logged_in_another_way(file: Path) -> None:
    loggers = [
        node for node in ast.walk(parsed(file)) if isinstance(node, ast.Attribute) and node.attr == "log"
    ]  # every `telemetry.log`
    uses = [
        node.attr
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "log"
    ]
    assert set(uses) <= LEVELS.keys() | KEYS
    made = 1 if file == FUNCTIONS / "shared" / "telemetry.py" else 0
    assert len(loggers) == len(uses) + made, "a logger by another name would not be found here"
    imports = {alias.name for node in ast.walk(parsed(file)) if isinstance(node, ast.Import) for alias in node.names}
    assert not imports & {"logging", "syslog"}


def test_every_function_is_looked_at(resources: dict[str, Any]) -> None:
    handlers = {
        FUNCTIONS / f"{one['Properties']['Handler'].removesuffix('.lambda_handler').replace('.', '/')}.py"
        for one in resources.values()
        if one["Type"] == "AWS::Lambda::Function"
    }
    assert set(services().values()) == handlers
    assert {service for event in written().values() for service in event.functions} == services().keys()


def test_the_page_and_the_code_tell_the_same() -> None:
    assert documented() == written()
