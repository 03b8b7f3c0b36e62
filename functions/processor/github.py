"""GitHub, seen from one job: its repository, its pull request, its head SHA."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Literal, TypeVar
from urllib.parse import urlsplit

import requests
import requests.adapters
from github import Auth

from processor.diff import ChangedFile
from processor.errors import CredentialInvalid, GitHubRefused
from processor.github_access import (
    PAGE,
    RETRY,
    TIMEOUT_SECONDS,
    USER_AGENT,
    Calls,
    answer_error,
    authentication,
    sign_in,
)
from processor.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from github import Github
    from github.File import File
    from github.PullRequest import PullRequest

    from processor.archive import ByteStream
    from shared.job import Job
    from shared.telemetry import Telemetry

Value = TypeVar("Value", str, int)
State = Literal["pending", "success", "failure", "error"]

MAX_FILES = 3_000
"""GitHub lists no more files of a pull request."""

MAX_STATUSES = 300
"""Newest statuses of a commit that are looked through for the action's own."""

MAX_DESCRIPTION = 140
"""Characters of a commit status description: GitHub answers 422 to more."""

_DOWNLOAD_TIMEOUT_SECONDS = (5.0, 30.0)
"""To connect, and to wait for further bytes: codeload packs large repositories while it sends them."""


def connect(
    job: Job,
    credential: str,
    api_url: str,
    telemetry: Telemetry,
    *,
    timeout: int = TIMEOUT_SECONDS,
    download_timeout: tuple[float, float] = _DOWNLOAD_TIMEOUT_SECONDS,
) -> PullRequestClient:
    """The client for a job.

    Args:
        job: says which repository, pull request, head SHA, and installation.
        credential: a token; or JSON, ``{"token": ...}`` or ``{"app_id": ..., "private_key": ...}`` of a GitHub App,
            which then asks for a token of the job's installation.
        api_url: GitHub's API, such as ``https://api.github.com``.
        telemetry: counts the calls.
        timeout: seconds to wait for a connection, or for bytes of an answer.
        download_timeout: the same two, for the archive.

    Raises:
        CredentialInvalid: the credential has neither form, or is an App's and the job has no installation.
        GitHubUnavailable, GitHubRateLimited, GitHubRefused: GitHub did not give the installation's token.
    """
    auth: Auth.Auth = authentication(credential)
    if isinstance(auth, Auth.AppAuth):
        if job.installation is None:
            raise CredentialInvalid("the GitHub credential is an App's, but the delivery names no installation")
        auth = auth.get_installation_auth(job.installation.id)
    # Two writes a job, and at most some thirty reads: nothing to slow down.
    calls = Calls(telemetry)
    github = sign_in(auth, api_url, calls, timeout=timeout)
    return PullRequestClient(job, github, calls, download_timeout)


class PullRequestClient:
    """What actions do on GitHub. Make it with ``connect``.

    All methods raise:
        GitHubUnavailable: no answer, a broken one, or 5xx, after some attempts.
        GitHubRateLimited: a rate limit.
        GitHubRefused: any other 4xx, or a redirect to another host.
    """

    def __init__(self, job: Job, github: Github, calls: Calls, download_timeout: tuple[float, float]) -> None:
        self._number = job.pull_request.number
        self._sha = job.pull_request.head.sha
        self._context = f"pullback/{job.action}"
        self._repository = github.get_repo(job.repository.full_name)
        self._calls = calls
        self._download_timeout = download_timeout

    def head_sha(self) -> str:
        """The pull request's head right now."""
        with self._calls.call("GET /repos/{owner}/{repo}/pulls/{number}"):
            return _known(self._pull_request().head.sha, str)

    def changed_files(self) -> int:
        """How many files the pull request changes; ``files`` may give fewer."""
        with self._calls.call("GET /repos/{owner}/{repo}/pulls/{number}"):
            return _known(self._pull_request().changed_files, int)

    def files(self) -> Iterator[ChangedFile]:
        """The changed files, page by page, and no more than MAX_FILES."""
        pages = self._pull_request().get_files()
        # By number, not by link: bounded, and no page stays in memory.
        for number in range(MAX_FILES // PAGE):
            with self._calls.call("GET /repos/{owner}/{repo}/pulls/{number}/files"):
                page = [_changed_file(file) for file in pages.get_page(number)]
            yield from page
            if len(page) < PAGE:
                return

    def set_status(self, state: State, description: str, target_url: str | None = None) -> None:
        """Sets the action's commit status on the job's head SHA.

        Args:
            state: GitHub's state.
            description: one line; cut, and without control characters.
            target_url: where the details are.
        """
        with self._calls.call("POST /repos/{owner}/{repo}/statuses/{sha}"):
            self._repository.get_commit(self._sha).create_status(
                state,
                description=_described(description),
                context=self._context,
                **({"target_url": target_url} if target_url else {}),
            )

    def shows(self, state: State, description: str, target_url: str | None = None) -> bool:
        """Whether the action's newest commit status on the job's head SHA is exactly this one."""
        with self._calls.call("GET /repos/{owner}/{repo}/statuses/{sha}"):
            # Newest first, those of other contexts among them.
            statuses = islice(self._repository.get_commit(self._sha).get_statuses(), MAX_STATUSES)
            shown = next((one for one in statuses if one.context == self._context), None)
        if shown is None:
            return False
        return (shown.state, shown.description or "", shown.target_url or None) == (
            state,
            _described(description),
            target_url,
        )

    @contextmanager
    def open_archive(self) -> Iterator[ByteStream]:
        """The repository at the job's head SHA, as ``git archive`` packs it: a gzip-compressed tar stream.

        Reading raises GitHubUnavailable when the stream breaks.
        """
        with self._calls.call("GET /repos/{owner}/{repo}/tarball/{ref}"):
            link = self._repository.get_archive_link("tarball", self._sha)
        if urlsplit(link).scheme != urlsplit(self._repository.requester.base_url).scheme:
            raise GitHubRefused("GET archive: redirected to another scheme")
        # The link holds a key of its own for private repositories, and urllib3 logs the links of broken connections
        # that it retries: only answers are retried here.
        retry = RETRY.new(connect=0, read=0, other=0)
        with requests.Session() as session:
            session.mount(link, requests.adapters.HTTPAdapter(max_retries=retry))
            with self._calls.call("GET archive"):
                response = session.get(
                    link,
                    stream=True,
                    timeout=self._download_timeout,
                    # The API's credential belongs to the API's host, and the link needs none. Without this, requests
                    # would also look into a .netrc.
                    auth=lambda request: request,
                    headers={"Accept-Encoding": "identity", "User-Agent": USER_AGENT},
                    allow_redirects=False,
                )
                if response.status_code != requests.codes.ok:
                    response.close()
                    raise answer_error("GET archive", response.status_code, response.headers)
            with response:
                yield _Download(response, self._calls)

    def _pull_request(self) -> PullRequest:
        # A new one each time: PyGithub's objects remember what they have read.
        return self._repository.get_pull(self._number)


class _Download:
    """The body of an answer, as it is on the wire: no content encoding is undone."""

    def __init__(self, response: requests.Response, calls: Calls) -> None:
        self._raw = response.raw
        self._calls = calls

    def read(self, size: int, /) -> bytes:
        with self._calls.part_of("GET archive"):
            # What has arrived, so that a slow sender cannot keep the reader from its checkpoints.
            data: bytes = self._raw.read1(size, decode_content=False)
            return data


def _changed_file(file: File) -> ChangedFile:
    return ChangedFile(
        path=_known(file.filename, str),
        status=_known(file.status, str),
        additions=_known(file.additions, int),
        deletions=_known(file.deletions, int),
        patch=file.patch or None,
        blob_sha=file.sha,
        previous_path=file.previous_filename,
    )


def _known(value: Value, kind: type[Value]) -> Value:
    """The value, unless the answer lacks it: PyGithub then gives None, whatever its types say."""
    if not isinstance(value, kind):
        raise TypeError
    return value


def _described(text: str) -> str:
    clean = one_line(text)
    return clean if len(clean) <= MAX_DESCRIPTION else f"{clean[: MAX_DESCRIPTION - 1]}…"
