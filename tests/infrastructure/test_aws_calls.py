"""The calls to AWS in docs/reliability.md: every one that the functions make is there, and every test that is named."""

from __future__ import annotations

import ast
import re

import botocore.session
import pytest
from botocore import xform_name

from tests.conftest import ROOT

SERVICES = ("stepfunctions", "lambda", "dynamodb", "s3", "sqs", "secretsmanager", "cloudformation")


@pytest.fixture(scope="module")
def section() -> str:
    page = (ROOT / "docs" / "reliability.md").read_text()
    found = re.search(r"^## What is relied on of AWS\n(.*?)^## ", page, re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


def operations() -> dict[str, str]:
    """The methods of the functions' clients, with the operation of each."""
    session = botocore.session.get_session()
    names = [name for service in SERVICES for name in session.get_service_model(service).operation_names]
    return {xform_name(name): name for name in names}


def called() -> set[str]:
    known, found = operations(), set()
    for file in (ROOT / "functions").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            name = node.func.attr
            if name == "get_paginator" and isinstance(node.args[0], ast.Constant):
                name = str(node.args[0].value)
            if (name in known and node.keywords) or (name in known and name == "list_executions"):
                found.add(known[name])
    return found


def test_every_call_is_in_the_table(section: str) -> None:
    calls = called()
    assert len(calls) > 12
    missing = {name for name in calls if f"`{name}`" not in section}
    assert not missing


def test_every_test_that_is_named_is_there(section: str) -> None:
    named = set(re.findall(r"`(test_\w+\.py)`", section))
    assert len(named) > 10
    there = {file.name for file in (ROOT / "tests").rglob("test_*.py")}
    assert named <= there
