"""Markdown for what a pull request shows. What comes from it stands in code spans: no link, no mention, no HTML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pullrequest.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_TEXT_BYTES = 120


def code(text: str, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Any text as a code span, cut and on one line: GitHub shows it as it is and does nothing with it.

    spec.commonmark.org/0.31.2/#code-spans: a span ends at as many backticks as it began with.
    """
    clean = printable(text, max_bytes) or " "
    fence = "`" * (max(map(len, re.findall("`+", clean)), default=0) + 1)
    # A space is taken off on both sides where there are two.
    return f"{fence} {clean} {fence}" if clean.strip() else f"{fence}{clean}{fence}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str | int]]) -> str:
    """A table. Cells are Markdown of our own, such as ``code`` makes.

    github.github.com/gfm/#tables-extension-: a bar ends a cell in code as well, unless it is escaped.
    """
    lines = [_row(titles), _row(["---" if number == 0 else "--:" for number in range(len(titles))])]
    return "\n".join([*lines, *map(_row, rows)])


def cut(text: str, max_bytes: int) -> str:
    """The whole lines of a text that fit."""
    if len(text.encode()) <= max_bytes:
        return text
    notice = "\n\n… cut"
    room = max_bytes - len(notice.encode())
    kept = text.encode()[:room].decode("utf-8", "ignore")
    return kept[: kept.rfind("\n") + 1].rstrip() + notice


def _row(cells: Iterable[str | int]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
