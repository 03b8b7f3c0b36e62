"""Text of a pull request does nothing in Markdown but be read."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pullrequest.markdown import MAX_TEXT_BYTES, code, cut, table
from pullrequest.text import printable

HOSTILE = [
    "@octocat",
    "[x](https://evil.example)",
    "<img src=x onerror=y>",
    "`",
    "``a`",
    "|",
    "a|b",
    " ",
    "",
    "\\",
    "\u202etxt",
    "a\nb",
]
TEXT = st.text() | st.text(alphabet="`| \\<>[]()@#*_~\n\u202e", max_size=30)


def rendered(markdown: str) -> str:
    return str(MarkdownIt("gfm-like", {"linkify": False}).render(markdown))


@given(TEXT)
def test_a_text_is_one_code_span_and_nothing_else(text: str) -> None:
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parseInline(code(text))[0].children
    assert [token.type for token in tokens or []] == ["code_inline"]
    assert (tokens or [])[0].content.strip() == printable(text, MAX_TEXT_BYTES).strip()


@given(st.lists(TEXT, min_size=1, max_size=5))
def test_a_table_keeps_its_cells(texts: list[str]) -> None:
    html = rendered(table(["file", "lines"], [[code(text), 1] for text in texts]))
    assert html.count("<tr>") == len(texts) + 1
    assert len(re.findall("<t[dh][ >]", html)) == 2 * (len(texts) + 1)
    assert html.count("<code>") == len(texts)
    assert not re.search("<(a|img|script)", html)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_becomes_markup(text: str) -> None:
    assert re.fullmatch(r"<p><code>[^<]*</code></p>\n", rendered(code(text)))


@given(st.lists(st.text(alphabet="ab🙂 "), max_size=40), st.integers(20, 200))
def test_a_text_is_cut_at_a_line(lines: list[str], limit: int) -> None:
    text = "\n".join(lines)
    shorter = cut(text, limit)
    assert len(shorter.encode()) <= limit
    assert shorter == text or shorter.endswith("… cut")
