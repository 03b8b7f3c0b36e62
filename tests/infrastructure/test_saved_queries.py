"""The saved queries, as far as the template alone tells. Their rows are in ``tests/e2e/test_logs.py``."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.saved_queries import ANYTHING, SavedQuery, saved_queries

QUERIES = saved_queries()
DOCUMENTED = (ROOT / "docs" / "logs.md").read_text()


@pytest.fixture(params=QUERIES.values(), ids=list(QUERIES))
def saved(request: pytest.FixtureRequest) -> SavedQuery:
    query: SavedQuery = request.param
    return query


def test_it_is_understood(saved: SavedQuery) -> None:
    assert saved.query.columns
    assert len(saved.text) < 10_000


def test_every_parameter_is_used_and_declared(saved: SavedQuery) -> None:
    assert set(re.findall(r"\{\{(\w+)\}\}", saved.text)) == saved.parameters
    assert saved.parameters <= ANYTHING.keys()


def test_it_reads_log_groups_of_the_template(saved: SavedQuery, resources: dict[str, Any]) -> None:
    assert saved.log_groups
    assert all(resources[group]["Type"] == "AWS::Logs::LogGroup" for group in saved.log_groups)


def test_a_delivery_is_followed_through_every_function(resources: dict[str, Any]) -> None:
    groups = {
        one["Properties"]["LoggingConfig"]["LogGroup"]["Ref"]
        for one in resources.values()
        if one["Type"] == "AWS::Lambda::Function"
    }
    assert QUERIES["one delivery, all hops"].log_groups == groups
    assert any(saved.log_groups < groups for saved in QUERIES.values())


def test_the_documentation_lists_exactly_them() -> None:
    (table,) = re.findall(r"^## Saved queries\n(.*?)(?=^## )", DOCUMENTED, re.MULTILINE | re.DOTALL)
    assert sorted(re.findall(r"^\| \*\*(.+?)\*\* \|", table, re.MULTILINE)) == sorted(QUERIES)
