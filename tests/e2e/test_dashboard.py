"""`make dashboard` on a stack that runs: the page in a browser, which is the only one that runs its script."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from local.cloudwatch.collect import Collector
from local.progress import Progress
from local.stack import aws_client
from local.traffic import Traffic
from ops.dashboard import browser, page
from ops.dashboard.body import TextWidget, read
from ops.dashboard.command import draw, watched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.stack import LocalStack
    from ops.dashboard.body import Widget
    from ops.dashboard.page import Tile

EMPTY = {
    # The embedded AWS throttles nothing, and AWS has this metric only when something was.
    "Table: throttled": "AWS publishes it only when a request is throttled",
}
"""The widgets that a local run cannot fill."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dashboard") / "dashboard.html"


@pytest.fixture(scope="module")
def tiles(faulty: LocalStack, file: Path) -> Iterator[list[Tile]]:
    """What `make dashboard` draws of a stack that runs."""
    info = faulty.info
    collector = Collector(info, faulty.traces)
    with watched(collector, info):
        Traffic(info, Progress(), collector.resources).send()
    yield draw(info, collector.resources.dashboards, collector.poll(), file)
    for url in (info.dead_work_queue_url, info.quarantine_queue_url):
        aws_client("sqs", info.aws_endpoint_url).purge_queue(QueueUrl=url)


@pytest.fixture(scope="module")
def widgets(faulty: LocalStack) -> list[Widget]:
    (name,) = Collector(faulty.info, faulty.traces).resources.dashboards
    return read(
        aws_client("cloudwatch", faulty.info.aws_endpoint_url).get_dashboard(DashboardName=name)["DashboardBody"]
    )


@pytest.fixture(scope="module")
def shown(tiles: list[Tile], file: Path) -> str:
    """The page as a browser has it after its scripts."""
    if browser.find() is None:
        pytest.skip(f"no browser: none of {', '.join(browser.NAMES)} is installed")
    return browser.dom(file)


@pytest.fixture(scope="module")
def sections(shown: str) -> list[str]:
    """The widgets of the page."""
    return [part.partition("</section>")[0] for part in shown.split('<section class="widget ')[1:]]


def test_every_widget_has_data_but_those_that_cannot_have(tiles: list[Tile]) -> None:
    assert page.empty_titles(tiles) == EMPTY


def test_a_browser_shows_every_widget(sections: list[str], widgets: list[Widget]) -> None:
    assert len(sections) == len(widgets)
    for section, widget in zip(sections, widgets, strict=True):
        if isinstance(widget, TextWidget):
            heading = widget.markdown.partition("\n")[0].strip("# ")
            assert heading in section
        else:
            assert f"<h2>{widget.title}</h2>" in section


def test_a_browser_draws_every_value(sections: list[str], tiles: list[Tile]) -> None:
    for section, tile in zip(sections, tiles, strict=True):
        if tile.kind != "figure":
            continue
        data = tile.content.spec["data"]
        match data[0]["type"]:
            case "scatter" if "stackgroup" in data[0]:
                # plotly.js adds a zero where another line of the stack has a value.
                assert section.count('class="point"') >= sum(len(one["y"]) for one in data), tile.title
            case "scatter" | "bar":
                assert section.count('class="point"') == sum(len(one["y"]) for one in data), tile.title
            case "pie":
                assert section.count('class="surface"') == len(data[0]["values"]), tile.title
            case _:
                assert section.count('class="value-arc"') == len(data), tile.title


def test_numbers_alarms_and_rows_are_readable(sections: list[str], tiles: list[Tile]) -> None:
    kinds = {tile.kind for tile in tiles}
    assert {"values", "alarms", "rows"} <= kinds
    for section, tile in zip(sections, tiles, strict=True):
        if tile.kind == "values":
            assert all(re.search(r"\d", text) for text in re.findall(r"<b>(.*?)</b>", section)), tile.title
        if tile.kind == "alarms":
            assert "not deployed" not in section, "the dashboard asks for an alarm that is not there"
            assert {verdict.state for _, verdict in tile.content} <= {"OK", "ALARM", "INSUFFICIENT_DATA"}
        if tile.kind == "rows":
            assert section.count("<tr>") >= 2, tile.title


def test_the_page_loads_nothing(shown: str) -> None:
    loaded: list[str] = []

    class Resources(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            given = dict(attrs)
            loaded.extend(value or "" for name in ("src", "srcset", "data", "poster") if (value := given.get(name)))
            if tag in {"link", "image", "use", "base"}:
                loaded.append(given.get("href") or given.get("xlink:href") or tag)

    Resources().feed(shown)
    assert [one for one in loaded if not one.startswith(("data:", "#"))] == []


def test_no_secret_is_on_the_page(faulty: LocalStack, tiles: list[Tile], file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert faulty.info.webhook_secret not in text
    assert faulty.github_token not in text


def test_the_samples_of_aws_agree_with_each_other(faulty: LocalStack, tiles: list[Tile]) -> None:
    """Whatever was started has come to an end, and was counted once on its way."""
    samples = Collector(faulty.info, faulty.traces).poll()
    sums: Counter[str] = Counter()
    for one in samples:
        sums[one.metric.name] += one.value * one.count  # type: ignore[assignment] # times are no whole numbers
    ended = sum(sums[f"Executions{how}"] for how in ("Succeeded", "Failed", "TimedOut", "Aborted"))
    assert sums["ExecutionsStarted"] == ended > 0
    assert sums["Count"] == sums["DeliveryReceived"] > 0
