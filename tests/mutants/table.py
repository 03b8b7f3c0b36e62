"""The table: what is changed, which tests have to notice, what nobody needs to notice, and why."""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from poodle.data_types import FileMutation

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(__file__).with_name("table.toml")
SOURCE = Path("functions")
"""The source folder, from the project's root."""


class TableError(ValueError):
    """The table is wrong; the message says where."""


@dataclass(frozen=True)
class Change:
    """A small change to a module.

    Args:
        module: its path below ``functions/``.
        where: the function or class, empty for the module itself. No line number, which changes with every edit.
        was: the line (or more of them, joined by blanks) as it was.
        becomes: the same, changed.
    """

    module: str
    where: str
    was: str
    becomes: str


@dataclass(frozen=True)
class Table:
    """What table.toml says.

    Args:
        modules: below ``functions/``, each with its tests, from the project's root.
        skipped: how statements begin that are left as they are.
        explained: changes that no test notices, each with the reason.
    """

    modules: Mapping[str, Sequence[str]]
    skipped: Sequence[re.Pattern[str]]
    explained: Mapping[Change, str]

    @classmethod
    def read(cls, file: Path = FILE) -> Table:
        """Reads the table.

        Raises:
            TableError: a file that it names does not exist, or a reason is missing.
        """
        data = tomllib.loads(file.read_text())
        modules = {module: [f"tests/{one}" for one in tests] for module, tests in data["modules"].items()}
        for path in [*(SOURCE / module for module in modules), *(one for tests in modules.values() for one in tests)]:
            if not (ROOT / path).is_file():
                raise TableError(f"there is no {path}")
        explained: dict[Change, str] = {}
        for one in data.get("explained", []):
            change = Change(one["module"], one.get("where", ""), one["was"], one["becomes"])
            if change.module not in modules or change in explained:
                raise TableError(f"is of no module, or explained twice: {change}")
            explained[change] = one["reason"]
        skipped = [re.compile(one["statement"]) for one in data.get("skipped", []) if one["reason"]]
        if not all(explained.values()) or len(skipped) != len(data.get("skipped", [])):
            raise TableError("a reason is missing")
        return cls(modules, skipped, explained)

    def skips(self, source: str, lineno: int) -> bool:
        """Whether the statement around a line of a module's source is left as it is."""
        statement = statement_at(source, lineno)
        return any(one.match(statement) for one in self.skipped)


def statement_at(source: str, lineno: int) -> str:
    """The text of the smallest statement around a line, decorators included, from its first word on."""
    lines = source.splitlines()
    begin, length = lineno, len(lines)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt):
            # The body of a compound statement is statements of its own.
            body = getattr(node, "body", None)
            first, last = _first_line(node), _first_line(body[0]) - 1 if body else node.end_lineno or node.lineno
            if first <= lineno <= max(first, last) and last - first < length:
                begin, length = first, last - first
    return lines[begin - 1].strip()


def _first_line(statement: ast.stmt) -> int:
    decorators = getattr(statement, "decorator_list", None)
    return decorators[0].lineno if decorators else statement.lineno


def change_of(module: str, source: str, mutation: FileMutation) -> Change:
    """The change that a mutation makes to a module's source."""
    lines = source.splitlines()
    before = lines[mutation.lineno - 1 : mutation.end_lineno]
    prefix = before[0].encode()[: mutation.col_offset].decode()
    suffix = before[-1].encode()[mutation.end_col_offset :].decode()
    where = ".".join(_names_around(ast.parse(source), mutation.lineno))
    if mutation.mutator_name == "Decorator":
        # The whole function is its text.
        kept = mutation.text.splitlines()[0]
        return Change(module, where, "its decorators", kept if kept.startswith("@") else "none")
    return Change(module, where, _joined(before), _joined([prefix + mutation.text + suffix]))


def _names_around(node: ast.AST, lineno: int) -> Iterator[str]:
    """The names of the classes and functions around a line, outermost first."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.ClassDef | ast.FunctionDef):
            continue
        if _first_line(child) <= lineno <= (child.end_lineno or child.lineno):
            yield child.name
            yield from _names_around(child, lineno)


def _joined(lines: Sequence[str]) -> str:
    return " ".join(" ".join(lines).split())
