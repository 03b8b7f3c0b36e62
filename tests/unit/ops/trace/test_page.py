"""The page: what is in it, that nothing of it comes from elsewhere, and that no text of others becomes markup."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local import traces
from local.story import story
from ops.trace.page import render
from tests.unit.ops.trace.test_story import DEPLOYED, KILLED, REPLAYED, deployed, document, local

VOID = {"meta", "input", "line", "rect"}


class Page(HTMLParser):
    """A page as a browser takes it apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[tuple[str, list[str]]] = []
        """Of each row of the waterfall: its class, and its texts."""
        self.headings: list[str] = []
        self.raw: dict[str, str] = {"style": "", "script": ""}
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        names = (dict(attrs).get("class") or "").split()
        if tag == "tr" and "row" in names:
            self.rows.append((" ".join(names[1:]), []))
        if tag == "tr" and "trace" in names:
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.raw:
            self.raw[self.open[-1]] += data
        elif "tbody" in self.open:
            if "td" in self.open and data.strip():
                self.rows[-1][1].append(data.strip())
            elif "th" in self.open:
                self.headings[-1] += data


@pytest.mark.parametrize("delivery", [KILLED, REPLAYED, DEPLOYED])
def test_every_row_is_there_with_its_details(delivery: str) -> None:
    told = deployed() if delivery == DEPLOYED else local(delivery)
    page = Page(render(delivery, told, "somewhere"))
    rows = [row for trace in told for row in trace.rows]
    assert len(page.rows) == len(rows)
    for (kind, texts), row in zip(page.rows, rows, strict=True):
        assert kind.split()[0] == row.kind
        assert texts[: 1 + len(row.marks)] == [row.label, *row.marks]
        assert {row.segment.id, row.segment.trace_id, row.took} <= set(texts)
        for name, value in row.segment.annotations.items():
            assert texts[texts.index(f"@{name}") + 1] == str(value)
        assert set(row.segment.cause) <= set(texts)
    assert [heading.split("  ")[0] for heading in page.headings]
    for heading, trace in zip(page.headings, told, strict=True):
        assert trace.title in heading
        assert trace.id in heading


def test_the_details_belong_to_their_rows() -> None:
    page = Page(render(KILLED, local(KILLED), "somewhere"))
    described = [
        attributes["aria-describedby"] for tag, attributes in page.tags if tag == "tr" and "tabindex" in attributes
    ]
    tips = [attributes["id"] for _, attributes in page.tags if attributes.get("role") == "tooltip"]
    assert described == tips
    assert len(set(tips)) == len(page.rows)


def test_all_bars_are_within_one_scale() -> None:
    page = Page(render(DEPLOYED, deployed(), "somewhere"))
    bars = [attributes for tag, attributes in page.tags if tag == "rect" and attributes.get("class") == "bar"]
    assert len(bars) == len(page.rows)
    spans = [
        (float(bar["x"].rstrip("%")), float(bar["width"].rstrip("%"))) for bar in bars if bar["x"] and bar["width"]
    ]
    assert all(0 <= left <= left + width <= 100.001 for left, width in spans)
    assert min(left for left, _ in spans) == 0
    assert max(left + width for left, width in spans) == pytest.approx(100, abs=0.01)


def test_nothing_comes_from_elsewhere() -> None:
    text = render(KILLED, local(KILLED), "somewhere")
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {"link", "img", "iframe", "object", "embed", "base", "form", "a", "use"}
    for _, attributes in page.tags:
        assert not {"src", "href", "srcset", "style", "action"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert "url(" not in text


def test_its_policy_lets_only_its_own_style_and_script_in() -> None:
    page = Page(render(KILLED, local(KILLED), "somewhere"))
    (policy,) = [
        attributes["content"]
        for tag, attributes in page.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    directives = dict(part.split(" ", 1) for part in (policy or "").split("; "))

    def own(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert directives == {
        "default-src": "'none'",
        "style-src": own(page.raw["style"]),
        "script-src": own(page.raw["script"]),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert page.raw["style"].strip()
    assert page.raw["script"].strip()


hostile = st.one_of(
    st.text(),
    st.sampled_from(
        [
            "</td></tr></table><script>alert(1)</script>",
            '"><img src=x onerror=alert(1)>',
            "' onmouseover='alert(1)",
            "</style><script>",
            "<!--",
            "{{ 7 * 7 }}",
            "&lt;b&gt;",
            "\x1b]0;owned\x07\u202e\ud800",
        ]
    ),
)
EMPTY = render("d", story(traces.parse([document("a", 0, 1)])), "somewhere")


@given(hostile, hostile)
def test_text_of_others_stays_text(name: str, value: str) -> None:
    segment = document(
        "a",
        0,
        1,
        name=name or "?",
        annotations={"Service": name, "repository": value, "conclusion": value, name: value},
        cause={"exceptions": [{"type": name, "message": value}]},
    )
    text = render(value, story(traces.parse([segment])), value)
    page = Page(text)
    # The same elements with the same attributes as without it, but for those that say what the text is.
    expected = Page(EMPTY)
    kept = {"dt", "dd", "span", "div"}
    assert [tag for tag, _ in page.tags if tag not in kept] == [tag for tag, _ in expected.tags if tag not in kept]
    assert {name for _, attributes in page.tags for name in attributes} <= {
        name for _, attributes in Page(render(KILLED, local(KILLED), "")).tags for name in attributes
    }
    assert page.raw == expected.raw
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e\ud800-\udfff]", text)
    shown = "".join(character if character.isprintable() else "�" for character in value)
    assert not shown.strip() or shown.strip() in page.rows[0][1]


def test_a_name_that_is_markup_is_shown_as_it_is() -> None:
    name = '<img src=x onerror="alert(1)">'
    page = Page(render("d", story(traces.parse([document("a", 0, 1, name=name)])), "somewhere"))
    assert page.rows[0][1][0] == name
