"""The local GitHub's check runs, contents and permissions are as GitHub describes them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from openapi_schema_validator import OAS30Validator

from local.github.server import LocalGitHub
from pullrequest.checks import completion, output
from pullrequest.display import Button, Display
from pullrequest.finding import Finding
from tests.integration.local.test_local_github import (
    BASE_SHA,
    HEAD_SHA,
    INSTALLATION,
    OPENAPI,
    REPO,
    TOKEN,
    UNKNOWN_SHA,
    assert_as_described,
    call,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

RUNS = "/repos/{owner}/{repo}/check-runs"
RUN = f"{RUNS}/{{check_run_id}}"
NEW = {"name": "pullback/build", "head_sha": HEAD_SHA, "status": "in_progress", "external_id": "{}"}
OUTPUT = {"title": "1 finding", "summary": "One **finding**."}


def annotation(**fields: Any) -> dict[str, Any]:
    return {"path": "a.py", "start_line": 1, "end_line": 1, "annotation_level": "warning", "message": "odd", **fields}


def app_token() -> str:
    now = int(time.time())
    # The local GitHub does not check the signature.
    return jwt.encode({"iat": now, "exp": now + 300, "iss": "1"}, "x" * 32, algorithm="HS256")


class App:
    """The App's installation."""

    def __init__(self, server: LocalGitHub) -> None:
        self.server = server
        answer = self("POST", f"/app/installations/{INSTALLATION}/access_tokens", token=app_token())
        self.token = answer.json()["token"]

    def __call__(self, method: str, path: str, *, token: str = "", **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return call(self.server, method, path, headers=headers, **options)

    def create(self, **fields: Any) -> requests.Response:
        return self("POST", f"{REPO}/check-runs", json=NEW | fields)

    def update(self, number: int, **fields: Any) -> requests.Response:
        return self("PATCH", f"{REPO}/check-runs/{number}", json=fields)


@pytest.fixture
def app(tmp_path: Any) -> Iterator[App]:
    with LocalGitHub(tmp_path / "github", token=TOKEN) as server:
        yield App(server)


def as_github_asks(template: str, method: str, body: dict[str, Any]) -> bool:
    schema = OPENAPI["paths"][template][method]["requestBody"]["content"]["application/json"]["schema"]
    return bool(OAS30Validator({**schema, "components": OPENAPI["components"]}).is_valid(body))


def test_a_run_goes_from_progress_to_its_end(app: App) -> None:
    created = app.create()
    assert created.status_code == 201
    assert_as_described(created, RUNS)
    run = created.json()
    assert (run["status"], run["conclusion"], run["head_sha"]) == ("in_progress", None, HEAD_SHA)

    for batch in (50, 1):
        updated = app.update(run["id"], output=OUTPUT | {"annotations": [annotation()] * batch})
        assert_as_described(updated, RUN)
    done = app.update(run["id"], conclusion="failure", output=OUTPUT)
    assert (done.json()["status"], done.json()["conclusion"]) == ("completed", "failure")
    assert done.json()["output"]["annotations_count"] == 51, "they add up"

    seen = app("GET", f"{REPO}/check-runs/{run['id']}")
    assert_as_described(seen, RUN)
    assert seen.json() == done.json()
    page = app("GET", f"{REPO}/check-runs/{run['id']}/annotations?per_page=50&page=2")
    assert_as_described(page, f"{RUN}/annotations")
    assert len(page.json()) == 1


def test_runs_of_a_commit_are_listed_newest_first(app: App) -> None:
    first, second = (app.create().json()["id"] for _ in range(2))
    other = app.create(name="other").json()["id"]
    listed = app("GET", f"{REPO}/commits/{HEAD_SHA}/check-runs")
    assert_as_described(listed, "/repos/{owner}/{repo}/commits/{ref}/check-runs")
    assert [run["id"] for run in listed.json()["check_runs"]] == [other, second]
    path = f"{REPO}/commits/{HEAD_SHA}/check-runs?filter=all&check_name=pullback/build"
    assert [run["id"] for run in app("GET", path).json()["check_runs"]] == [second, first]
    assert app("GET", f"{REPO}/commits/{BASE_SHA}/check-runs").json() == {"total_count": 0, "check_runs": []}
    suite = listed.json()["check_runs"][0]["check_suite"]["id"]
    of_suite = app("GET", f"{REPO}/check-suites/{suite}/check-runs")
    assert_as_described(of_suite, "/repos/{owner}/{repo}/check-suites/{check_suite_id}/check-runs")
    assert of_suite.json()["total_count"] == 2


def test_only_an_app_writes_checks(app: App) -> None:
    assert app("POST", f"{REPO}/check-runs", token=TOKEN, json=NEW).status_code == 403
    assert app("PATCH", f"{REPO}/check-runs/1", token=TOKEN, json={}).status_code == 403


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"status": "completed"},
        {"status": "done"},
        {"conclusion": "error"},
        {"output": {"title": "x"}},
        {"output": {"summary": "x"}},
        {"output": OUTPUT | {"summary": "x" * 65_536}},
        {"output": OUTPUT | {"text": "x" * 65_536}},
        {"output": OUTPUT | {"annotations": [annotation()] * 51}},
        {"output": OUTPUT | {"annotations": [annotation(annotation_level="error")]}},
        {"output": OUTPUT | {"annotations": [{"path": "a.py"}]}},
        {"output": OUTPUT | {"annotations": [annotation(start_line=2)]}},
        {"output": OUTPUT | {"annotations": [annotation(start_line=0, end_line=0)]}},
        {"actions": [{"label": "x", "description": "x", "identifier": "x"}] * 4},
        {"actions": [{"label": "x" * 21, "description": "x", "identifier": "x"}]},
        {"details_url": "javascript:alert(1)"},
    ],
    ids=lambda wrong: str(wrong)[:60],
)
def test_what_github_refuses_is_refused(app: App, wrong: dict[str, Any]) -> None:
    refused = app.create(**wrong)
    assert refused.status_code == 422
    assert app("GET", f"{REPO}/commits/{HEAD_SHA}/check-runs").json()["total_count"] == 0


def test_a_commit_or_run_that_is_not_there(app: App) -> None:
    unknown = app.create(head_sha=UNKNOWN_SHA)
    assert (unknown.status_code, unknown.json()["message"]) == (422, f"No commit found for SHA: {UNKNOWN_SHA}")
    for method, rest in (("GET", "1"), ("PATCH", "1"), ("GET", "1/annotations"), ("POST", "1/rerequest")):
        assert app(method, f"{REPO}/check-runs/{rest}", json={}).status_code == 404


def test_a_file_at_a_commit(app: App) -> None:
    found = app("GET", f"{REPO}/contents/README.md?ref={BASE_SHA}")
    assert_as_described(found, "/repos/{owner}/{repo}/contents/{path}")
    assert found.json()["encoding"] == "base64"
    missing = app("GET", f"{REPO}/contents/no/such/file?ref={BASE_SHA}")
    assert (missing.status_code, missing.json()["message"]) == (404, "Not Found")
    unknown = app("GET", f"{REPO}/contents/README.md?ref={UNKNOWN_SHA}")
    assert (unknown.status_code, unknown.json()["message"]) == (404, f"No commit found for the ref {UNKNOWN_SHA}")


def test_what_somebody_may_do(app: App) -> None:
    path = "/repos/{owner}/{repo}/collaborators/{username}/permission"
    found = app("GET", f"{REPO}/collaborators/octocat/permission")
    assert_as_described(found, path)
    assert found.json()["permission"] == "admin"
    assert app("GET", f"{REPO}/collaborators/nobody/permission").status_code == 404


def test_our_client_asks_as_github_describes() -> None:
    findings = tuple(Finding(severity="notice", path="a", message="m") for _ in range(50))
    button = Button("Approve", "Do the work for this commit", "approve")
    display = Display("action_required", "x", "https://details.example", findings=findings, buttons=(button,))
    assert as_github_asks(RUN, "patch", completion(display, findings))
    assert as_github_asks(RUNS, "post", NEW | {"output": output(display, ())})
    assert not as_github_asks(RUN, "patch", completion(display, findings * 2)), "the schema knows the limit"
