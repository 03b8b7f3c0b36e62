"""The page: every widget in its place, nothing from elsewhere, and no text of others becomes markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from plotly.offline import get_plotlyjs

from local.cloudwatch.alarms import Verdict
from local.cloudwatch.series import MetricId, Sample, Samples
from local.log_events import LogEvent
from ops.dashboard import page
from ops.dashboard.body import BodyError, read
from ops.dashboard.chart import Frame

if TYPE_CHECKING:
    from ops.dashboard.page import Tile

FRAME = Frame(100, 200, 10)
NASTY = "</script><img src=x onerror=alert(1)>"
VOID = {"meta", "br", "hr"}


def evidence(*samples: Sample, logs: dict[str, list[LogEvent]] | None = None, **alarms: str) -> page.Evidence:
    verdicts = {f"arn:aws:cloudwatch:r:1:alarm:{name}": Verdict(state, "why") for name, state in alarms.items()}
    return page.Evidence("test-stack", "us-east-1", Samples(samples), logs or {}, verdicts)


def widget(kind: str, /, **properties: Any) -> dict[str, Any]:
    return {"type": kind, "x": 2, "y": 3, "width": 6, "height": 4, "properties": properties}


def tiles(found: page.Evidence, *widgets: dict[str, Any]) -> list[Tile]:
    return page.tiles(read(json.dumps({"widgets": widgets})), found, FRAME)


def sample(name: str = "m", value: float = 1, at: float = 100, **dimensions: str) -> Sample:
    return Sample(MetricId.of("A", name, dimensions), at, value)


class Page(HTMLParser):
    """A page as a browser takes it apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif self.open and self.open[-1] != "style":
            self.text += data

    def with_class(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for _, attributes in self.tags if name in (attributes.get("class") or "").split()]


def rendered(found: page.Evidence, *widgets: dict[str, Any]) -> Page:
    return Page(page.render(tiles(found, *widgets), found, FRAME))


ALL = (
    widget("text", markdown="# Title\n\n[link](https://example.com)\n\n|a|b|\n|-|-|\n|1|2|"),
    widget("metric", title="Graph", metrics=[["A", "m"]]),
    widget("metric", title="Stacked", metrics=[["A", "m"]], stacked=True),
    widget("metric", title="Number", metrics=[["A", "m"]], view="singleValue"),
    widget("metric", title="Gauge", metrics=[["A", "m"]], view="gauge", yAxis={"left": {"min": 0, "max": 5}}),
    widget("metric", title="Bar", metrics=[["A", "m"]], view="bar"),
    widget("metric", title="Pie", metrics=[["A", "m"]], view="pie"),
    widget("metric", title="Empty", metrics=[["A", "n"]]),
    widget("alarm", title="Alarms", alarms=["arn:aws:cloudwatch:r:1:alarm:one", "arn:aws:cloudwatch:r:1:alarm:two"]),
    widget("log", title="Log", query="SOURCE '/g' | fields message | limit 5"),
)
LOGS = {"/g": [LogEvent(100_000, json.dumps({"message": "hello"}), "1:/g", "s")]}


def test_every_widget_is_there_in_its_place() -> None:
    whole = rendered(evidence(sample(), logs=LOGS, one="ALARM"), *ALL)
    widgets = whole.with_class("widget")
    assert [(one["class"] or "").split()[1] for one in widgets] == [
        "text",
        "figure",
        "figure",
        "values",
        "figure",
        "figure",
        "figure",
        "empty",
        "alarms",
        "rows",
    ]
    assert {one["style"] for one in widgets} == {"grid-area: 4 / 3 / span 4 / span 6"}
    for title in ("Graph", "Stacked", "Number", "Gauge", "Bar", "Pie", "Empty", "Alarms", "Log"):
        assert title in whole.text
    figures = json.loads(whole.scripts[0])
    assert [one["data"][0]["type"] for one in figures] == ["scatter", "scatter", "indicator", "bar", "pie"]
    assert len(whole.with_class("plot")) == len(figures)
    assert "test-stack" in whole.text
    assert "us-east-1" in whole.text
    assert "No data in this run" in whole.text
    assert "hello" in whole.text


def test_the_states_of_alarms() -> None:
    whole = rendered(evidence(one="ALARM"), ALL[8])
    assert len(whole.with_class("alarm")) == 1
    assert len(whole.with_class("not_deployed")) == 1
    assert re.search(r"one\s+alarm", whole.text)
    assert re.search(r"two\s+not deployed", whole.text)


def test_markdown_is_rendered_and_html_in_it_is_not() -> None:
    whole = rendered(
        evidence(), widget("text", markdown=f"## H\n\n[l](https://example.com) ![i](https://x/y.png) {NASTY}")
    )
    assert ("a", {"href": "https://example.com"}) in whole.tags
    assert ("h2", {}) in whole.tags
    assert NASTY in whole.text
    assert not [tag for tag, _ in whole.tags if tag == "img"]
    whole = rendered(evidence(), ALL[0])
    assert [tag for tag, _ in whole.tags if tag == "td"] == ["td", "td"]
    # A link that would run something is none.
    whole = rendered(evidence(), widget("text", markdown="[x](javascript:alert(1))"))
    assert not [tag for tag, _ in whole.tags if tag == "a"]


def test_text_of_others_stays_text() -> None:
    logs = {"/g": [LogEvent(100_000, json.dumps({"message": NASTY}), "1:/g", "s")]}
    found = evidence(sample(d=NASTY), sample(d="other"), logs=logs, **{NASTY: "OK"})
    search = {"expression": "SEARCH('{A,d} MetricName=\"m\"', 'Sum', 60)"}
    whole = rendered(
        found,
        widget("metric", title=NASTY, metrics=[[search]]),
        widget("metric", title=NASTY, metrics=[[search]], view="singleValue"),
        widget("alarm", title=NASTY, alarms=[f"arn:aws:cloudwatch:r:1:alarm:{NASTY}"]),
        widget("log", title=NASTY, query="SOURCE '/g' | fields message"),
    )
    assert not [tag for tag, _ in whole.tags if tag == "img"]
    # Four titles, two labels, an alarm and a row.
    assert whole.text.count(NASTY) >= 7
    assert len(whole.scripts) == 3
    assert NASTY not in whole.scripts[0]
    assert json.loads(whole.scripts[0])[0]["data"][0]["name"] == NASTY


def test_nothing_comes_from_elsewhere_and_only_its_own_scripts_run() -> None:
    whole = rendered(evidence(sample(), logs=LOGS), *ALL)
    for tag, attributes in whole.tags:
        assert "src" not in attributes, tag
        assert tag in {"a", "meta"} or "href" not in attributes, tag
        assert tag != "link"
        assert not [name for name in attributes if name.startswith("on")]
    (policy,) = [
        attributes["content"]
        for tag, attributes in whole.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    assert "default-src 'none'" in policy
    _, plotly, own = whole.scripts
    assert plotly == get_plotlyjs()
    for script in (plotly, own):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy


def test_what_is_empty_is_listed_with_the_reason() -> None:
    drawn = tiles(evidence(sample()), *ALL[:8])
    assert page.empty_titles(drawn) == {"Empty": "nothing of the kind happened"}


def test_a_log_widget_without_rows_and_one_with_many() -> None:
    query = "SOURCE '/g' | fields message | filter message = 'x'"
    (tile,) = tiles(evidence(logs=LOGS), widget("log", title="Log", query=query))
    assert (tile.kind, tile.content) == ("empty", "no log line matches")
    many = {"/g": [LogEvent(number, json.dumps({"message": "x"}), "1:/g", "s") for number in range(page.MAX_ROWS + 1)]}
    (tile,) = tiles(evidence(logs=many), widget("log", title="Log", query=query))
    assert len(tile.content["rows"]) == page.MAX_ROWS
    assert tile.content["all"] == page.MAX_ROWS + 1


def test_a_query_that_is_not_understood_or_asks_what_is_not_there() -> None:
    with pytest.raises(BodyError, match=r"Log: .*expected"):
        tiles(evidence(logs=LOGS), widget("log", title="Log", query="SOURCE '/g' | fieldz message"))
    with pytest.raises(BodyError, match="Log: no log group /h"):
        tiles(evidence(logs=LOGS), widget("log", title="Log", query="SOURCE '/h' | fields message"))
