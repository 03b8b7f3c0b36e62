"""The way to GitHub's API: signing in, and what every call has in common.

PyGithub does the talking. Here is what it leaves open: every call is bounded in time and attempts, and every failure
becomes one of our errors, without a word of what GitHub or the pull request's author wrote.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import requests
from github import Auth, Github
from github.GithubException import BadAttributeException, GithubException, RateLimitExceededException
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from pullrequest import connection
from pullrequest.answers import INSTALLATION_TOKEN, PAUSES_SECONDS, error_of, message_of
from pullrequest.errors import (
    CredentialInvalid,
    GitHubLagging,
    GitHubRateLimited,
    GitHubRefused,
    GitHubUnavailable,
    WorkError,
)
from shared.metrics import Metric
from shared.stored_secret import Token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from github.Requester import Requester

    from shared.stored_secret import App
    from shared.telemetry import Telemetry

PAGE = 100
"""Items a page: GitHub's limit."""

TIMEOUT_SECONDS = 10
"""To wait for a connection, or for bytes of an answer."""

USER_AGENT = "pullback"

RETRY = Retry(
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


def authentication(credential: Token | App) -> Auth.AppAuth | Auth.Token:
    """How to sign in with the credential.

    Raises:
        CredentialInvalid: the App's key is none.
    """
    if isinstance(credential, Token):
        return Auth.Token(credential.token)
    try:
        app = Auth.AppAuth(credential.id, credential.private_key)
        # Signing shows whether the key is one.
        app.create_jwt()
    except Exception:  # noqa: BLE001 - whatever the key's parsers raise may quote the key
        raise CredentialInvalid("the GitHub App's private key cannot be used") from None
    return app


connection.install()

Value = TypeVar("Value")


class ReadsCredential(Protocol):
    """``pullrequest.credential.Credential``."""

    def read(self, *, fresh: bool = False) -> Token | App: ...


class Calls:
    """The calls that are made to GitHub: each is counted, and its failure is one of our errors.

    Args:
        telemetry: where they are counted.
        age: seconds since the event that the calls are about; infinite when they are about none.
    """

    def __init__(self, telemetry: Telemetry, age: Callable[[], float] = lambda: float("inf")) -> None:
        self._telemetry = telemetry
        self.age = age
        self.requester: Requester | None = None
        """PyGithub's, which remembers what GitHub said of its rate limit."""

    @contextmanager
    def call(self, name: str) -> Iterator[Callable[[int], None]]:
        """One call. ``name``: method and path template, for messages and the trace. Raises as ``translated`` does.

        Hands over whom to tell of the answer's status, for a request that is not PyGithub's.
        """
        self._telemetry.count(Metric.GITHUB_CALL)
        told = connection.on_redirect.set(lambda status: self._redirected(name, status))
        try:
            with self._telemetry.calling("GitHub", name) as answered:
                heard = connection.on_answer.set(answered)
                try:
                    with self.part_of(name):
                        yield answered
                finally:
                    connection.on_answer.reset(heard)
        finally:
            connection.on_redirect.reset(told)
            left, limit = self.requester.rate_limiting if self.requester else (-1, -1)
            # A GitHub Enterprise Server may have no limit.
            if limit > 0:
                self._telemetry.count(Metric.GITHUB_RATE_LIMIT_LEFT, left)
            self._telemetry.log.debug("github called", call=name, rate_limit_left=left)

    @contextmanager
    def part_of(self, name: str) -> Iterator[None]:
        """A further part of a call, such as its answer's body; the call itself is counted already."""
        try:
            with translated(name, self.age()):
                yield
        except GitHubLagging:
            # An ordinary day; ``Patience`` counts it.
            raise
        except WorkError as error:
            self._telemetry.count(Metric.GITHUB_ERROR, error=type(error).__name__)
            raise

    def _redirected(self, name: str, status: int) -> None:
        self._telemetry.count(Metric.GITHUB_REDIRECTED)
        self._telemetry.log.info("github redirected", call=name, status=status)


class Patience:
    """Waits in one attempt while GitHub lags; what takes longer is for the state machine.

    Args:
        telemetry: for metric and log.
        age: seconds since the event.
        pauses: seconds between the tries of the whole attempt.
        sleep: waits so many seconds.
        checkpoint: called after each pause; may raise.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        age: Callable[[], float] = lambda: 0.0,
        *,
        pauses: tuple[float, ...] = PAUSES_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        checkpoint: Callable[[], None] = lambda: None,
    ) -> None:
        self._telemetry = telemetry
        self._age = age
        self._pauses = iter(pauses)
        self.sleep = sleep
        self._checkpoint = checkpoint

    def wait_out(self, function: Callable[[], Value]) -> Value:
        """The function's result, from the first try that GitHub does not answer with a lag.

        Raises:
            GitHubLagging: the pauses are used up.
            Exception: what the function raises besides.
        """
        waited, lagging = 0.0, None
        while True:
            try:
                result = function()
            except GitHubLagging as lag:
                lagging = lag.call
                pause = next(self._pauses, None)
                self._telemetry.log.info(
                    "github lags", call=lag.call, age_seconds=round(self._age()), pause_seconds=pause or 0
                )
                if pause is None:
                    self._telemetry.count(Metric.GITHUB_LAG, waited, call=lagging)
                    raise
                self.sleep(pause)
                waited += pause
                self._checkpoint()
            else:
                if lagging is not None:
                    self._telemetry.count(Metric.GITHUB_LAG, waited, call=lagging)
                return result


class Access:
    """A client that is signed in; signed in again, once, with a credential that is read anew, when GitHub refuses it.

    A credential is cached for a minute, and may be rotated or revoked at any time.

    Args:
        sign_in: makes the client; told whether the credential has to be read anew.
    """

    def __init__(self, sign_in: Callable[[bool], Github]) -> None:
        self._sign_in = sign_in
        self._is_renewed = False
        self.github: Github = self.renewing(lambda: sign_in(False))  # noqa: FBT003 - its one parameter

    def renewing(self, function: Callable[[], Value]) -> Value:
        """The function's result; when GitHub says 401, that of a second try with a fresh credential.

        Raises:
            GitHubRefused: GitHub says 401 to the fresh one as well, or for the second time.
            Exception: what the function raises besides.
        """
        try:
            return function()
        except GitHubRefused as refusal:
            if refusal.status != requests.codes.unauthorized or self._is_renewed:
                raise
        self._is_renewed = True
        self.github = self._sign_in(True)  # noqa: FBT003 - its one parameter
        return function()


class Installations:
    """Remembers which installation of an App an account's repositories belong to, where no delivery tells.

    One instance a function; what it remembers outlives invocations on purpose.
    """

    MAX_AGE_SECONDS = 3600.0
    MAX_REMEMBERED = 1000

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str], tuple[int, float]] = {}

    def find(self, app: Auth.AppAuth, path: str, look_up: Callable[[], int]) -> int:
        """The installation of the App for what is at a path such as ``/repos/octo-org/hello``.

        Raises:
            WorkError: what ``look_up`` raises.
        """
        key = (str(app.app_id), path)
        found, until = self._known.get(key, (0, float("-inf")))
        if self._clock() < until:
            return found
        self._known.pop(key, None)
        found = look_up()
        while len(self._known) >= self.MAX_REMEMBERED:
            # The one that was remembered first.
            del self._known[next(iter(self._known))]
        self._known[key] = found, self._clock() + self.MAX_AGE_SECONDS
        return found

    def forget(self, app: Auth.AppAuth, path: str) -> None:
        """Looks it up again the next time: GitHub does not know the installation any more."""
        self._known.pop((str(app.app_id), path), None)


def sign_in(
    auth: Auth.Auth,
    api_url: str,
    calls: Calls,
    *,
    timeout: int = TIMEOUT_SECONDS,
    seconds_between_writes: float | None = None,
) -> Github:
    """A client that is signed in; an installation's token is asked for now.

    Args:
        auth: how.
        api_url: GitHub's API, such as ``https://api.github.com``.
        calls: what is called is counted there; the client's rate limit from now on.
        timeout: seconds to wait for a connection, or for bytes of an answer.
        seconds_between_writes: pause between two requests that change something.

    Raises:
        GitHubUnavailable, GitHubRateLimited, GitHubRefused: GitHub did not give the installation's token.
    """
    github = Github(
        auth=auth,
        base_url=api_url.rstrip("/"),
        timeout=timeout,
        per_page=PAGE,
        retry=RETRY,
        seconds_between_requests=None,
        seconds_between_writes=seconds_between_writes,
        user_agent=USER_AGENT,
        lazy=True,
    )
    calls.requester = github.requester
    if isinstance(auth, Auth.AppInstallationAuth):
        with calls.call(INSTALLATION_TOKEN):
            _ = auth.token
    return github


def template_of(path: str) -> str:
    """The path of a repository or an organisation as GitHub's documentation writes it, for messages and metrics."""
    return "/orgs/{org}" if path.startswith("/orgs/") else "/repos/{owner}/{repo}"


def sign_in_for(
    path: str,
    app: Auth.AppAuth,
    installations: Installations,
    installation: int | None,
    api_url: str,
    calls: Calls,
    **options: Any,
) -> Github:
    """A client that is signed in as an App's installation.

    Args:
        path: what it is about: ``/repos/{owner}/{repo}`` or ``/orgs/{org}``.
        app: the App.
        installations: what is remembered of installations.
        installation: its id where the delivery names it; looked up otherwise, and when GitHub does not know it any
            more, because the App was installed again.
        api_url, calls, options: as for ``sign_in``.

    Raises:
        GitHubUnavailable, GitHubRateLimited, GitHubRefused: as ``sign_in``; 404 when the App is not installed there.
    """

    def looked_up() -> int:
        github = sign_in(app, api_url, calls, **options)
        with calls.call(f"GET {template_of(path)}/installation"):
            _, body = github.requester.requestJsonAndCheck("GET", f"{path}/installation")
            if not isinstance(body["id"], int):
                raise TypeError
            return body["id"]

    def signed_in(number: int) -> Github:
        return sign_in(app.get_installation_auth(number), api_url, calls, **options)

    try:
        return signed_in(installation or installations.find(app, path, looked_up))
    except GitHubRefused as refusal:
        if refusal.status != requests.codes.not_found or not str(refusal).startswith(INSTALLATION_TOKEN):
            raise
    installations.forget(app, path)
    return signed_in(installations.find(app, path, looked_up))


@contextmanager
def translated(call: str, age_seconds: float = float("inf")) -> Iterator[None]:
    """Turns what PyGithub and requests raise into our errors.

    Args:
        call: method and path template, for the message.
        age_seconds: how old the event is that the call is about.
    """
    try:
        yield
    except WorkError:
        raise
    except connection.Redirected as redirected:
        raise GitHubRefused(f"{call}: {redirected}", redirected.status) from None
    except RateLimitExceededException:
        # Told by GitHub's words, whatever the headers say.
        raise GitHubRateLimited(f"{call}: rate limit") from None
    except GithubException as error:
        raise error_of(
            call, error.status, error.headers or {}, age_seconds=age_seconds, message=message_of(error.data)
        ) from None
    except (requests.RequestException, HTTPError) as error:
        raise GitHubUnavailable(f"{call}: {type(error).__name__}") from None
    except (
        BadAttributeException,
        AssertionError,
        AttributeError,
        LookupError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        # What PyGithub and its callers raise at a body that is cut, no JSON, or of another shape.
        raise GitHubUnavailable(f"{call}: the answer is broken ({type(error).__name__})") from None
