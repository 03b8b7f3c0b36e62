"""The GitHub client against what GitHub does on an ordinary day: it lags, moves repositories, answers oddly."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, Response, request
from werkzeug.serving import make_server

from processor.actions.build.archive import read_archive
from pullrequest.answers import FILES, LAG_SECONDS, PAUSES_SECONDS, PULL, SET_STATUS
from pullrequest.errors import GitHubLagging, GitHubRefused, GitHubUnavailable
from pullrequest.github import PullRequestClient, connect
from pullrequest.github_access import Patience
from shared.job import Job
from shared.metrics import Metric
from tests.support import CountingTelemetry, Held
from tests.unit.processor.fakes import an_archive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEAD, BEFORE, NEWER = "a" * 40, "d" * 40, "c" * 40
PULL_PATH = "/repos/octo-org/hello/pulls/7"


class Script:
    """A GitHub whose answers are written down beforehand: by method and path, the last one for ever."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], list[Any]] = {}
        self.asked: list[tuple[str, str, Any, str | None]] = []
        self.url = ""

    def will(self, method: str, path: str, *answers: Any) -> None:
        """Each answer: a body for 200 (201 for a write), or (status, body, headers)."""
        self.answers[method, path] = list(answers)

    def answer(self, path: str) -> Response:
        body = request.get_json(silent=True)
        self.asked.append((request.method, request.full_path.rstrip("?"), body, request.headers.get("Authorization")))
        answers = self.answers.get((request.method, f"/{path}"))
        if not answers:
            return Response(json.dumps({"message": "Not Found"}), 404, mimetype="application/json")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        status, content, headers = answer if isinstance(answer, tuple) else (200, answer, {})
        if isinstance(content, bytes):
            return Response(content, status, headers)
        return Response(json.dumps(content), status, headers, mimetype="application/json")

    @property
    def paths(self) -> list[str]:
        return [path.partition("?")[0] for _, path, _, _ in self.asked]


@pytest.fixture(scope="module")
def scripted() -> Iterator[list[Script]]:
    import threading

    current: list[Script] = [Script()]
    app = Flask(__name__)

    @app.route("/<path:path>", methods=["GET", "POST"])
    def answer(path: str) -> Response:
        return current[0].answer(path)

    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    current[0].url = f"http://127.0.0.1:{server.server_port}"
    yield current
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def github(scripted: list[Script]) -> Script:
    url = scripted[0].url
    scripted[0] = Script()
    scripted[0].url = url
    return scripted[0]


def a_pull(sha: str = HEAD, base: str = "main", updated_at: str | None = None, files: int = 1) -> dict[str, Any]:
    return {"head": {"sha": sha}, "base": {"ref": base}, "updated_at": updated_at, "changed_files": files}


def a_file(number: int = 0) -> dict[str, Any]:
    return {
        "filename": f"{number}.py",
        "status": "added",
        "additions": 1,
        "deletions": 0,
        "patch": "@@ -0,0 +1 @@\n+x = 1",
        "sha": "e" * 40,
    }


def a_job(**fields: Any) -> Job:
    updated_at = fields.pop("updated_at", None)
    return Job.read(
        {
            "action": "synchronize",
            "delivery_id": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
            "repository": {"full_name": "octo-org/hello"},
            "pull_request": {
                "number": 7,
                "title": "Say hello",
                "head": {"ref": "hello", "sha": HEAD},
                "base": {"ref": fields.pop("base", "main"), "sha": "b" * 40},
                "updated_at": updated_at,
            },
            "sender": {"login": "octocat"},
            **fields,
        }
    )


class Client:
    """The client of a job, with a clock that moves only while it waits."""

    def __init__(
        self, github: Script, job: Job | None = None, *, age: float = 1.0, credential: Held | None = None
    ) -> None:
        self.telemetry = CountingTelemetry()
        self.waits: list[float] = []
        self._age = age
        self.credential = credential or Held("token")
        self.client: PullRequestClient = connect(
            job or a_job(),
            self.credential,
            github.url,
            self.telemetry,
            age=self.age,
            patience=Patience(self.telemetry, self.age, sleep=self.sleep),
            timeout=2,
            download_timeout=(2, 2),
        )

    def age(self) -> float:
        return self._age

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._age += seconds

    def lags(self) -> list[tuple[float, str]]:
        return [(value, by["call"]) for metric, value, by in self.telemetry.values if metric is Metric.GITHUB_LAG]


def set_status(client: PullRequestClient) -> None:
    client.patiently(lambda: client.set_status("success", "fine"))


NOT_FOUND: Any = (404, {"message": "Not Found"}, {})
NO_COMMIT: Any = (422, {"message": f"No commit found for SHA: {HEAD}"}, {})
STATUS: Any = (201, {"state": "success", "context": "pullback/synchronize"}, {})
STATUS_PATH = f"/repos/octo-org/hello/statuses/{HEAD}"


def test_a_commit_that_is_not_known_yet_gets_its_status(github: Script) -> None:
    github.will("POST", STATUS_PATH, NO_COMMIT, NO_COMMIT, STATUS)
    client = Client(github)

    set_status(client.client)

    assert client.waits == list(PAUSES_SECONDS[:2])
    assert client.lags() == [(sum(PAUSES_SECONDS[:2]), SET_STATUS)]
    # An ordinary day is no error.
    assert Metric.GITHUB_ERROR not in client.telemetry.counted


@pytest.mark.parametrize("answer", [NO_COMMIT, NOT_FOUND])
def test_a_longer_lag_is_for_the_state_machine(github: Script, answer: Any) -> None:
    github.will("POST", STATUS_PATH, answer)
    client = Client(github)

    with pytest.raises(GitHubLagging):
        set_status(client.client)

    assert client.waits == list(PAUSES_SECONDS)
    assert client.lags() == [(sum(PAUSES_SECONDS), SET_STATUS)]


@pytest.mark.parametrize("answer", [NO_COMMIT, NOT_FOUND])
def test_what_is_still_unknown_when_the_event_is_old_is_final(github: Script, answer: Any) -> None:
    github.will("POST", STATUS_PATH, answer)
    client = Client(github, age=LAG_SECONDS)

    with pytest.raises(GitHubRefused):
        set_status(client.client)
    assert client.waits == []


def test_another_validation_of_github_is_final(github: Script) -> None:
    github.will("POST", STATUS_PATH, (422, {"message": "Validation Failed"}, {}))
    client = Client(github)
    with pytest.raises(GitHubRefused):
        set_status(client.client)
    assert client.waits == []


def test_a_pull_request_and_its_files_that_are_not_known_yet_are_waited_for(github: Script) -> None:
    github.will("GET", PULL_PATH, NOT_FOUND, a_pull())
    github.will("GET", f"{PULL_PATH}/files", NOT_FOUND, [a_file()])
    client = Client(github)

    assert [file.path for file in client.client.files()] == ["0.py"]
    assert [call for _, call in client.lags()] == [PULL, FILES]


def test_a_list_that_is_shorter_than_the_pull_request_is_waited_for(github: Script) -> None:
    github.will("GET", PULL_PATH, a_pull(files=2))
    github.will("GET", f"{PULL_PATH}/files", [], [a_file(0)], [a_file(0), a_file(1)])
    client = Client(github)

    assert len(list(client.client.files())) == 2
    assert client.waits == list(PAUSES_SECONDS[:2])


def test_a_list_that_stays_shorter_is_taken_as_it_is(github: Script) -> None:
    github.will("GET", PULL_PATH, a_pull(files=2))
    github.will("GET", f"{PULL_PATH}/files", [a_file(0)])
    assert len(list(Client(github, age=LAG_SECONDS).client.files())) == 1


def test_an_archive_that_is_not_there_yet_is_waited_for(github: Script) -> None:
    link = f"{github.url}/_codeload/x"
    github.will("GET", f"/repos/octo-org/hello/tarball/{HEAD}", NOT_FOUND, (302, {}, {"Location": link}))
    github.will("GET", "/_codeload/x", NOT_FOUND, (200, an_archive({"a.txt": b"a"}), {}))
    client = Client(github)

    with client.client.open_archive() as stream:
        assert [file.path for file in read_archive(stream, io.BytesIO()).files] == ["a.txt"]
    assert len(client.waits) == 2


@pytest.mark.parametrize("body", [b"<html>come back later</html>", b"\x1f\x8bnonsense", an_archive({"a": b"a"})[:-12]])
def test_another_body_in_place_of_the_archive_is_an_outage(github: Script, body: bytes) -> None:
    github.will("GET", f"/repos/octo-org/hello/tarball/{HEAD}", (302, {}, {"Location": f"{github.url}/_codeload/x"}))
    github.will("GET", "/_codeload/x", (200, body, {}))

    with pytest.raises(GitHubUnavailable), Client(github).client.open_archive() as stream:
        read_archive(stream, io.BytesIO())


@pytest.mark.parametrize("body", [b"<html>sign in</html>", {}, [], {"state": "pending", "context": "other"}])
def test_an_answer_to_a_write_that_does_not_say_so_is_no_success(github: Script, body: Any) -> None:
    github.will("POST", STATUS_PATH, (200, body, {}))
    with pytest.raises(GitHubUnavailable):
        set_status(Client(github).client)


# The head


def test_the_head_of_before_the_push_is_a_lag_however_long(github: Script) -> None:
    github.will("GET", PULL_PATH, a_pull(BEFORE), a_pull(BEFORE), a_pull(BEFORE), a_pull(HEAD))
    client = Client(github, a_job(before=BEFORE))

    assert client.client.overtaken() is None
    assert len(client.waits) == 3


def test_the_head_of_before_the_push_never_supersedes_it(github: Script) -> None:
    github.will("GET", PULL_PATH, a_pull(BEFORE))
    with pytest.raises(GitHubLagging):
        Client(github, a_job(before=BEFORE)).client.overtaken()
    with pytest.raises(GitHubRefused):
        Client(github, a_job(before=BEFORE), age=LAG_SECONDS).client.overtaken()


def test_the_number_of_files_of_before_the_push_is_a_lag(github: Script) -> None:
    """It is asked for after the head; each answer may come from another server of GitHub's."""
    github.will("GET", PULL_PATH, a_pull(files=2), a_pull(BEFORE, files=0), a_pull(files=2))
    github.will("GET", f"{PULL_PATH}/files", [], [a_file(0), a_file(1)])
    client = Client(github, a_job(before=BEFORE)).client
    assert client.overtaken() is None
    assert client.changed_files() == 2
    assert [file.path for file in client.files()] == ["0.py", "1.py"]


def test_an_answer_that_is_older_than_the_event_is_a_lag_whatever_its_head(github: Script) -> None:
    """Two pushes one after the other: GitHub still answers as before both."""
    github.will(
        "GET", PULL_PATH, a_pull("9" * 40, updated_at="2026-01-01T00:00:01Z"), a_pull(updated_at="2026-01-01T00:00:03Z")
    )
    client = Client(github, a_job(before=BEFORE, updated_at="2026-01-01T00:00:03Z"))

    assert client.client.overtaken() is None
    assert client.waits == [PAUSES_SECONDS[0]]


@pytest.mark.parametrize("before", [None, BEFORE])
def test_a_newer_push_is_told_at_once(github: Script, before: str | None) -> None:
    github.will("GET", PULL_PATH, a_pull(NEWER, updated_at="2026-01-01T00:00:09Z"))
    client = Client(github, a_job(before=before, updated_at="2026-01-01T00:00:03Z"))

    assert client.client.overtaken() == f"superseded by {NEWER[:7]}"
    assert client.waits == []


def test_a_head_that_was_pushed_back_is_newer_when_the_time_for_a_lag_is_over(github: Script) -> None:
    github.will("GET", PULL_PATH, a_pull(BEFORE, updated_at="2026-01-01T00:00:09Z"))
    job = a_job(before=BEFORE, updated_at="2026-01-01T00:00:03Z")
    assert Client(github, job, age=LAG_SECONDS).client.overtaken() == f"superseded by {BEFORE[:7]}"


def test_a_job_of_yesterday_asks_twice(github: Script) -> None:
    github.will("GET", PULL_PATH, a_pull(NEWER), a_pull(HEAD))
    client = Client(github)
    assert client.client.overtaken() is None
    assert client.waits == [3.0]

    github.will("GET", PULL_PATH, a_pull(NEWER))
    assert Client(github).client.overtaken() == f"superseded by {NEWER[:7]}"


def test_the_base_of_before_the_change_is_a_lag(github: Script) -> None:
    github.will("GET", PULL_PATH, a_pull(base="main"), a_pull(base="next"))
    client = Client(github, a_job(base="next", changes={"base": {"ref": {"from": "main"}, "sha": {"from": "b" * 40}}}))
    assert client.client.overtaken() is None
    assert client.waits == [PAUSES_SECONDS[0]]


# Redirects


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_renamed_repository_is_followed_by_reads_and_writes(github: Script, status: int) -> None:
    moved = f"{github.url}/repositories/1"
    github.will("GET", PULL_PATH, (status, {}, {"Location": f"{moved}/pulls/7"}))
    github.will("GET", "/repositories/1/pulls/7", a_pull())
    github.will("GET", f"{PULL_PATH}/files", (status, {}, {"Location": f"{moved}/pulls/7/files?page=1&per_page=100"}))
    github.will("GET", "/repositories/1/pulls/7/files", [a_file()])
    github.will("POST", STATUS_PATH, (status, {}, {"Location": f"{moved}/statuses/{HEAD}"}))
    github.will("POST", f"/repositories/1/statuses/{HEAD}", STATUS)
    client = Client(github)

    assert client.client.overtaken() is None
    assert len(list(client.client.files())) == 1
    set_status(client.client)

    method, path, body, token = github.asked[-1]
    assert (method, path) == ("POST", f"/repositories/1/statuses/{HEAD}")
    assert body == {"state": "success", "description": "fine", "context": "pullback/synchronize"}
    assert token == "token token"
    # With the query: the size of a page belongs to the question.
    assert any(path == "/repositories/1/pulls/7/files?page=1&per_page=100" for _, path, _, _ in github.asked)
    assert client.telemetry.counted[Metric.GITHUB_REDIRECTED] == 3


@pytest.mark.parametrize("status", [300, 303, 304, 305, 307])
def test_any_other_redirect_of_a_write_is_no_success(github: Script, status: int) -> None:
    github.will("POST", STATUS_PATH, (status, {}, {}))
    with pytest.raises(GitHubRefused, match="redirected"):
        set_status(Client(github).client)


def test_a_redirect_without_end_is_given_up(github: Script) -> None:
    github.will("POST", STATUS_PATH, (307, {}, {"Location": f"{github.url}{STATUS_PATH}"}))
    with pytest.raises(GitHubRefused, match="redirected too often"):
        set_status(Client(github).client)
    assert len(github.asked) == 4


@pytest.mark.parametrize("host", ["http://127.0.0.2", "https://127.0.0.1", "http://localhost", "http://[::1"])
def test_the_credential_goes_to_no_other_host(github: Script, host: str) -> None:
    github.will("POST", STATUS_PATH, (307, {}, {"Location": f"{host}/x"}))
    with pytest.raises((GitHubRefused, GitHubUnavailable)):
        set_status(Client(github).client)
    assert len(github.asked) == 1


# Credentials

UNAUTHORIZED: Any = (401, {"message": "Bad credentials"}, {})


def test_a_token_that_was_rotated_in_mid_work_is_read_again_once(github: Script) -> None:
    github.will("GET", PULL_PATH, UNAUTHORIZED, a_pull())
    client = Client(github, credential=Held("old", "new"))

    assert client.client.overtaken() is None
    assert [token for _, _, _, token in github.asked] == ["token old", "token new"]
    assert client.credential.fresh == 1


def test_a_write_is_tried_again_with_the_fresh_credential(github: Script) -> None:
    github.will("POST", STATUS_PATH, UNAUTHORIZED, STATUS)
    set_status(Client(github, credential=Held("old", "new")).client)
    assert [token for _, _, _, token in github.asked] == ["token old", "token new"]


def test_a_second_401_is_final(github: Script) -> None:
    github.will("GET", PULL_PATH, UNAUTHORIZED, a_pull(), UNAUTHORIZED)
    client = Client(github, credential=Held("old", "new"))
    client.client.overtaken()

    with pytest.raises(GitHubRefused, match="401"):
        client.client.overtaken()
    assert client.credential.fresh == 1


@pytest.mark.parametrize("call", [PullRequestClient.overtaken, set_status])
def test_connections_are_kept(github: Script, call: Callable[[PullRequestClient], object]) -> None:
    """PyGithub gives up keep-alive when its connection classes are exchanged."""
    github.will("GET", PULL_PATH, a_pull())
    github.will("POST", STATUS_PATH, STATUS)
    client = Client(github).client
    call(client)
    requester: Any = client._requester
    first = requester._Requester__connection
    call(client)
    assert requester._Requester__connection is first is not None
