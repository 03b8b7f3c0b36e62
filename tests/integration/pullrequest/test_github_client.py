"""The GitHub client against the local GitHub, with its faults, and against an archive host of its own."""

from __future__ import annotations

import gzip
import io
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from local.github import Fault, File, PullRequest
from local.github.server import LocalGitHub
from processor.actions import build, synchronize
from processor.actions.build.archive import read_archive
from pullrequest.errors import CredentialInvalid, GitHubRateLimited, GitHubRefused, GitHubUnavailable, WorkError
from pullrequest.finding import Findings
from pullrequest.github import MAX_DESCRIPTION, MAX_FILES, PullRequestClient, connect
from pullrequest.github_access import Installations
from shared.job import Job
from shared.metrics import Metric
from tests.support import CountingTelemetry, Held
from tests.unit.processor.fakes import FakeStore, an_archive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TOKEN = "canary-token-of-github"
ATTEMPTS = 3
OLD = 3600.0
"""Seconds since an event, after which nothing is a lag any more."""


class Server:
    """The local GitHub as it was at the start of a test: starting one for each test would take most of the time."""

    def __init__(self, running: LocalGitHub) -> None:
        running.clear_faults()
        self._running = running
        self._requests = len(running.requests())
        self._statuses = len(running.statuses())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._running, name)

    def requests(self) -> list[Any]:
        return self._running.requests()[self._requests :]

    def statuses(self) -> list[Any]:
        return self._running.statuses()[self._statuses :]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGitHub]:
    with LocalGitHub(tmp_path_factory.mktemp("github"), token=TOKEN) as server:
        yield server


@pytest.fixture
def server(running: LocalGitHub) -> Server:
    return Server(running)


def job_of(pull_request: PullRequest, action: str = "synchronize", **fields: Any) -> Job:
    return Job.read(
        {
            "action": action,
            "delivery_id": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
            "repository": {"full_name": pull_request.full_name},
            "pull_request": {
                "number": pull_request.number,
                "title": pull_request.title,
                "head": {"ref": pull_request.head_ref, "sha": pull_request.head_sha},
                "base": {"ref": pull_request.base_ref, "sha": pull_request.base_sha},
            },
            "sender": {"login": "octocat"},
            **fields,
        }
    )


@pytest.fixture
def client(server: Server) -> PullRequestClient:
    return connect(
        job_of(server.pull_request),
        Held(TOKEN),
        server.api_url,
        CountingTelemetry(),
        age=lambda: OLD,
        timeout=1,
        download_timeout=(1, 1),
    )


def read_files(client: PullRequestClient) -> object:
    return list(client.files())


def set_status(client: PullRequestClient) -> object:
    return client.patiently(lambda: client.set_status("success", "fine"))


def read_archive_of(client: PullRequestClient) -> object:
    with client.open_archive() as stream:
        return read_archive(stream, io.BytesIO())


CALLS = [PullRequestClient.overtaken, PullRequestClient.changed_files, read_files, set_status, read_archive_of]


def failure_of(call: Callable[[PullRequestClient], object], client: PullRequestClient) -> WorkError:
    """The error of a call, whose text must not give anything away."""
    with pytest.raises(WorkError) as caught:
        call(client)
    shown = f"{caught.value} {caught.value!r}"
    assert TOKEN not in shown
    assert "canary" not in shown
    # A traceback shows causes as well.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return caught.value


def test_what_a_pull_request_is(server: Server) -> None:
    first = server.open_pull_request(
        {"new.py": b"x = 1\n", "logo.png": b"\x89PNG\0\0", "README.md": None, "a.txt": b"1\n"}
    )
    client = connect(job_of(first), Held(TOKEN), server.api_url, CountingTelemetry())

    files = {file.path: file for file in client.files()}

    assert client.overtaken() is None
    assert client.changed_files() == len(files) == 4
    assert (files["new.py"].status, files["new.py"].additions, files["new.py"].deletions) == ("added", 1, 0)
    assert files["new.py"].patch == "@@ -0,0 +1 @@\n+x = 1"
    assert (files["logo.png"].status, files["logo.png"].patch) == ("added", None)
    assert files["README.md"].status == "removed"
    assert all(len(file.blob_sha or "") == 40 for file in files.values())


def test_a_renamed_file_has_its_old_path(server: Server) -> None:
    content = server.read("main", "README.md")
    pull_request = server.open_pull_request({"README.md": None, "docs/moved.md": content})

    (file,) = connect(job_of(pull_request), Held(TOKEN), server.api_url, CountingTelemetry()).files()

    assert (file.path, file.previous_path, file.status) == ("docs/moved.md", "README.md", "renamed")


def test_no_call_but_the_one_that_is_needed(server: Server, client: PullRequestClient) -> None:
    client.overtaken()
    client.set_status("pending", "x")
    list(client.files())

    path = f"/repos/{server.pull_request.full_name}"
    assert [(request.method, request.path) for request in server.requests()] == [
        ("GET", f"{path}/pulls/7"),
        ("POST", f"{path}/statuses/{server.pull_request.head_sha}"),
        ("GET", f"{path}/pulls/7/files"),
    ]


def test_the_head_is_read_again_each_time(server: Server) -> None:
    pull_request = server.open_pull_request({"a.txt": b"1"})
    client = connect(job_of(pull_request), Held(TOKEN), server.api_url, CountingTelemetry())
    before = client.overtaken()

    newer = server.push({"a.txt": b"2"}, number=pull_request.number)

    assert (before, client.overtaken()) == (None, f"superseded by {newer[:7]}")


def test_a_status_is_set_on_the_jobs_commit(server: Server, client: PullRequestClient) -> None:
    client.set_status("failure", "line\none \u202e" + "🙂" * 200, "https://example.com/x")

    (status,) = server.statuses()
    assert (status.sha, status.state, status.context) == (
        server.pull_request.head_sha,
        "failure",
        "pullback/synchronize",
    )
    assert status.target_url == "https://example.com/x"
    assert status.description is not None
    assert len(status.description) == MAX_DESCRIPTION
    assert status.description.startswith("line\ufffdone \ufffd🙂")


def test_the_archive_is_the_head(server: Server) -> None:
    pull_request = server.open_pull_request({"run.sh": File(b"#!/bin/sh\n", executable=True), "deep/er/ä.txt": b"x"})
    client = connect(job_of(pull_request), Held(TOKEN), server.api_url, CountingTelemetry())

    with client.open_archive() as stream:
        tree = read_archive(stream, io.BytesIO())

    files = {file.path: file for file in tree.files}
    assert files["run.sh"].executable
    assert tree.read(files["deep/er/ä.txt"]) == b"x"
    assert tree.read(files["README.md"]) == server.read(pull_request.head_sha, "README.md")
    assert [link.path for link in tree.symlinks] == ["docs/README.md"]
    assert tree.left_out_count == 0


def test_files_are_read_by_the_hundred_up_to_githubs_limit(server: Server) -> None:
    pull_request = server.open_pull_request({f"data/{number}.txt": b"x\n" for number in range(MAX_FILES + 20)})
    client = connect(job_of(pull_request), Held(TOKEN), server.api_url, CountingTelemetry())

    paths = {file.path for file in client.files()}

    assert len(paths) == MAX_FILES
    assert client.changed_files() == MAX_FILES + 20
    assert len([request for request in server.requests() if request.path.endswith("/files")]) == MAX_FILES // 100


def test_a_page_that_is_exactly_full_is_not_the_last(server: Server) -> None:
    pull_request = server.open_pull_request({f"data/{number}.txt": b"x\n" for number in range(100)})

    assert len(list(connect(job_of(pull_request), Held(TOKEN), server.api_url, CountingTelemetry()).files())) == 100


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(status=403), GitHubRefused),
        (Fault(status=404), GitHubRefused),
        (Fault(status=422, body={"message": "canary"}), GitHubRefused),
        (Fault(status=429), GitHubRateLimited),
        (Fault(status=403, headers={"Retry-After": "3600"}), GitHubRateLimited),
        (Fault.rate_limit(seconds=3600), GitHubRateLimited),
        (Fault.secondary_rate_limit(seconds=3600), GitHubRateLimited),
        (Fault(status=403, body={"message": "API rate limit exceeded for canary"}), GitHubRateLimited),
    ],
)
def test_refusals_are_final_at_once(
    call: Callable[[PullRequestClient], object],
    fault: Fault,
    error: type[WorkError],
    server: Server,
    client: PullRequestClient,
) -> None:
    server.fail(fault)

    assert type(failure_of(call, client)) is error
    assert len(server.requests()) == 1


@pytest.mark.parametrize(
    ("call", "status"), [(PullRequestClient.overtaken, 500), (read_files, 503), (PullRequestClient.overtaken, 202)]
)
def test_reads_are_tried_a_few_times(
    call: Callable[[PullRequestClient], object], status: int, server: Server, client: PullRequestClient
) -> None:
    # An hour, which nobody waits.
    server.fail(status=status, headers={"Retry-After": "3600"})

    assert isinstance(failure_of(call, client), GitHubUnavailable)
    assert len(server.requests()) == ATTEMPTS


def test_a_read_that_works_at_the_second_attempt_works(server: Server, client: PullRequestClient) -> None:
    server.fail(status=502, times=1)

    assert client.overtaken() is None


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_status_is_not_sent_twice(status: int, server: Server, client: PullRequestClient) -> None:
    server.fail(method="POST", status=status)

    assert isinstance(failure_of(set_status, client), GitHubUnavailable)
    assert len(server.requests()) == 1


@pytest.mark.parametrize("fault", [Fault(cut=True), Fault(delay=1.2)])
def test_a_status_whose_answer_is_lost_is_not_sent_again(
    fault: Fault, server: Server, client: PullRequestClient
) -> None:
    server.fail(fault)

    assert isinstance(failure_of(set_status, client), GitHubUnavailable)
    time.sleep(fault.delay)
    assert len(server.statuses()) == 1


@pytest.mark.parametrize("call", [PullRequestClient.overtaken, read_files, read_archive_of])
def test_a_cut_answer_is_githubs_failure(
    call: Callable[[PullRequestClient], object], server: Server, client: PullRequestClient
) -> None:
    server.fail(cut=True, path="codeload" if call is read_archive_of else "")

    assert isinstance(failure_of(call, client), GitHubUnavailable)
    assert len(server.requests()) <= ATTEMPTS


def test_a_slow_answer_is_not_waited_for(server: Server, client: PullRequestClient) -> None:
    server.fail(delay=1.2)
    started = time.monotonic()

    assert isinstance(failure_of(PullRequestClient.overtaken, client), GitHubUnavailable)
    assert time.monotonic() - started < ATTEMPTS * 1.2 + 4


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (PullRequestClient.overtaken, {}),
        (PullRequestClient.overtaken, {"head": "canary"}),
        (PullRequestClient.overtaken, {"head": {"sha": 7}}),
        (PullRequestClient.changed_files, {}),
        (PullRequestClient.changed_files, {"changed_files": "canary"}),
        (read_files, {"message": "canary"}),
        (read_archive_of, {}),
    ],
)
def test_answers_that_make_no_sense_are_githubs_failure(
    call: Callable[[PullRequestClient], object], body: dict[str, Any], server: Server, client: PullRequestClient
) -> None:
    server.fail(status=200, body=body)

    assert isinstance(failure_of(call, client), GitHubUnavailable)


@pytest.mark.parametrize(
    "location",
    ["http://elsewhere.invalid/repos/x/y", "https://127.0.0.1/repos/x", "ftp://127.0.0.1/", "", "nonsense", "//x"],
)
@pytest.mark.parametrize("call", [PullRequestClient.overtaken, read_archive_of])
@pytest.mark.parametrize("status", [301, 302])
def test_redirects_to_elsewhere_are_not_followed_with_the_credential(
    call: Callable[[PullRequestClient], object],
    status: int,
    location: str,
    server: Server,
    client: PullRequestClient,
) -> None:
    server.fail(status=status, headers={"Location": location})

    assert isinstance(failure_of(call, client), GitHubRefused | GitHubUnavailable)
    assert len(server.requests()) == 1


def test_no_connection_is_githubs_failure(server: Server) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    client = connect(
        job_of(server.pull_request), Held(TOKEN), f"http://127.0.0.1:{port}", CountingTelemetry(), timeout=1
    )

    for call in (PullRequestClient.overtaken, set_status):
        assert isinstance(failure_of(call, client), GitHubUnavailable)


class ArchiveHost(BaseHTTPRequestHandler):
    """What codeload is to GitHub: another host, which has no business with the credential."""

    seen: ClassVar[list[dict[str, str]]] = []
    answers: ClassVar[list[tuple[int, dict[str, str], bytes]]] = []

    def do_GET(self) -> None:
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        status, headers, body = self.answers[min(len(self.seen), len(self.answers)) - 1]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture
def archive_host(server: Server) -> Iterator[type[ArchiveHost]]:
    ArchiveHost.seen.clear()
    ArchiveHost.answers.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), ArchiveHost) as host:
        threading.Thread(target=host.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        location = f"http://localhost:{host.server_port}/archive?token=canary-ticket"
        server.fail(status=302, path="/tarball/", headers={"Location": location})
        yield ArchiveHost
        host.shutdown()


def test_the_archives_host_does_not_get_the_credential(
    archive_host: type[ArchiveHost], client: PullRequestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login canary password canary\n")
    monkeypatch.setenv("NETRC", str(netrc))
    archive_host.answers.append((200, {}, an_archive({"a": b"x"})))

    read_archive_of(client)

    (headers,) = archive_host.seen
    assert "authorization" not in headers
    assert TOKEN not in str(headers)
    assert headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("status", "headers", "error", "attempts"),
    [
        (404, {}, GitHubRefused, 1),
        (403, {}, GitHubRefused, 1),
        (429, {"Retry-After": "3600"}, GitHubRateLimited, 1),
        (302, {"Location": "http://127.0.0.1:1/"}, GitHubRefused, 1),
        (503, {"Retry-After": "3600"}, GitHubUnavailable, ATTEMPTS),
    ],
)
def test_refusals_of_the_archives_host(
    status: int,
    headers: dict[str, str],
    error: type[WorkError],
    attempts: int,
    archive_host: type[ArchiveHost],
    client: PullRequestClient,
) -> None:
    archive_host.answers.append((status, headers, b"canary"))

    assert type(failure_of(read_archive_of, client)) is error
    assert len(archive_host.seen) == attempts


def test_the_archives_host_recovers(archive_host: type[ArchiveHost], client: PullRequestClient) -> None:
    archive_host.answers += [(502, {}, b""), (200, {}, an_archive({"a": b"x"}))]

    read_archive_of(client)


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, an_archive({"a": b"x"})[:-9]),
        (200, {"Content-Length": "5000"}, an_archive({"a": b"x"})),
        (200, {"Transfer-Encoding": "chunked"}, b"400\r\n" + an_archive({"a": b"x"})[:60]),
        (200, {}, b""),
    ],
)
def test_a_broken_download_is_githubs_failure(
    answer: tuple[int, dict[str, str], bytes], archive_host: type[ArchiveHost], client: PullRequestClient
) -> None:
    archive_host.answers.append(answer)

    assert isinstance(failure_of(read_archive_of, client), GitHubUnavailable)


def test_links_with_their_keys_are_not_logged(
    archive_host: type[ArchiveHost], client: PullRequestClient, caplog: pytest.LogCaptureFixture
) -> None:
    archive_host.answers.append((503, {}, b""))

    with caplog.at_level("INFO"):
        failure_of(read_archive_of, client)

    assert "canary" not in caplog.text


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


def test_an_app_uses_a_token_of_the_jobs_installation(server: Server, private_key: str) -> None:
    job = job_of(server.pull_request, installation={"id": server.pull_request.installation_id})
    credential = json.dumps({"app_id": 12345, "private_key": private_key})

    client = connect(job, Held(credential), server.api_url, CountingTelemetry())

    assert client.overtaken() is None
    first, _ = server.requests()
    assert first.path.endswith("/access_tokens")


def test_an_app_that_was_installed_again_since_is_found(server: Server, private_key: str) -> None:
    job = job_of(server.pull_request, installation={"id": 1})
    app = Held(json.dumps({"app_id": 12345, "private_key": private_key}))

    assert connect(job, app, server.api_url, CountingTelemetry()).overtaken() is None


def test_the_installation_is_looked_up_once_where_the_delivery_names_none(server: Server, private_key: str) -> None:
    app, installations = Held(json.dumps({"app_id": 12345, "private_key": private_key})), Installations()

    for _ in range(2):
        job = job_of(server.pull_request)
        assert connect(job, app, server.api_url, CountingTelemetry(), installations=installations).overtaken() is None

    assert [one.path for one in server.requests() if one.path.endswith("/installation")] == [
        f"/repos/{server.pull_request.full_name}/installation"
    ]


def test_an_app_that_is_not_installed_is_said(server: Server, private_key: str) -> None:
    app = Held(json.dumps({"app_id": 12345, "private_key": private_key}))
    server.fail(Fault(path="/installation$", status=404))

    with pytest.raises(GitHubRefused, match="/installation: 404"):
        connect(job_of(server.pull_request), app, server.api_url, CountingTelemetry())


@pytest.mark.parametrize("credential", [TOKEN, f"  {TOKEN}\n", json.dumps({"token": TOKEN})])
def test_forms_of_a_token(credential: str, server: Server) -> None:
    client = connect(job_of(server.pull_request), Held(credential), server.api_url + "/", CountingTelemetry())

    assert client.overtaken() is None


@pytest.mark.parametrize(
    "credential",
    [
        "",
        "canary two",
        "canary\nX-Header: y",
        "canäry",
        '{"token": canary}',
        '{"token": ["canary"]}',
        '{"token": ""}',
        '{"app_id": 1, "private_key": "canary"}',
        '{"app_id": 1}',
    ],
)
def test_a_bad_credential_is_not_quoted(credential: str, server: Server) -> None:
    job = job_of(server.pull_request, installation={"id": 1})

    with pytest.raises(CredentialInvalid) as caught:
        connect(job, Held(credential), server.api_url, CountingTelemetry())

    assert "can" not in str(caught.value).replace("cannot", "")
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert not server.requests()


class RealWork:
    """Work on the local GitHub."""

    def __init__(self, github: PullRequestClient, policy: Any) -> None:
        self.github = github
        self.artifacts = FakeStore()
        self.policy = policy
        self.findings = Findings()

    def checkpoint(self) -> None:
        """Nothing stops this work."""


def test_the_report_of_a_pull_request(server: Server) -> None:
    pull_request = server.open_pull_request(
        {
            ".github/workflows/new.yml": b"on: push\n",
            "uv.lock": b"changed\n",
            "logo.bin": bytes(100),
            "empty.txt": b"",
            "a.py": b"<<<<<<< HEAD\n=======\n>>>>>>> topic\n",
        }
    )
    job = job_of(pull_request)

    result = synchronize.run(
        job, RealWork(connect(job, Held(TOKEN), server.api_url, CountingTelemetry()), synchronize.Policy())
    )

    assert result.conclusion == "failure"
    problems = {name: [item["path"] for item in found["items"]] for name, found in result.artifacts["problems"].items()}
    assert problems == {"conflict markers": ["a.py"], "binary additions": ["logo.bin"]}
    assert set(result.artifacts["sensitive"]) == {"workflow", "lock file"}
    assert result.artifacts["unreadable"]["count"] == 0


def test_the_bundle_of_the_sample_pull_request(server: Server) -> None:
    job = job_of(server.pull_request, "build")
    work = RealWork(connect(job, Held(TOKEN), server.api_url, CountingTelemetry()), build.Policy())

    result = build.run(job, work)

    assert result.conclusion == "success"
    assert result.artifacts["files"] > 10
    assert gzip.decompress(work.artifacts.objects[result.artifacts["bundle"]["key"]])


def test_a_status_is_recognised_only_when_it_is_the_newest_and_the_same(server: Server) -> None:
    pull_request = server.open_pull_request({"a.txt": b"a"})
    build_client = connect(job_of(pull_request, "build"), Held(TOKEN), server.api_url, CountingTelemetry())
    other_client = connect(job_of(pull_request), Held(TOKEN), server.api_url, CountingTelemetry())
    long = "x" * 200

    assert not build_client.shows("pending", "a")
    build_client.set_status("pending", "a")
    other_client.set_status("success", "b", "https://details.example")
    assert build_client.shows("pending", "a")
    assert not other_client.shows("pending", "a")
    assert other_client.shows("success", "b", "https://details.example")
    assert not other_client.shows("success", "b")
    build_client.set_status("success", long)
    assert not build_client.shows("pending", "a")
    assert build_client.shows("success", long), "as it was cut"


def test_calls_and_their_errors_and_the_limit_that_is_left_are_counted(server: Server) -> None:
    telemetry = CountingTelemetry()
    client = connect(job_of(server.pull_request), Held(TOKEN), server.api_url, telemetry, timeout=1)

    client.overtaken()
    client.set_status("pending", "at work")

    assert telemetry.counted[Metric.GITHUB_CALL] == 2
    assert Metric.GITHUB_ERROR not in telemetry.counted
    left = [value for metric, value, _ in telemetry.values if metric is Metric.GITHUB_RATE_LIMIT_LEFT]
    assert len(left) == 2
    assert left[0] > left[1] > 0

    server.fail(Fault(status=451))
    with pytest.raises(GitHubRefused):
        client.overtaken()
    assert telemetry.counted[Metric.GITHUB_CALL] == 3
    assert (Metric.GITHUB_ERROR, 1, {"error": "GitHubRefused"}) in telemetry.values


@pytest.mark.parametrize("fault", [{"status": 500}, {"cut": True}])
def test_an_archive_that_does_not_arrive_is_an_error_that_is_counted(server: Server, fault: dict[str, Any]) -> None:
    telemetry = CountingTelemetry()
    client = connect(
        job_of(server.pull_request, "build"), Held(TOKEN), server.api_url, telemetry, download_timeout=(1, 1)
    )
    server.fail(path="_codeload", **fault)
    with pytest.raises(GitHubUnavailable), client.open_archive() as stream:
        list(iter(lambda: stream.read(65536), b""))
    assert (Metric.GITHUB_ERROR, 1, {"error": "GitHubUnavailable"}) in telemetry.values
