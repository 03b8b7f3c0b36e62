"""The calls to AWS in docs/reliability.md: every one that the functions make is there, and every test that is named."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import botocore.session
import pytest
from botocore import xform_name

from package import called, services, sources
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@pytest.fixture(scope="module")
def section() -> str:
    page = (ROOT / "docs" / "reliability.md").read_text()
    found = re.search(r"^## What is relied on of AWS\n(.*?)^## ", page, re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def trees() -> list[ast.Module]:
    return sources()


def operations(services: Iterable[str]) -> dict[str, str]:
    """The methods of the services' clients, with the operation of each."""
    session = botocore.session.get_session()
    names = [name for service in services for name in session.get_service_model(service).operation_names]
    return {xform_name(name): name for name in names}


def rows(section: str) -> Iterator[tuple[str, str]]:
    """The first and the last cell of each row of the table."""
    for line in section.splitlines():
        if line.startswith("| ") and not line.startswith("| operation "):
            first, *_, last = line.strip("| ").split(" | ")
            yield first, last


def test_every_call_is_in_the_table_and_nothing_else(section: str, trees: list[ast.Module]) -> None:
    known = operations(services(trees))
    told = {name for first, _ in rows(section) for name in re.findall(r"`(\w+)`", first)}
    assert told == called(trees, known)


@pytest.mark.parametrize(
    "source",
    [
        "sqs.send_message()",
        "sqs.send_message(**message)",
        "self._sqs.send_message(QueueUrl=url)",
        "client('sqs').send_message(*arguments)",
        "call(sqs.send_message, message)",
        "getattr(sqs, 'send_message')()",
    ],
)
def test_a_call_is_found_whatever_it_looks_like(source: str) -> None:
    assert called([ast.parse(source)], operations(["sqs"])) == {"SendMessage"}


def test_what_only_has_an_operations_name_is_no_call() -> None:
    assert called([ast.parse("urlsplit(url).query"), ast.parse("'query'")], operations(["dynamodb"])) == set()


def written() -> set[str]:
    """The tests that there are, as ``file::function`` or ``file::class::function``."""
    found = set()
    for file in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.parse(file.read_bytes()).body:
            inner = node.body if isinstance(node, ast.ClassDef) else [node]
            prefix = f"{file.name}::{node.name}" if isinstance(node, ast.ClassDef) else file.name
            found |= {f"{prefix}::{one.name}" for one in inner if isinstance(one, ast.FunctionDef)}
    return found


def test_every_row_names_tests_that_are_there(section: str) -> None:
    there = written()
    for first, last in rows(section):
        named = set(re.findall(r"`([^`]+)`", last))
        assert named, first
        assert named <= there, first
