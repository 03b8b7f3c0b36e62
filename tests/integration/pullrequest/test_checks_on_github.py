"""An App's calls, on the local GitHub: what they ask, and what comes of each answer that is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from local.github.faults import Fault
from local.github.server import LocalGitHub
from local.github_control import GitHubControl
from pullrequest.answers import LAG_SECONDS
from pullrequest.display import Display
from pullrequest.errors import GitHubLagging, GitHubRateLimited, GitHubRefused, GitHubUnavailable
from pullrequest.finding import Finding
from pullrequest.github import NoPlainFile, PullRequestClient, connect
from pullrequest.github_access import Patience
from pullrequest.showing import show
from shared.external_id import ExternalId
from tests.integration.pullrequest.test_github_client import TOKEN, Server, job_of
from tests.support import CountingTelemetry, Held
from tests.unit.processor.fakes import FakeClaim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PENDING = Display("pending", "reading the changes")
FINDING = Finding(severity="warning", path="a.py", message="odd", line=3)
RESULT = Display("failure", "1 finding", text="| a |\n|---|\n| b |", findings=(FINDING,))


@pytest.fixture(scope="module")
def credential() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return json.dumps({"app_id": 1, "private_key": key.decode()})


@pytest.fixture
def server(tmp_path: Any) -> Iterator[Server]:
    with LocalGitHub(tmp_path / "github", token=TOKEN) as running:
        yield Server(running)


@pytest.fixture
def connected(server: Server, credential: str) -> Callable[..., PullRequestClient]:
    def signed_in(age: float = LAG_SECONDS, secret: str = credential, **fields: Any) -> PullRequestClient:
        telemetry = CountingTelemetry()
        return connect(
            job_of(server.pull_request, "build", **fields),
            Held(secret),
            server.api_url,
            telemetry,
            age=lambda: age,
            patience=Patience(telemetry, lambda: age, sleep=lambda _: None),
            timeout=1,
        )

    return signed_in


def runs(server: Server) -> list[Any]:
    return list(reversed(server._state.checks.of()))


def test_a_check_run_is_what_was_shown(server: Server, connected: Callable[..., PullRequestClient]) -> None:
    github, claim = connected(), FakeClaim()
    show(github, claim, PENDING)
    show(github, claim, RESULT)
    (run,) = runs(server)
    assert (run.name, run.sha, run.status, run.conclusion) == (
        "pullback/build",
        server.pull_request.head_sha,
        "completed",
        "failure",
    )
    assert run.summary == "1 finding\n\n| a |\n|---|\n| b |"
    assert [(one["path"], one["start_line"], one["annotation_level"]) for one in run.annotations] == [
        ("a.py", 3, "warning")
    ]
    assert ExternalId.read_json(run.external_id).pull_request == server.pull_request.number


def test_a_token_sets_statuses(server: Server, connected: Callable[..., PullRequestClient]) -> None:
    show(connected(secret=TOKEN), FakeClaim(), PENDING)
    assert (runs(server), [one.state for one in server.statuses()]) == ([], ["pending"])


def test_what_was_created_is_found_by_a_successor(server: Server, connected: Callable[..., PullRequestClient]) -> None:
    show(connected(), FakeClaim(), PENDING)
    successor = FakeClaim(is_taken_over=True, pending_shown=True)
    show(connected(), successor, RESULT)
    assert [run.conclusion for run in runs(server)] == ["failure"]
    # That of a re-run is another one.
    show(connected(rerun="another"), FakeClaim(is_taken_over=True, pending_shown=True), RESULT)
    assert len(runs(server)) == 2


CREATE, UPDATE = {"method": "POST", "path": "/check-runs$"}, {"method": "PATCH", "path": r"/check-runs/\d+$"}
FINAL: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"status": 400}, GitHubRefused),
    ({"status": 404}, GitHubRefused),
    ({"status": 409}, GitHubUnavailable),
    ({"status": 410}, GitHubRefused),
    ({"status": 422}, GitHubRefused),
    ({"status": 500}, GitHubUnavailable),
    ({"status": 502}, GitHubUnavailable),
    ({"status": 307, "headers": {"location": "https://example.com/"}}, GitHubRefused),
    ({"status": 200, "body": "<p>Unicorn!</p>"}, GitHubUnavailable),
    ({"cut": True}, GitHubUnavailable),
    ({"short": True}, GitHubUnavailable),
    ({"delay": 1.5}, GitHubUnavailable),
]


@pytest.mark.parametrize("call", [CREATE, UPDATE], ids=["create", "update"])
@pytest.mark.parametrize(("fault", "error"), FINAL, ids=lambda value: str(value)[:40])
def test_each_answer_that_is_none_is_one_of_our_errors(
    server: Server,
    connected: Callable[..., PullRequestClient],
    call: dict[str, Any],
    fault: dict[str, Any],
    error: type[Exception],
) -> None:
    github, claim = connected(), FakeClaim()
    if call is UPDATE:
        show(github, claim, PENDING)
    server.fail(Fault(**call, **fault))
    if call is UPDATE and fault.get("status") == 404:
        # What GitHub does not have any more is made anew, and completed at once.
        show(github, claim, RESULT)
        assert runs(server)[-1].conclusion == "failure"
        return
    with pytest.raises(error) as caught:
        show(github, claim, PENDING if call is CREATE else RESULT)
    assert TOKEN not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("call", [CREATE, UPDATE], ids=["create", "update"])
def test_a_limit_is_waited_for_by_the_state_machine(
    server: Server, connected: Callable[..., PullRequestClient], call: dict[str, Any]
) -> None:
    github, claim = connected(), FakeClaim()
    if call is UPDATE:
        show(github, claim, PENDING)
    server.fail(Fault.secondary_rate_limit(**call))
    with pytest.raises(GitHubRateLimited):
        show(github, claim, PENDING if call is CREATE else RESULT)


@pytest.mark.parametrize("call", [CREATE, UPDATE], ids=["create", "update"])
def test_403_falls_back_to_a_status(
    server: Server, connected: Callable[..., PullRequestClient], call: dict[str, Any]
) -> None:
    github, claim = connected(), FakeClaim()
    server.fail(Fault(**call, status=403))
    show(github, claim, PENDING)
    show(github, claim, RESULT)
    assert [one.state for one in server.statuses()][-1] == "failure"


@pytest.mark.parametrize(("times", "annotations"), [(1, 0), (2, 0)])
def test_422_costs_annotations_and_text_and_no_result(
    server: Server, connected: Callable[..., PullRequestClient], times: int, annotations: int
) -> None:
    github, claim = connected(), FakeClaim()
    show(github, claim, PENDING)
    server.fail(Fault(**UPDATE, status=422, times=times))
    show(github, claim, RESULT)
    (run,) = runs(server)
    assert (run.conclusion, len(run.annotations)) == ("failure", annotations)
    assert ("| file | line |" in run.summary) is (times == 1)


def test_a_young_event_that_is_not_known_is_a_lag(server: Server, connected: Callable[..., PullRequestClient]) -> None:
    server.fail(Fault.lagging(path="/check-runs"))
    with pytest.raises(GitHubLagging):
        show(connected(age=1), FakeClaim(), PENDING)


def test_a_file_at_the_base(server: Server, connected: Callable[..., PullRequestClient]) -> None:
    github = connected()
    assert (github.base_file("README.md") or b"").startswith(b"#")
    assert github.base_file("not/there") is None
    assert github.base_file("src/hello/languages.py") is None, "it is the head's"
    for path in ("../x", "a//b", "/a", "."):
        with pytest.raises(NoPlainFile):
            github.base_file(path)
    server.fail(Fault.lagging(path="/contents/"))
    with pytest.raises(GitHubLagging):
        connected(age=1).base_file("README.md")


@pytest.mark.parametrize(("fault", "error"), FINAL, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("call", ["base_file", "permission_of", "is_fork", "runs_of_suite", "rerequest"])
def test_other_calls_end_as_decided(
    server: Server,
    connected: Callable[..., PullRequestClient],
    call: str,
    fault: dict[str, Any],
    error: type[Exception],
) -> None:
    show(connected(), FakeClaim(), RESULT)
    (run,) = runs(server)
    github = connected(check_suite={"id": 51_000_000_000 + int(run.sha[:8], 16)})
    calls: dict[str, Callable[[], Any]] = {
        "base_file": lambda: github.base_file("README.md"),
        "permission_of": lambda: github.permission_of("octocat"),
        "is_fork": github.is_fork,
        "runs_of_suite": github.runs_of_suite,
        "rerequest": lambda: github.rerequest(run.id),
    }
    paths = {
        "base_file": "/contents/",
        "permission_of": "/permission$",
        "is_fork": r"/pulls/\d+$",
        "runs_of_suite": "/check-suites/",
        "rerequest": "/rerequest$",
    }
    before = calls[call]()
    server.fail(Fault(path=paths[call], **fault))
    status = fault.get("status")
    if status == 404 and call in ("base_file", "permission_of"):
        assert calls[call]() is None
        return
    if status == 409:
        error = GitHubRefused
    if call == "rerequest" and (fault.get("cut") or fault.get("short") or status == 200):
        # Its answer has nothing in it that would say so.
        return
    with pytest.raises(error):
        calls[call]()
    server.clear_faults()
    assert calls[call]() == before


def test_who_may_do_what(connected: Callable[..., PullRequestClient]) -> None:
    github = connected()
    assert (github.permission_of("octocat"), github.permission_of("../nobody")) == ("admin", None)


@pytest.mark.parametrize(("gone", "expected"), [(None, False), (False, True), (True, True)])
def test_what_comes_from_a_fork(
    server: Server, connected: Callable[..., PullRequestClient], gone: bool | None, expected: bool
) -> None:
    if gone is not None:
        GitHubControl(server.api_url).fork(server.pull_request.number, gone=gone)
    assert connected().is_fork() is expected
