"""The way to GitHub's API: signing in, and what every call has in common.

PyGithub does the talking. Here is what it leaves open: every call is bounded in time and attempts, and every failure
becomes one of our errors, without a word of what GitHub or the pull request's author wrote.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests
from github import Auth, Github
from github.GithubException import BadAttributeException, GithubException, RateLimitExceededException
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from processor.errors import CredentialInvalid, GitHubRateLimited, GitHubRefused, GitHubUnavailable, WorkError
from shared.metrics import Metric

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from github.Requester import Requester

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

_TOKEN = re.compile(r"[\x21-\x7e]+")


def authentication(credential: str) -> Auth.AppAuth | Auth.Token:
    """How to sign in with the credential.

    Args:
        credential: a token; or JSON, ``{"token": ...}`` or ``{"app_id": ..., "private_key": ...}`` of a GitHub App.

    Raises:
        CredentialInvalid: the credential has neither form, or the key is none.
    """
    credential = credential.strip()
    fields: Any = {"token": credential}
    if credential.startswith("{"):
        try:
            fields = json.loads(credential)
        except ValueError:
            raise CredentialInvalid("the GitHub credential is not JSON") from None
    if "app_id" in fields:
        return _app(fields)
    token = fields.get("token")
    # Checked here, because the HTTP client's complaint about a header would quote it.
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise CredentialInvalid("the GitHub credential holds neither a token nor an App's id and private key")
    return Auth.Token(token)


def _app(fields: dict[str, Any]) -> Auth.AppAuth:
    try:
        app = Auth.AppAuth(str(fields["app_id"]), str(fields["private_key"]))
        # Signing shows whether the key is one.
        app.create_jwt()
    except Exception:  # noqa: BLE001 - whatever the key's parsers raise may quote the key
        raise CredentialInvalid("the GitHub App's private key cannot be used") from None
    return app


class Calls:
    """The calls that are made to GitHub: each is counted, and its failure is one of our errors.

    Args:
        telemetry: where they are counted.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self.requester: Requester | None = None
        """PyGithub's, which remembers what GitHub said of its rate limit."""

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """One call. ``name``: method and path template, for messages. Raises as ``translated`` does."""
        self._telemetry.count(Metric.GITHUB_CALL)
        try:
            with self.part_of(name):
                yield
        finally:
            left, limit = self.requester.rate_limiting if self.requester else (-1, -1)
            # A GitHub Enterprise Server may have no limit.
            if limit > 0:
                self._telemetry.count(Metric.GITHUB_RATE_LIMIT_LEFT, left)
            self._telemetry.log.debug("github called", call=name, rate_limit_left=left)

    @contextmanager
    def part_of(self, name: str) -> Iterator[None]:
        """A further part of a call, such as its answer's body; the call itself is counted already."""
        try:
            with translated(name):
                yield
        except WorkError as error:
            self._telemetry.count(Metric.GITHUB_ERROR, error=type(error).__name__)
            raise


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
        with calls.call("POST /app/installations/{installation_id}/access_tokens"):
            _ = auth.token
    return github


@contextmanager
def translated(call: str) -> Iterator[None]:
    """Turns what PyGithub and requests raise into our errors. ``call``: method and path template, for the message."""
    try:
        yield
    except WorkError:
        raise
    except RateLimitExceededException:
        raise GitHubRateLimited(f"{call}: rate limit") from None
    except GithubException as error:
        raise answer_error(call, error.status, error.headers or {}) from None
    except (requests.RequestException, HTTPError) as error:
        raise GitHubUnavailable(f"{call}: {type(error).__name__}") from None
    except (RuntimeError, AssertionError):
        # PyGithub's words for a redirect to another host or scheme. It does not follow it.
        raise GitHubRefused(f"{call}: redirected elsewhere") from None
    except (BadAttributeException, ValueError, LookupError, TypeError, AttributeError, OSError) as error:
        # What PyGithub and its callers raise at a body that is cut, no JSON, or of another shape.
        raise GitHubUnavailable(f"{call}: the answer is broken ({type(error).__name__})") from None


def answer_error(call: str, status: int, headers: Mapping[str, str]) -> WorkError:
    """The error for an answer that says no. ``call``: as above."""
    message = f"{call}: {status}"
    names = {name.lower(): value for name, value in headers.items()}
    exhausted = "retry-after" in names or names.get("x-ratelimit-remaining") == "0"
    if status == 429 or (status == 403 and exhausted):
        return GitHubRateLimited(message)
    # PyGithub has errors without a status, or with one below 400, for answers that it does not understand.
    if 300 <= status < 500:
        return GitHubRefused(message, status)
    return GitHubUnavailable(message)
