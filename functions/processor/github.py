"""GitHub, seen from one job: its repository, its pull request, its head SHA.

PyGithub does the talking. Here is what it leaves open: every call is bounded in time and attempts, and every failure
becomes one of our errors, without a word of what GitHub or the pull request's author wrote.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

import requests
import requests.adapters
from github import Auth, Github
from github.GithubException import BadAttributeException, GithubException, RateLimitExceededException
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from processor.diff import ChangedFile
from processor.errors import CredentialInvalid, GitHubRateLimited, GitHubRefused, GitHubUnavailable, WorkError
from processor.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from github.File import File
    from github.PullRequest import PullRequest

    from processor.archive import ByteStream
    from shared.job import Job

Value = TypeVar("Value", str, int)
State = Literal["pending", "success", "failure", "error"]

MAX_FILES = 3_000
"""GitHub lists no more files of a pull request."""

MAX_STATUSES = 300
"""Newest statuses of a commit that are looked through for the action's own."""

MAX_DESCRIPTION = 140
"""Characters of a commit status description: GitHub answers 422 to more."""

_PAGE = 100
_TIMEOUT_SECONDS = 10
_DOWNLOAD_TIMEOUT_SECONDS = (5.0, 30.0)
"""To connect, and to wait for further bytes: codeload packs large repositories while it sends them."""

_USER_AGENT = "pullback"
_RETRY = Retry(
    total=2,
    # After a failed connection any request is repeated; after a lost answer only one that changes nothing.
    allowed_methods=("GET",),
    # 202: PyGithub would ask again every 2 s, without end.
    status_forcelist=(202, 500, 502, 503, 504),
    backoff_factor=0.5,
    backoff_jitter=0.5,
    backoff_max=5,
    # GitHub's Retry-After may be an hour. The state machine waits more cheaply.
    respect_retry_after_header=False,
)
_TOKEN = re.compile(r"[\x21-\x7e]+")


def connect(
    job: Job,
    credential: str,
    api_url: str,
    *,
    timeout: int = _TIMEOUT_SECONDS,
    download_timeout: tuple[float, float] = _DOWNLOAD_TIMEOUT_SECONDS,
) -> PullRequestClient:
    """The client for a job.

    Args:
        job: says which repository, pull request, head SHA, and installation.
        credential: a token; or JSON, ``{"token": ...}`` or ``{"app_id": ..., "private_key": ...}`` of a GitHub App,
            which then asks for a token of the job's installation.
        api_url: GitHub's API, such as ``https://api.github.com``.
        timeout: seconds to wait for a connection, or for bytes of an answer.
        download_timeout: the same two, for the archive.

    Raises:
        CredentialInvalid: the credential has neither form, or is an App's and the job has no installation.
        GitHubUnavailable, GitHubRateLimited, GitHubRefused: GitHub did not give the installation's token.
    """
    auth = _authentication(job, credential)
    github = Github(
        auth=auth,
        base_url=api_url.rstrip("/"),
        timeout=timeout,
        per_page=_PAGE,
        retry=_RETRY,
        # Two writes a job, and at most some thirty reads: nothing to slow down.
        seconds_between_requests=None,
        seconds_between_writes=None,
        user_agent=_USER_AGENT,
        lazy=True,
    )
    if isinstance(auth, Auth.AppInstallationAuth):
        with _translated("POST /app/installations/{installation_id}/access_tokens"):
            _ = auth.token
    return PullRequestClient(job, github, download_timeout)


class PullRequestClient:
    """What actions do on GitHub. Make it with ``connect``.

    All methods raise:
        GitHubUnavailable: no answer, a broken one, or 5xx, after some attempts.
        GitHubRateLimited: a rate limit.
        GitHubRefused: any other 4xx, or a redirect to another host.
    """

    def __init__(self, job: Job, github: Github, download_timeout: tuple[float, float]) -> None:
        self._number = job.pull_request.number
        self._sha = job.pull_request.head.sha
        self._context = f"pullback/{job.action}"
        self._repository = github.get_repo(job.repository.full_name)
        self._download_timeout = download_timeout

    def head_sha(self) -> str:
        """The pull request's head right now."""
        with _translated("GET /repos/{owner}/{repo}/pulls/{number}"):
            return _known(self._pull_request().head.sha, str)

    def changed_files(self) -> int:
        """How many files the pull request changes; ``files`` may give fewer."""
        with _translated("GET /repos/{owner}/{repo}/pulls/{number}"):
            return _known(self._pull_request().changed_files, int)

    def files(self) -> Iterator[ChangedFile]:
        """The changed files, page by page, and no more than MAX_FILES."""
        pages = self._pull_request().get_files()
        # By number, not by link: bounded, and no page stays in memory.
        for number in range(MAX_FILES // _PAGE):
            with _translated("GET /repos/{owner}/{repo}/pulls/{number}/files"):
                page = [_changed_file(file) for file in pages.get_page(number)]
            yield from page
            if len(page) < _PAGE:
                return

    def set_status(self, state: State, description: str, target_url: str | None = None) -> None:
        """Sets the action's commit status on the job's head SHA.

        Args:
            state: GitHub's state.
            description: one line; cut, and without control characters.
            target_url: where the details are.
        """
        with _translated("POST /repos/{owner}/{repo}/statuses/{sha}"):
            self._repository.get_commit(self._sha).create_status(
                state,
                description=_described(description),
                context=self._context,
                **({"target_url": target_url} if target_url else {}),
            )

    def shows(self, state: State, description: str, target_url: str | None = None) -> bool:
        """Whether the action's newest commit status on the job's head SHA is exactly this one."""
        with _translated("GET /repos/{owner}/{repo}/statuses/{sha}"):
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
        with _translated("GET /repos/{owner}/{repo}/tarball/{ref}"):
            link = self._repository.get_archive_link("tarball", self._sha)
        if urlsplit(link).scheme != urlsplit(self._repository.requester.base_url).scheme:
            raise GitHubRefused("GET archive: redirected to another scheme")
        # The link holds a key of its own for private repositories, and urllib3 logs the links of broken connections
        # that it retries: only answers are retried here.
        retry = _RETRY.new(connect=0, read=0, other=0)
        with requests.Session() as session:
            session.mount(link, requests.adapters.HTTPAdapter(max_retries=retry))
            with _translated("GET archive"):
                response = session.get(
                    link,
                    stream=True,
                    timeout=self._download_timeout,
                    # The API's credential belongs to the API's host, and the link needs none. Without this, requests
                    # would also look into a .netrc.
                    auth=lambda request: request,
                    headers={"Accept-Encoding": "identity", "User-Agent": _USER_AGENT},
                    allow_redirects=False,
                )
            with response:
                if response.status_code != requests.codes.ok:
                    raise _error("GET archive", response.status_code, response.headers)
                yield _Download(response)

    def _pull_request(self) -> PullRequest:
        # A new one each time: PyGithub's objects remember what they have read.
        return self._repository.get_pull(self._number)


class _Download:
    """The body of an answer, as it is on the wire: no content encoding is undone."""

    def __init__(self, response: requests.Response) -> None:
        self._raw = response.raw

    def read(self, size: int, /) -> bytes:
        with _translated("GET archive"):
            # What has arrived, so that a slow sender cannot keep the reader from its checkpoints.
            data: bytes = self._raw.read1(size, decode_content=False)
            return data


def _authentication(job: Job, credential: str) -> Auth.Auth:
    credential = credential.strip()
    fields: Any = {"token": credential}
    if credential.startswith("{"):
        try:
            fields = json.loads(credential)
        except ValueError:
            raise CredentialInvalid("the GitHub credential is not JSON") from None
    if "app_id" in fields:
        return _installation_authentication(job, fields)
    token = fields.get("token")
    # Checked here, because the HTTP client's complaint about a header would quote it.
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise CredentialInvalid("the GitHub credential holds neither a token nor an App's id and private key")
    return Auth.Token(token)


def _installation_authentication(job: Job, fields: dict[str, Any]) -> Auth.Auth:
    if job.installation is None:
        raise CredentialInvalid("the GitHub credential is an App's, but the delivery names no installation")
    try:
        app = Auth.AppAuth(str(fields["app_id"]), str(fields["private_key"]))
        # Signing shows whether the key is one.
        app.create_jwt()
    except Exception:  # noqa: BLE001 - whatever the key's parsers raise may quote the key
        raise CredentialInvalid("the GitHub App's private key cannot be used") from None
    return app.get_installation_auth(job.installation.id)


@contextmanager
def _translated(call: str) -> Iterator[None]:
    """Turns what PyGithub and requests raise into our errors. ``call``: method and path template, for the message."""
    try:
        yield
    except WorkError:
        raise
    except RateLimitExceededException:
        raise GitHubRateLimited(f"{call}: rate limit") from None
    except GithubException as error:
        raise _error(call, error.status, error.headers or {}) from None
    except (requests.RequestException, HTTPError) as error:
        raise GitHubUnavailable(f"{call}: {type(error).__name__}") from None
    except (RuntimeError, AssertionError):
        # PyGithub's words for a redirect to another host or scheme. It does not follow it.
        raise GitHubRefused(f"{call}: redirected elsewhere") from None
    except (BadAttributeException, ValueError, LookupError, TypeError, AttributeError, OSError) as error:
        # What PyGithub and its callers raise at a body that is cut, no JSON, or of another shape.
        raise GitHubUnavailable(f"{call}: the answer is broken ({type(error).__name__})") from None


def _error(call: str, status: int, headers: Mapping[str, str]) -> WorkError:
    message = f"{call}: {status}"
    names = {name.lower(): value for name, value in headers.items()}
    exhausted = "retry-after" in names or names.get("x-ratelimit-remaining") == "0"
    if status == 429 or (status == 403 and exhausted):
        return GitHubRateLimited(message)
    # PyGithub has errors without a status, or with one below 400, for answers that it does not understand.
    if 300 <= status < 500:
        return GitHubRefused(message)
    return GitHubUnavailable(message)


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
