"""The sample deliveries: GitHub's shape, made out to any pull request without a trace of another."""

from __future__ import annotations

import dataclasses
import json
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import urllib3
from jsonschema import Draft7Validator

from local.github import PullRequest, deliveries
from local.github.model import GONE

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[4]
EVENTS = sorted((ROOT / "events").glob("*.json"))
PULL_REQUESTS = [file for file in EVENTS if file.stem.startswith("pull_request.")]

SAMPLE = PullRequest(
    full_name="octo-org/hello-pullback",
    number=7,
    title="Greet people in three languages 👋",
    head_sha="77f4cb98bd37124f6d4e469c10164969f905ad36",
    head_ref="add-languages",
    base_sha="2d2008de6188bfcaef861d79abc527aa87317590",
    base_ref="main",
    installation_id=58213407,
    sender="octocat",
)
OTHER = PullRequest(
    full_name="acme/widgets",
    number=4021,
    title='Déjà vu: "quotes" \\ and 🚀',
    head_sha="a" * 40,
    head_ref="feature/7",
    base_sha="b" * 40,
    base_ref="trunk",
    installation_id=99,
    sender="monalisa",
)


@cache
def validator(name: str) -> Draft7Validator:
    schema = json.loads((ROOT / "tests/data/github-webhooks.schema.json").read_text(encoding="utf-8"))
    return Draft7Validator(
        {"$ref": f"#/definitions/{name}", "definitions": schema["definitions"]},
        format_checker=Draft7Validator.FORMAT_CHECKER,
    )


def errors(payload: dict[str, Any]) -> list[str]:
    """What GitHub's schema finds wrong."""
    if "action" not in payload:
        name = "ping$event"
    elif payload["action"] == "build":  # no action of GitHub's; the rest is a synchronize
        return errors(payload | {"action": "synchronize"})
    else:
        name = f"pull_request${payload['action']}"
    return [f"{list(error.absolute_path)}: {error.message[:200]}" for error in validator(name).iter_errors(payload)]


def test_the_samples() -> None:
    actions = ["build", "closed", "labeled", "opened", "reopened", "synchronize"]
    assert [file.name for file in EVENTS] == ["ping.json", *(f"pull_request.{action}.json" for action in actions)]


@pytest.mark.parametrize("file", EVENTS, ids=lambda file: file.stem)
class TestEveryEvent:
    def test_it_is_as_github_describes_it(self, file: Path) -> None:
        assert errors(json.loads(file.read_bytes())) == []

    def test_it_still_is_when_rendered(self, file: Path) -> None:
        assert errors(json.loads(deliveries.render(file.read_bytes(), OTHER))) == []

    def test_the_schema_finds_faults(self, file: Path) -> None:
        payload = json.loads(file.read_bytes())
        assert errors(payload | {"unheard_of": 1})
        assert errors(payload | {"sender": payload["sender"] | {"id": "1"}})

    def test_nothing_of_the_sample_is_left(self, file: Path) -> None:
        text = deliveries.render(file.read_bytes(), OTHER).decode()
        for trace in ("octo-org", "hello-pullback", "octocat", SAMPLE.head_sha, SAMPLE.base_sha, "add-languages"):
            assert trace in file.read_text(encoding="utf-8") or "ping" in file.name
            assert trace not in text
        assert "/pulls/7" not in text
        assert "/issues/7" not in text
        assert "/pull/7" not in text

    def test_a_new_name_that_holds_the_old_one_is_replaced_once(self, file: Path) -> None:
        fork = PullRequest(
            "octo-org-2/hello-pullback-octo-org", 77, "x", "c" * 40, "main", "d" * 40, "main", 1, "octocat-2"
        )
        payload = json.loads(deliveries.render(file.read_bytes(), fork))
        assert payload["repository"]["full_name"] == fork.full_name
        assert payload["repository"]["owner"]["login"] == "octo-org-2"
        assert payload["sender"]["login"] == "octocat-2"
        assert payload["repository"]["url"] == f"https://api.github.com/repos/{fork.full_name}"

    def test_rendered_for_its_own_pull_request_it_stays_the_same(self, file: Path) -> None:
        assert json.loads(deliveries.render(file.read_bytes(), SAMPLE)) == json.loads(file.read_bytes())


CHANGED = dataclasses.replace(OTHER, before_sha="c" * 40, updated_at="2026-11-26T21:00:00Z")


@pytest.mark.parametrize("file", PULL_REQUESTS, ids=lambda file: file.stem)
def test_it_tells_what_was_before_and_when_it_changed(file: Path) -> None:
    payload = json.loads(deliveries.render(file.read_bytes(), CHANGED))
    assert errors(payload) == []
    assert payload["pull_request"]["updated_at"] == CHANGED.updated_at
    # GitHub tells it of pushes alone.
    is_push = payload["action"] in ("synchronize", "build")
    assert (payload.get("before"), payload.get("after")) == (
        (CHANGED.before_sha, "a" * 40) if is_push else (None, None)
    )


def test_another_base_is_an_edit() -> None:
    before = dataclasses.replace(CHANGED, base_ref="main", base_sha="d" * 40)
    file = ROOT / "events" / "pull_request.synchronize.json"
    payload = json.loads(deliveries.edited(deliveries.render(file.read_bytes(), CHANGED), before))
    assert payload["action"] == "edited"
    # docs.github.com, "Webhook events and payloads", pull_request, edited.
    assert payload["changes"] == {"base": {"ref": {"from": "main"}, "sha": {"from": "d" * 40}}}
    assert (payload["pull_request"]["base"]["ref"], payload["pull_request"]["base"]["sha"]) == ("trunk", "b" * 40)
    assert not {"before", "after"} & payload.keys()
    assert errors(payload) == []


@pytest.mark.parametrize("file", PULL_REQUESTS, ids=lambda file: file.stem)
class TestForks:
    def test_the_head_is_in_a_repository_of_its_own(self, file: Path) -> None:
        fork = dataclasses.replace(OTHER, fork="mona/gadgets")
        payload = json.loads(deliveries.render(file.read_bytes(), fork))
        assert errors(payload) == []
        head, base = payload["pull_request"]["head"], payload["pull_request"]["base"]
        assert (head["label"], head["user"]["login"]) == ("mona:feature/7", "mona")
        repository = head["repo"]
        assert (repository["full_name"], repository["fork"], repository["owner"]["login"]) == (
            "mona/gadgets",
            True,
            "mona",
        )
        assert repository["url"] == "https://api.github.com/repos/mona/gadgets"
        assert repository["id"] != base["repo"]["id"]
        assert base["repo"]["full_name"] == payload["repository"]["full_name"] == "acme/widgets"

    def test_it_may_be_gone(self, file: Path) -> None:
        payload = json.loads(deliveries.render(file.read_bytes(), dataclasses.replace(OTHER, fork=GONE)))
        assert errors(payload) == []
        head = payload["pull_request"]["head"]
        assert (head["repo"], head["label"]) == (None, "monalisa:feature/7")


def test_ready_for_review() -> None:
    sample = (ROOT / "events" / "pull_request.synchronize.json").read_bytes()
    draft = json.loads(deliveries.render(sample, dataclasses.replace(OTHER, is_draft=True)))
    assert draft["pull_request"]["draft"] is True
    payload = deliveries.of_action(json.loads(deliveries.render(sample, OTHER)), "ready_for_review")
    assert payload["action"] == "ready_for_review"
    assert errors(payload) == []


def test_only_whole_words_are_names(tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    repository = {
        "full_name": "a/hello",
        "name": "hello",
        "owner": {"login": "a"},
        "description": "hello-world, othello",
    }
    file.write_text(json.dumps({"repository": repository, "sender": {"login": "cat", "html_url": "https://x/cat2"}}))
    payload = json.loads(deliveries.render(file.read_bytes(), OTHER))
    assert payload["repository"] == {
        "full_name": "acme/widgets",
        "name": "widgets",
        "owner": {"login": "acme"},
        "description": "hello-world, othello",
    }
    assert payload["sender"] == {"login": "monalisa", "html_url": "https://x/cat2"}


def test_only_whole_numbers_are_the_pull_requests(tmp_path: Path) -> None:
    payload = json.loads(PULL_REQUESTS[0].read_bytes())
    payload["pull_request"]["body"] = "Like /pulls/71 and /issues/7a, not /issues/7."
    file = tmp_path / "event.json"
    file.write_text(json.dumps(payload))
    body = json.loads(deliveries.render(file.read_bytes(), OTHER))["pull_request"]["body"]
    assert body == "Like /pulls/71 and /issues/7a, not /issues/4021."


@pytest.mark.parametrize("file", PULL_REQUESTS, ids=lambda file: file.stem)
class TestPullRequestEvents:
    def test_it_is_as_large_as_githubs(self, file: Path) -> None:
        assert 22_000 < len(deliveries.render(file.read_bytes(), SAMPLE)) < 27_000

    def test_it_is_compact_utf8(self, file: Path) -> None:
        body = deliveries.render(file.read_bytes(), OTHER)
        assert body.startswith(b'{"action":"')
        assert "🚀".encode() in body
        assert b"\\u" not in body
        assert b"\n" not in body

    def test_it_tells_of_the_pull_request(self, file: Path) -> None:
        payload = json.loads(deliveries.render(file.read_bytes(), OTHER))
        pull = payload["pull_request"]
        assert payload["action"] == file.stem.partition(".")[2]
        assert payload["number"] == pull["number"] == 4021
        assert payload["installation"]["id"] == 99
        assert payload["sender"]["login"] == "monalisa"
        assert payload["organization"]["login"] == "acme"
        assert pull["title"] == OTHER.title
        assert pull["url"] == "https://api.github.com/repos/acme/widgets/pulls/4021"
        assert pull["_links"]["statuses"]["href"].endswith(f"/repos/acme/widgets/statuses/{OTHER.head_sha}")
        for end, ref, sha in (("head", "feature/7", OTHER.head_sha), ("base", "trunk", OTHER.base_sha)):
            assert pull[end]["repo"]["full_name"] == "acme/widgets"
            assert (pull[end]["ref"], pull[end]["sha"], pull[end]["label"]) == (ref, sha, f"acme:{ref}")
        if "after" in payload:
            assert payload["after"] == OTHER.head_sha

    def test_attackers_text_stays_text(self, file: Path) -> None:
        hostile = PullRequest("acme/widgets", 1, r"\1 \g<0> octo-org {x}", "e" * 40, r"\g<0>", "f" * 40, "m", 1, "m")
        pull = json.loads(deliveries.render(file.read_bytes(), hostile))["pull_request"]
        assert (pull["title"], pull["head"]["ref"]) == (hostile.title, hostile.head_ref)


def test_no_real_people() -> None:
    logins = {match["login"] for file in EVENTS for match in objects(json.loads(file.read_bytes())) if "login" in match}
    assert logins == {"octo-org", "octocat", "hubot"}


def objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from objects(item)


@pytest.mark.parametrize("secret", ["It's a Secret to Everybody", b"It's a Secret to Everybody"])
def test_the_signature_of_githubs_documentation(secret: str | bytes) -> None:
    # docs.github.com, "Validating webhook deliveries", testing the validation
    expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert deliveries.sign(secret, b"Hello, World!") == expected


def test_the_headers() -> None:
    headers = deliveries.headers("pull_request", "72d3162e-cc78-11e3-81ab-4c9367dc0958", "sha256=ab")
    assert headers["X-GitHub-Event"] == "pull_request"
    assert headers["X-GitHub-Delivery"] == "72d3162e-cc78-11e3-81ab-4c9367dc0958"
    assert headers["X-Hub-Signature-256"] == "sha256=ab"
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"].startswith("GitHub-Hookshot/")
    assert headers["X-GitHub-Hook-ID"].isdecimal()
    payload = json.loads((ROOT / "events/ping.json").read_bytes())
    assert headers["X-GitHub-Hook-ID"] == str(payload["hook_id"])
    assert headers["X-GitHub-Hook-Installation-Target-ID"] == str(payload["repository"]["id"])
    assert "X-Hub-Signature-256" not in deliveries.headers("ping", "x", None)


class Receiver(BaseHTTPRequestHandler):
    received: ClassVar[list[tuple[dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((dict(self.headers.items()), body))
        if self.path == "/slow":
            threading.Event().wait(1)
        self.send_response({"/moved": 302, "/broken": 503}.get(self.path, 202))
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(b"<html>" if self.path == "/html" else b'{"execution":"x"}')

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def receiver() -> Iterator[str]:
    Receiver.received.clear()
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class TestSend:
    def test_the_receiver_gets_what_was_signed(self, receiver: str) -> None:
        body = deliveries.render(PULL_REQUESTS[0].read_bytes(), OTHER)
        headers = deliveries.headers("pull_request", "x", deliveries.sign("s", body))
        status, answer, elapsed_ms = deliveries.send(f"{receiver}/webhook", body, headers)
        assert (status, answer) == (202, {"execution": "x"})
        assert 0 < elapsed_ms < 10_000
        [(received_headers, received_body)] = Receiver.received
        assert received_body == body
        assert headers.items() <= received_headers.items()

    @pytest.mark.parametrize(("path", "status"), [("/moved", 302), ("/broken", 503)])
    def test_it_is_sent_once(self, receiver: str, path: str, status: int) -> None:
        assert deliveries.send(receiver + path, b"{}", {})[0] == status
        assert len(Receiver.received) == 1

    def test_an_answer_that_is_no_json(self, receiver: str) -> None:
        assert deliveries.send(f"{receiver}/html", b"{}", {})[1] is None

    def test_no_answer_in_time(self, receiver: str) -> None:
        with pytest.raises(urllib3.exceptions.HTTPError):
            deliveries.send(f"{receiver}/slow", b"{}", {}, timeout=0.2)
