from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from drills.chaos.report import PAGE as FAULTS
from drills.record import PAGE, fill, fuzz_table

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_between_the_marks_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- load:begin -->\nold\n<!-- load:end -->\nafter\n")
    fill("load", "| a \\1 |\n", page)
    fill("load", "| a \\1 |\n", page)
    assert page.read_text() == "before\n<!-- load:begin -->\n| a \\1 |\n<!-- load:end -->\nafter\n"


def test_a_page_without_the_marks_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- load:begin -->")
    with pytest.raises(RuntimeError, match="no place for load"):
        fill("load", "x", page)


@pytest.mark.parametrize(("name", "page"), [("chaos", FAULTS), ("load", PAGE), ("fuzz", PAGE)])
def test_the_page_has_a_place_for_each_drill(name: str, page: Path) -> None:
    text = page.read_text()
    assert text.count(f"<!-- {name}:begin -->\n") == text.count(f"<!-- {name}:end -->") == 1


def test_a_run_of_the_fuzzer_is_a_row_a_target() -> None:
    target = {
        "target": "webhook",
        "inputs": 1234,
        "edges": 7,
        "outcomes": {"a": 1, "b": 2},
        "crashes": [],
        "seconds": 90,
    }
    text = fuzz_table({"command": "python -m tests.fuzz", "targets": [target]})
    assert "1,234 inputs in 2 minutes" in text
    assert text.endswith("| webhook | 1,234 | 7 | 2 | 0 |")
