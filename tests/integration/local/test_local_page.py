"""The page of a pull request shows what GitHub would show, and nothing of a pull request does anything in it."""

from __future__ import annotations

import copy
import json
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from jsonschema import Draft7Validator

from local.github.server import LocalGitHub
from local.github_control import GitHubControl
from ops.dashboard import browser
from tests.integration.local.test_local_checks import App
from tests.integration.local.test_local_github import REPO, TOKEN, Receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCHEMA = json.loads((Path(__file__).parents[2] / "data/github-webhooks.schema.json").read_text())
HOSTILE = {
    "<script>alert(1)</script>.py": b"x = '</pre><img src=x onerror=alert(1)>'\n",
    "[click](evil.example).md": b"@octocat \xe2\x80\xae evil\n",
}


class Page(HTMLParser):
    """What a browser would make of it: tags, links, text, and the rows of the diffs."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.rows: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append("")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.rows:
            self.rows[-1] += data

    @property
    def links(self) -> list[str | None]:
        return [value for name, value in self.attributes if name in ("href", "src", "action")]

    def row(self, text: str) -> int:
        """The number of the row that has this text."""
        (found,) = (number for number, row in enumerate(self.rows) if text in row)
        return found


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with LocalGitHub(tmp_path / "github", token=TOKEN) as server:
        yield App(server)


def page_of(app: App, number: int) -> Page:
    answer = requests.get(f"{app.server.api_url}/octo-org/hello-pullback/pull/{number}", timeout=10)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    return Page(answer.text)


def loadable(page: Page) -> set[str]:
    """The tags that run, load or lead somewhere, forms and the page's own style left out."""
    return {"script", "img", "iframe", "object", "embed", "a", "link", "svg", "base"} & set(page.tags)


def test_annotations_stand_on_their_lines_and_nothing_is_live(app: App) -> None:
    pull = app.server.open_pull_request(HOSTILE, title="<b>Bold</b> \u202e title")
    run = app.create(head_sha=pull.head_sha).json()["id"]
    path = next(iter(HOSTILE))
    notes = [
        {"path": path, "start_line": 1, "end_line": 1, "annotation_level": "failure", "message": "<i>odd</i>"},
        {"path": path, "start_line": 99, "end_line": 99, "annotation_level": "notice", "message": "far away"},
        {"path": "other.py", "start_line": 1, "end_line": 1, "annotation_level": "warning", "message": "elsewhere"},
    ]
    summary = (
        "| file |\n|---|\n| `<u>x</u>` |\n\n<script>no</script> [x](javascript:alert(1)) [y](https://evil.example)\n\n"
        "![z](https://evil.example/z.png) <https://evil.example> [w]\n\n[w]: https://evil.example\n"
    )
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
    assert not loadable(page)
    assert not {"i", "u"} & set(page.tags)
    assert "table" in page.tags, "Markdown is rendered"
    assert "\u202e" not in page.text
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert all(str(link).startswith("/_local/") for link in page.links)
    assert "[y](https://evil.example)" in page.text
    assert page.row("<i>odd</i>") == page.row("+x = '</pre><img") + 1, "below its line"


def test_names_of_branches_are_inert(app: App) -> None:
    # What git allows in a name; a path may have all of it, too.
    ref = "<img/src=x/onerror=alert(1)>\u202e"
    app.server.change_base(7, ref)
    page = page_of(app, 7)
    assert "<img/src=x/onerror=alert(1)>\ufffd" in page.text
    assert not loadable(page)


def test_the_policy_allows_the_pages_own_style_alone(app: App) -> None:
    page = page_of(app, 7)
    policy = next(str(value) for name, value in page.attributes if name == "content")
    style = page.html.partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'self'"


def test_annotations_of_several_lines_and_with_a_title(app: App) -> None:
    pull = app.server.open_pull_request({"a.py": b"a = 1\nb = 2\nc = 3\n"})
    run = app.create(head_sha=pull.head_sha).json()["id"]
    note = {"path": "a.py", "start_line": 1, "end_line": 2, "annotation_level": "warning", "message": "m", "title": "T"}
    output = {"title": "x", "summary": "x", "annotations": [note]}
    app.update(run, conclusion="failure", output=output, details_url="https://details.example/?a=1&b=2")
    page = page_of(app, pull.number)
    row = page.row("lines 1-2")
    assert row == page.row("+b = 2") + 1 == page.row("+c = 3") - 1
    assert "warning" in page.rows[row]
    assert "T" in page.rows[row]
    assert ("href", "https://details.example/?a=1&b=2") in page.attributes


def test_a_status_leads_to_its_details_by_http_alone(app: App) -> None:
    for context, url in (("good", "https://details.example"), ("bad", "javascript:alert(1)")):
        fields = {"state": "success", "context": context, "target_url": url}
        app("POST", f"{REPO}/statuses/{app.server.pull_request.head_sha}", json=fields)
    page = page_of(app, 7)
    assert "bad" in page.text
    assert [link for link in page.links if not str(link).startswith("/_local/")] == ["https://details.example"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda control: None, "Open: add-languages into main of"),
        (lambda control: control.draft(7), "Draft: "),
        (lambda control: control.close(7), "Closed: "),
        (lambda control: control.fork(7), "add-languages of the fork mona/hello-pullback into main"),
        (lambda control: control.fork(7, gone=True), "add-languages of a fork that is gone into main"),
    ],
    ids=["open", "draft", "closed", "fork", "gone"],
)
def test_it_says_what_a_pull_request_is(app: App, change: Callable[[GitHubControl], object], text: str) -> None:
    change(GitHubControl(app.server.api_url))
    assert text in " ".join(page_of(app, 7).text.split())


def test_a_pull_request_without_checks_has_a_page(app: App) -> None:
    assert "No check run." in page_of(app, 7).text
    assert requests.get(f"{app.server.api_url}/octo-org/hello-pullback/pull/99", timeout=10).status_code == 404


def test_a_browser_runs_and_loads_nothing(app: App, tmp_path: Path) -> None:
    if browser.find() is None:
        pytest.skip(f"no browser: none of {', '.join(browser.NAMES)} is installed")
    pull = app.server.open_pull_request(HOSTILE, title="<img src=x onerror=\"document.title='run'\">")
    file = tmp_path / "page.html"
    file.write_bytes(GitHubControl(app.server.api_url).page(pull))
    shown = Page(browser.dom(file))
    assert pull.title in shown.text
    assert not loadable(shown)
    picture = tmp_path / "page.png"
    browser.screenshot(file, picture, width=1100, height=900)
    assert picture.read_bytes().startswith(b"\x89PNG")


def valid(name: str, payload: Any) -> list[str]:
    schema = {**definition(name), "definitions": SCHEMA["definitions"]}
    return [f"{list(error.path)}: {error.message[:200]}" for error in Draft7Validator(schema).iter_errors(payload)]


def definition(name: str) -> dict[str, Any]:
    """GitHub's schema of an event.

    Those of ``created`` and ``completed`` are as that of ``rerequested``, but a run and its suite may be under way.
    """
    event, _, action = name.partition("$")
    if name in SCHEMA["definitions"]:
        found: dict[str, Any] = SCHEMA["definitions"][name]
        return found
    found = copy.deepcopy(SCHEMA["definitions"][f"{event}$rerequested"])
    found["properties"]["action"]["enum"] = [action]
    run = found["properties"]["check_run"]["properties"]
    suite = run["check_suite"]["properties"]
    states = ["queued", "in_progress", "completed"]
    suite["status"]["enum"] = states
    suite["conclusion"] = {"enum": [*suite["conclusion"]["enum"], None]}
    if action == "created":
        run["status"]["enum"] = states
        run["completed_at"]["type"] = ["string", "null"]
    return found


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
        control.tell(run["id"], "completed")
        under_way = app.create(name="other").json()["id"]
        control.tell(under_way, "created")
        with pytest.raises(requests.HTTPError, match="404"):
            control.tell(under_way, "rerequested")
        control.fork(7)
        control.press_rerun(run["id"])
        sent = [(headers["X-GitHub-Event"], json.loads(body)) for headers, body in receiver.requests]
    finally:
        receiver.close()
    assert [(name, payload["action"]) for name, payload in sent] == [
        ("check_run", "rerequested"),
        ("check_run", "requested_action"),
        ("check_suite", "rerequested"),
        ("check_run", "completed"),
        ("check_run", "created"),
        ("check_run", "rerequested"),
    ]
    # The suite is under way again when the fork's is pressed, which GitHub has no word for in this event.
    sent[-1][1]["check_run"]["check_suite"] |= {"status": "completed", "conclusion": "failure"}
    for event, payload in sent:
        assert valid(f"{event}${payload['action']}", payload) == []
    *of_the_repository, of_the_fork = (payload.get("check_run", {}).get("check_suite", {}) for _, payload in sent)
    suite = sent[2][1]["check_suite"]
    for one in (of_the_repository[0], suite):
        assert (one["head_branch"], [pull["number"] for pull in one["pull_requests"]]) == ("add-languages", [7])
        assert one["conclusion"] == "failure"
    assert (of_the_fork["head_branch"], of_the_fork["pull_requests"]) == (None, [])
    assert sent[3][1]["sender"]["login"] == "pullback[bot]"
    assert sent[1][1]["sender"]["login"] == "mallory"
    assert sent[1][1]["requested_action"] == {"identifier": "approve"}
    assert app("POST", f"{REPO}/check-runs/{run['id']}/rerequest").status_code == 201


@pytest.mark.parametrize("number", [7, None], ids=["newest", "older"])
def test_a_run_of_an_older_commit_belongs_to_the_pull_request_still(app: App, number: int | None) -> None:
    run = app.create().json()
    app.update(run["id"], conclusion="success")
    if number is None:
        app.server.push()
    receiver = Receiver()
    try:
        app.server.set_hook(receiver.url, "s3cret", hook="app")
        GitHubControl(app.server.api_url).press_rerun(run["id"])
        (payload,) = (json.loads(body) for _, body in receiver.requests)
    finally:
        receiver.close()
    (pull,) = payload["check_run"]["pull_requests"]
    assert (pull["number"], pull["head"]["sha"]) == (7, app.server.pull_request.head_sha)
    assert payload["check_run"]["head_sha"] == run["head_sha"]


def test_a_person_presses_and_comes_back_to_the_page(app: App) -> None:
    run = app.create().json()["id"]
    press = f"{app.server.api_url}/_local/check_runs/{run}/rerun"
    assert requests.post(press, data={"page": 7}, timeout=10).status_code == 409, "the hook leads nowhere yet"
    receiver = Receiver()
    try:
        app.server.set_hook(receiver.url, "s3cret", hook="app")
        headers = {"Origin": app.server.api_url}
        back = requests.post(press, data={"page": 7}, headers=headers, timeout=10)
        assert (back.history[0].status_code, back.history[0].headers["Location"]) == (
            303,
            "/octo-org/hello-pullback/pull/7",
        )
        assert "check_run.rerequested answered 202" in " ".join(Page(back.text).text.split())
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
            assert requests.post(press, data={}, headers={"Origin": origin}, timeout=10).status_code == 403
        assert len(receiver.requests) == 1
    finally:
        receiver.close()


def test_a_page_that_is_kept_has_no_buttons(app: App) -> None:
    app.create()
    assert "button" in page_of(app, 7).tags
    kept = Page(GitHubControl(app.server.api_url).page(app.server.pull_request).decode())
    assert "pullback/build" in kept.text
    assert not {"button", "form"} & set(kept.tags)
