"""The page of a pull request shows what GitHub would show, and nothing of a pull request does anything in it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from jsonschema import Draft7Validator

from local.github.server import LocalGitHub
from local.github_control import GitHubControl
from tests.integration.local.test_local_checks import App
from tests.integration.local.test_local_github import REPO, TOKEN, Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = json.loads((Path(__file__).parents[2] / "data/github-webhooks.schema.json").read_text())
HOSTILE = {
    "<script>alert(1)</script>.py": b"x = '</pre><img src=x onerror=alert(1)>'\n",
    "[click](evil.example).md": b"@octocat \xe2\x80\xae evil\n",
}


class Page(HTMLParser):
    """What a browser would make of it: tags, links, and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with LocalGitHub(tmp_path / "github", token=TOKEN) as server:
        yield App(server)


def page_of(app: App, number: int) -> Page:
    answer = requests.get(f"{app.server.api_url}/octo-org/hello-pullback/pull/{number}", timeout=10)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    return Page(answer.text)


def test_annotations_stand_on_their_lines_and_nothing_is_live(app: App) -> None:
    pull = app.server.open_pull_request(HOSTILE, title="<b>Bold</b> \u202e title")
    run = app.create(head_sha=pull.head_sha).json()["id"]
    path = next(iter(HOSTILE))
    notes = [
        {"path": path, "start_line": 1, "end_line": 1, "annotation_level": "failure", "message": "<i>odd</i>"},
        {"path": path, "start_line": 99, "end_line": 99, "annotation_level": "notice", "message": "far away"},
        {"path": "other.py", "start_line": 1, "end_line": 1, "annotation_level": "warning", "message": "elsewhere"},
    ]
    summary = "| file |\n|---|\n| `<u>x</u>` |\n\n<script>no</script> [x](javascript:alert(1))"
    button = {"label": "Approve", "description": "Do it", "identifier": "approve"}
    output = {"title": "1 finding", "summary": summary, "annotations": notes}
    app.update(run, conclusion="failure", output=output, actions=[button])

    page = page_of(app, pull.number)

    for text in (
        "<b>Bold</b> \ufffd title",
        path,
        "<i>odd</i>",
        "far away",
        "elsewhere",
        "<u>x</u>",
        "Approve",
        "Re-run",
    ):
        assert text in page.text, text
    assert not {"script", "img", "i", "u", "iframe"} & set(page.tags)
    assert "table" in page.tags, "Markdown is rendered"
    assert "\u202e" not in page.text
    assert not [value for name, value in page.attributes if name in ("href", "src") or name.startswith("on")]


def test_a_pull_request_without_checks_has_a_page(app: App) -> None:
    assert "No check run." in page_of(app, 7).text
    assert requests.get(f"{app.server.api_url}/octo-org/hello-pullback/pull/99", timeout=10).status_code == 404


def valid(name: str, payload: Any) -> list[str]:
    schema = {**SCHEMA["definitions"][name], "definitions": SCHEMA["definitions"]}
    return [error.message for error in Draft7Validator(schema).iter_errors(payload)]


def test_the_buttons_send_what_github_sends(app: App) -> None:
    control = GitHubControl(app.server.api_url)
    run = app.create().json()
    app.update(run["id"], conclusion="failure", output={"title": "x", "summary": "x"})
    receiver = Receiver()
    try:
        app.server.set_hook(receiver.url, "s3cret", hook="app")
        control.press_rerun(run["id"])
        control.press(run["id"], "approve", login="mallory")
        control.press_rerun_all(run["head_sha"])
        sent = [(headers["X-GitHub-Event"], json.loads(body)) for headers, body in receiver.requests]
    finally:
        receiver.close()
    assert [name for name, _ in sent] == ["check_run", "check_run", "check_suite"]
    for (event, payload), action in zip(sent, ("rerequested", "requested_action", "rerequested"), strict=True):
        assert payload["action"] == action
        assert valid(f"{event}${action}", payload) == []
    assert sent[1][1]["sender"]["login"] == "mallory"
    assert sent[1][1]["requested_action"] == {"identifier": "approve"}
    assert app("POST", f"{REPO}/check-runs/{run['id']}/rerequest").status_code == 201
