"""The drill's result as a table of Markdown, and its place in the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drills.record import filled, marked
from local.stack import PROJECT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from drills.chaos.model import Result

NAME = "chaos"
PAGE = PROJECT / "docs" / "faults.md"


def table(results: Sequence[Result]) -> str:
    """The Markdown table of the results, a row a fault."""
    lines = ["| fault | outcome | effects | held | seconds |", "|---|---|--:|---|--:|"]
    lines += [
        f"| {_cell(one.name)} | {_cell(one.outcome)} | {one.effects} | {'yes' if one.held else '**no**'} "
        f"| {one.seconds:.1f} |"
        for one in results
    ]
    return "\n".join(lines)


def render(results: Sequence[Result], seconds: float, page: Path = PAGE) -> bool:
    """Puts the table between the two marks of a page, at its end if it has none.

    Args:
        results: of the whole table.
        seconds: what the drill took.
        page: the page.

    Returns:
        Whether there is such a page.
    """
    if not page.exists():
        return False
    text = page.read_text()
    held = sum(one.held for one in results)
    part = f"{held} of {len(results)} faults held, in {seconds / 60:.1f} minutes.\n\n{table(results)}"
    page.write_text(filled(text, NAME, part) or f"{text.rstrip()}\n\n{marked(NAME, part)}\n")
    return True


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
