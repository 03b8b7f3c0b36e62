"""GitHub, seen from one job: its repository, its pull request, its head SHA."""

from __future__ import annotations

import base64
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import quote, urlsplit

import requests
import requests.adapters
from github import Auth

from pullrequest.answers import (
    ARCHIVE,
    ARCHIVE_LINK,
    BASE_FILE,
    CHECK,
    CHECKS,
    CHECKS_OF_SUITE,
    CREATE_CHECK,
    FILES,
    LAG_SECONDS,
    PERMISSION,
    PULL,
    REREQUEST,
    SET_STATUS,
    STATUSES,
    UNSURE_PAUSE_SECONDS,
    UPDATE_CHECK,
    Seen,
    age_of,
    error_of,
    is_pushed_back,
)
from pullrequest.changed_file import ChangedFile
from pullrequest.errors import GitHubLagging, GitHubRefused
from pullrequest.github_access import (
    PAGE,
    RETRY,
    TIMEOUT_SECONDS,
    USER_AGENT,
    Access,
    Calls,
    Installations,
    Patience,
    authentication,
    sign_in,
    sign_in_for,
)
from pullrequest.text import one_line
from shared.external_id import ExternalId
from shared.metrics import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from github import Github
    from github.CommitStatus import CommitStatus
    from github.File import File
    from github.Requester import Requester

    from pullrequest.github_access import ReadsCredential
    from shared.job import Job
    from shared.telemetry import Telemetry
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


Value = TypeVar("Value")
Known = TypeVar("Known", str, int)
StatusState = Literal["pending", "success", "failure", "error"]

MAX_FILES = 3_000
"""GitHub lists no more files of a pull request."""

MAX_STATUSES = 300
"""Newest statuses of a commit that are looked through for the action's own."""

MAX_DESCRIPTION = 140
"""Characters of a commit status description: GitHub answers 422 to more."""

_DOWNLOAD_TIMEOUT_SECONDS = (5.0, 30.0)
"""To connect, and to wait for further bytes: codeload packs large repositories while it sends them."""


class NoPlainFile(Exception):
    """What stands at a path is no file that GitHub hands over whole: a folder, a link, or more than 1 MB."""


@dataclass(frozen=True)
class CheckRun:
    """A check run, as GitHub has it."""

    id: int
    external_id: str | None
    conclusion: str | None
    """None while it is in progress."""
    annotations: int
    title: str | None = None


class ByteStream(Protocol):
    """What an archive is read from."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most ``size``; none at the end."""


def connect(
    job: Job,
    credential: ReadsCredential,
    api_url: str,
    telemetry: Telemetry,
    *,
    age: Callable[[], float] = lambda: 0.0,
    installations: Installations | None = None,
    patience: Patience | None = None,
    timeout: int = TIMEOUT_SECONDS,
    download_timeout: tuple[float, float] = _DOWNLOAD_TIMEOUT_SECONDS,
) -> PullRequestClient:
    """The client for a job.

    Args:
        job: says which repository, pull request, head SHA, and installation.
        credential: reads a token, or a GitHub App's id and key; an App asks for a token of its installation.
        api_url: GitHub's API, such as ``https://api.github.com``.
        telemetry: counts the calls.
        age: seconds since the job's event.
        installations: remembers the App's installations, for jobs that name none.
        patience: waits while GitHub lags; the default waits as ``answers.PAUSES_SECONDS`` says.
        timeout: seconds to wait for a connection, or for bytes of an answer.
        download_timeout: the same two, for the archive.

    Raises:
        CredentialUnavailable, CredentialInvalid: what reading the credential raises.
        GitHubUnavailable, GitHubRateLimited, GitHubRefused: GitHub did not give the installation's token.
    """
    calls = Calls(telemetry, age)
    known = installations or Installations()
    is_app = False

    def signed_in(fresh: bool) -> Github:  # noqa: FBT001 - its one parameter
        nonlocal is_app
        auth = authentication(credential.read(fresh=fresh))
        is_app = isinstance(auth, Auth.AppAuth)
        if isinstance(auth, Auth.AppAuth):
            path = f"/repos/{job.repository.full_name}"
            installation = job.installation.id if job.installation else None
            return sign_in_for(path, auth, known, installation, api_url, calls, timeout=timeout)
        # Two writes a job, and at most some thirty reads: nothing to slow down.
        return sign_in(auth, api_url, calls, timeout=timeout)

    access = Access(signed_in)
    return PullRequestClient(
        job, access, calls, patience or Patience(telemetry, age), telemetry, download_timeout, writes_checks=is_app
    )


class PullRequestClient:
    """What actions do on GitHub. Make it with ``connect``.

    All methods raise:
        GitHubUnavailable: no answer, a broken one, or 5xx, after some attempts.
        GitHubRateLimited: a rate limit.
        GitHubLagging: GitHub does not know yet what its webhook told of, after some pauses.
        GitHubRefused: what is final: see ``pullrequest.answers``.
    """

    def __init__(
        self,
        job: Job,
        access: Access,
        calls: Calls,
        patience: Patience,
        telemetry: Telemetry,
        download_timeout: tuple[float, float],
        *,
        writes_checks: bool,
    ) -> None:
        self._job = job
        self._number = job.pull_request.number
        self._sha = job.pull_request.head.sha
        self._context = f"pullback/{job.action}"
        self._external_id = ExternalId.of(job).to_json()
        self._telemetry = telemetry
        self.writes_checks = writes_checks
        """Whether results are shown as check runs: only an App may write them."""
        self._path = f"/repos/{job.repository.full_name}"
        self._access = access
        self._calls = calls
        self._patience = patience
        self._download_timeout = download_timeout
        self._changed_files: int | None = None
        self.listed: set[str] = set()
        """The paths of the changed files that were read so far."""

    def patiently(self, function: Callable[[], Value]) -> Value:
        """The function's result, once GitHub does not lag and takes the credential.

        What this class reads is read so; for what writes, the caller has to say what belongs to one try.
        """
        return self._patience.wait_out(lambda: self._access.renewing(function))

    def _unless_missing(self, function: Callable[[], Value]) -> Value | None:
        """As ``patiently``; None where GitHub says, for good, that it has no such thing."""
        try:
            return self.patiently(function)
        except GitHubRefused as refusal:
            if refusal.status == requests.codes.not_found:
                return None
            raise

    def overtaken(self) -> str | None:
        """Why nobody wants the job's work any more, in our words: a newer push, or the pull request's end.

        None while somebody does.
        """
        seen = self.patiently(self._as_of_the_event)
        if seen.head_sha != self._sha:
            return f"superseded by {seen.head_sha[:7]}"
        return "the pull request is closed" if seen.is_closed else None

    def is_fork(self) -> bool:
        """Whether the pull request comes from another repository than its own, or from one that is gone."""
        return self.patiently(self._as_of_the_event).is_fork

    def permission_of(self, login: str) -> str | None:
        """What somebody may do with the repository, in GitHub's word; None where they have no part in it."""
        return self._unless_missing(partial(self._permission_of, login))

    def changed_files(self) -> int:
        """How many files the pull request changes; ``files`` may give fewer."""
        return self.patiently(self._as_of_the_event).changed_files

    def files(self) -> Iterator[ChangedFile]:
        """The changed files, page by page, and no more than MAX_FILES."""
        expected = self.changed_files() if self._changed_files is None else self._changed_files
        # By number, not by link: bounded, and no page stays in memory.
        for number in range(MAX_FILES // PAGE):
            page = self.patiently(partial(self._page_of_files, number, expected - number * PAGE))
            self.listed.update(file.path for file in page)
            yield from page
            if len(page) < PAGE:
                return

    def base_file(self, path: str) -> bytes | None:
        """A file as it is at the job's base SHA; None where there is none.

        Args:
            path: as git has it.

        Raises:
            NoPlainFile: see there.
        """
        if any(part in ("", ".", "..") for part in path.split("/")):
            # Git has no such path, and HTTP would make another one of it.
            raise NoPlainFile
        return self._unless_missing(partial(self._base_file, path))

    def set_status(self, state: StatusState, description: str, target_url: str | None = None) -> None:
        """Sets the action's commit status on the job's head SHA: one try, see ``patiently``.

        Args:
            state: GitHub's state.
            description: one line; cut, and without control characters.
            target_url: where the details are.
        """
        fields = {"state": state, "description": _described(description), "context": self._context}
        if target_url:
            fields["target_url"] = target_url
        with self._calls.call(SET_STATUS):
            _, answer = self._requester.requestJsonAndCheck("POST", f"{self._path}/statuses/{self._sha}", input=fields)
            # Only an answer that says so is success: a proxy's page of 200 says nothing.
            if (answer["state"], answer["context"]) != (state, self._context):
                raise ValueError

    def shows(self, state: StatusState, description: str, target_url: str | None = None) -> bool:
        """Whether the action's newest commit status on the job's head SHA is exactly this one."""
        shown = self.patiently(self._shown)
        if shown is None:
            return False
        return (shown.state, shown.description or "", shown.target_url or None) == (
            state,
            _described(description),
            target_url,
        )

    def give_up_checks(self) -> None:
        """Says, once, that the App may not write checks; from here on results are shown as commit statuses."""
        self.writes_checks = False
        self._telemetry.count(Metric.CHECKS_NOT_PERMITTED)
        self._telemetry.log.warning("check runs not permitted")

    def told_less(self, tried: str) -> None:
        """Says that GitHub did not take a check run as it was to be."""
        self._telemetry.log.warning("check run not taken whole", tried=tried)

    def create_check_run(self, body: dict[str, Any]) -> int:
        """Creates the action's check run on the job's head SHA: one try, see ``patiently``.

        Args:
            body: GitHub's fields, besides those that say what it is.

        Returns:
            Its id.
        """
        fields = {"name": self._context, "head_sha": self._sha, "external_id": self._external_id, **body}
        with self._calls.call(CREATE_CHECK):
            _, answer = self._requester.requestJsonAndCheck("POST", f"{self._path}/check-runs", input=fields)
            # Only an answer that says so is success.
            if (answer["name"], answer["head_sha"], answer["status"]) != (self._context, self._sha, body["status"]):
                raise ValueError
            run: int = _known(answer["id"], int)
            return run

    def update_check_run(self, run: int, body: dict[str, Any]) -> None:
        """Changes a check run: one try, see ``patiently``. Annotations are added to those that it has."""
        with self._calls.call(UPDATE_CHECK):
            _, answer = self._requester.requestJsonAndCheck("PATCH", f"{self._path}/check-runs/{run}", input=body)
            if answer["id"] != run or answer["conclusion"] != body.get("conclusion"):
                raise ValueError

    def check_run(self, run: int) -> CheckRun | None:
        """A check run; None where GitHub has none of this id."""
        return self._unless_missing(partial(self._check_run, run))

    def find_check_run(self) -> CheckRun | None:
        """The newest check run of this very work."""
        found = self.patiently(self._check_runs)
        mine = [run for run in found if run.external_id == self._external_id]
        return max(mine, key=lambda run: run.id, default=None)

    def runs_of_suite(self) -> list[CheckRun]:
        """The newest check run of each name in the suite that the job is about; none where it is about none."""
        return self.patiently(partial(self._runs_of_suite, self._job.check_suite.id)) if self._job.check_suite else []

    def rerequest(self, run: int) -> None:
        """Asks GitHub to request a check run again, as its button does: one try, see ``patiently``."""
        with self._calls.call(REREQUEST):
            self._requester.requestJsonAndCheck("POST", f"{self._path}/check-runs/{run}/rerequest")

    @contextmanager
    def open_archive(self) -> Iterator[ByteStream]:
        """The repository at the job's head SHA, as ``git archive`` packs it: a gzip-compressed tar stream.

        Reading raises GitHubUnavailable when the stream breaks.
        """
        with requests.Session() as session, self.patiently(lambda: self._download(session)) as response:
            yield _Download(response, self._calls)

    def _download(self, session: requests.Session) -> requests.Response:
        with self._calls.call(ARCHIVE_LINK):
            headers, _ = self._requester.requestJsonAndCheck("GET", f"{self._path}/tarball/{self._sha}")
            link = str(headers["location"])
        if urlsplit(link).scheme != urlsplit(self._requester.base_url).scheme:
            raise GitHubRefused(f"{ARCHIVE}: redirected to another scheme")
        # The link holds a key of its own for private repositories, and urllib3 logs the links of broken connections
        # that it retries: only answers are retried here.
        retry = RETRY.new(connect=0, read=0, other=0)
        session.mount(link, requests.adapters.HTTPAdapter(max_retries=retry))
        with self._calls.call(ARCHIVE) as answered:
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
            answered(response.status_code)
            if response.status_code != requests.codes.ok:
                response.close()
                raise error_of(ARCHIVE, response.status_code, response.headers, age_seconds=self._calls.age())
        return response

    @property
    def _requester(self) -> Requester:
        # Each time anew: the access may have signed in again.
        return self._access.github.requester

    def _as_of_the_event(self) -> Seen:
        """The pull request, as it was when the job's event happened or later. An older answer is a lag."""
        seen = self._seen()
        age = age_of(seen, self._job)
        if age == "unsure":
            self._patience.sleep(UNSURE_PAUSE_SECONDS)
            seen = self._seen()
            age = age_of(seen, self._job)
        if age == "older":
            if self._calls.age() < LAG_SECONDS:
                raise GitHubLagging(f"{PULL}: older than the event", PULL)
            if not is_pushed_back(seen, self._job):
                raise GitHubRefused(f"{PULL}: older than the event, still")
        self._changed_files = seen.changed_files
        return seen

    def _seen(self) -> Seen:
        with self._calls.call(PULL):
            # Read as it came: PyGithub's objects ask again for what an answer lacks.
            _, answer = self._requester.requestJsonAndCheck("GET", f"{self._path}/pulls/{self._number}")
            return Seen(
                head_sha=_known(answer["head"]["sha"], str),
                base_ref=_known(answer["base"]["ref"], str),
                updated_at=_moment(answer.get("updated_at")),
                changed_files=_known(answer["changed_files"], int),
                is_closed=answer.get("state") == "closed",
                is_fork=_repository_id(answer["head"]) is None
                or _repository_id(answer["head"]) != _repository_id(answer["base"]),
            )

    def _page_of_files(self, number: int, expected: int) -> list[ChangedFile]:
        with self._calls.call(FILES):
            # A new one each time: PyGithub's objects remember what they have read.
            repository = self._access.github.get_repo(self._job.repository.full_name)
            page = [_changed_file(file) for file in repository.get_pull(self._number).get_files().get_page(number)]
        if len(page) < min(expected, PAGE) and self._calls.age() < LAG_SECONDS:
            raise GitHubLagging(f"{FILES}: fewer than the pull request changes", FILES)
        return page

    def _base_file(self, path: str) -> bytes:
        with self._calls.call(BASE_FILE):
            _, answer = self._requester.requestJsonAndCheck(
                "GET",
                f"{self._path}/contents/{quote(path)}",
                parameters={"ref": self._job.pull_request.base.sha},
            )
            if isinstance(answer, dict) and answer["type"] == "file" and answer["encoding"] == "base64":
                return base64.b64decode(answer["content"])
        raise NoPlainFile

    def _check_run(self, run: int) -> CheckRun:
        with self._calls.call(CHECK):
            _, answer = self._requester.requestJsonAndCheck("GET", f"{self._path}/check-runs/{run}")
            return _a_check_run(answer)

    def _check_runs(self) -> list[CheckRun]:
        with self._calls.call(CHECKS):
            # Newest first; there is one of a name for each time that somebody asked for the work.
            _, answer = self._requester.requestJsonAndCheck(
                "GET",
                f"{self._path}/commits/{self._sha}/check-runs",
                parameters={"check_name": self._context, "filter": "all", "per_page": PAGE},
            )
            return [_a_check_run(run) for run in answer["check_runs"]]

    def _runs_of_suite(self, suite: int) -> list[CheckRun]:
        with self._calls.call(CHECKS_OF_SUITE):
            _, answer = self._requester.requestJsonAndCheck(
                "GET", f"{self._path}/check-suites/{suite}/check-runs", parameters={"per_page": PAGE}
            )
            return [_a_check_run(run) for run in answer["check_runs"]]

    def _permission_of(self, login: str) -> str:
        with self._calls.call(PERMISSION):
            path = f"{self._path}/collaborators/{quote(login, safe='')}/permission"
            _, answer = self._requester.requestJsonAndCheck("GET", path)
            permission: str = _known(answer["permission"], str)
            return permission

    def _shown(self) -> CommitStatus | None:
        with self._calls.call(STATUSES):
            # Newest first, those of other contexts among them.
            commit = self._access.github.get_repo(self._job.repository.full_name).get_commit(self._sha)
            statuses = islice(commit.get_statuses(), MAX_STATUSES)
            return next((one for one in statuses if one.context == self._context), None)


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


def _repository_id(end: dict[str, Any]) -> int | None:
    """Of one end of a pull request; None where the repository is gone."""
    repository = end.get("repo")
    number = repository.get("id") if isinstance(repository, dict) else None
    return number if isinstance(number, int) else None


def _a_check_run(answer: dict[str, Any]) -> CheckRun:
    return CheckRun(
        id=_known(answer["id"], int),
        external_id=answer.get("external_id"),
        conclusion=answer["conclusion"],
        annotations=_known(answer["output"]["annotations_count"], int),
        title=answer["output"]["title"],
    )


def _moment(value: object) -> datetime | None:
    """GitHub's time; None when there is none, which is no reason to fail."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def _known(value: Known, kind: type[Known]) -> Known:
    """The value, unless the answer lacks it: PyGithub then gives None, whatever its types say."""
    if not isinstance(value, kind):
        raise TypeError
    return value


def _described(text: str) -> str:
    clean = one_line(text)
    return clean if len(clean) <= MAX_DESCRIPTION else f"{clean[: MAX_DESCRIPTION - 1]}…"
