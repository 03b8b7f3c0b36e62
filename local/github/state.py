"""What the local GitHub remembers besides git: statuses, tokens, deliveries, and who asked for what. In memory only."""

from __future__ import annotations

import hmac
import secrets
import threading
from collections import deque
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, Literal

from local.github.bodies import Status
from local.github.checks import Checks
from local.github.faults import Faults
from local.github.hooks import Hooks
from local.github.model import timestamp

if TYPE_CHECKING:
    from local.github.checks import CheckRun
    from local.github.repository import GitRepository

INSTALLATION_TOKEN_SECONDS = 3600
"""Life of an installation token: docs.github.com, "Generating an installation access token"."""
ARCHIVE_TICKET_SECONDS = 300
"""Life of an archive's address: docs.github.com, "Download a repository archive (tar)"."""
RATE_LIMIT = 5000
"""Requests an hour that an installation has."""
STATUSES_MAX = 1000
"""Statuses for one commit and context: docs.github.com, "Create a commit status"."""
REQUESTS_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it was answered. Neither headers nor the query are kept: both may carry tokens."""

    method: str
    path: str
    status: int


STATES = {
    "success": "success",
    "neutral": "success",
    "skipped": "success",
    "failure": "failure",
    "action_required": "failure",
    "cancelled": "error",
    "timed_out": "error",
    "stale": "error",
}
"""A check run's conclusion, as a status would say it."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a commit shows from some moment on: a status, or a check run in the words of one."""

    kind: Literal["status", "check run"]
    sha: str
    context: str
    state: str
    description: str | None
    target_url: str | None
    created_at: str
    id: int


class TooManyStatusesError(Exception):
    """The commit has all the statuses of this context that it may have."""


class State:
    """Shared by the server's threads."""

    def __init__(self, repository: GitRepository, token: str) -> None:
        self.repository = repository
        self.faults = Faults()
        self.hooks = Hooks()
        self.checks = Checks(self._show)
        self._shown: list[Shown] = []
        self.permissions = {"octocat": "admin"}
        self._lock = threading.Lock()
        self._token = token
        self._tokens: dict[str, float] = {}
        self._tickets: dict[str, tuple[str, float]] = {}
        self._statuses: list[Status] = []
        self._requests: deque[Request] = deque(maxlen=REQUESTS_KEPT)
        self._used = 0
        self._reset = int(time()) + 3600

    def statuses(self, sha: str | None = None) -> list[Status]:
        """The statuses in the order of their arrival, of one commit or of all."""
        with self._lock:
            return [status for status in self._statuses if sha in {None, status.sha}]

    def add_status(
        self, sha: str, *, state: str, context: str, description: str | None, target_url: str | None
    ) -> Status:
        """Remember a status.

        Raises:
            TooManyStatusesError: see STATUSES_MAX.
        """
        with self._lock:
            if sum(1 for known in self._statuses if (known.sha, known.context) == (sha, context)) >= STATUSES_MAX:
                raise TooManyStatusesError
            number = 31_000_000_001 + len(self._statuses)
            status = Status(number, sha, state, context, description, target_url, timestamp(time()))
            self._statuses.append(status)
            self._shown.append(
                Shown("status", sha, context, state, description, target_url, status.created_at, status.id)
            )
            return status

    def shown(self) -> list[Shown]:
        """All that commits were given to show, in order: each status, and each state of a check run."""
        with self._lock:
            return list(self._shown)

    def _show(self, run: CheckRun) -> None:
        state = STATES[run.conclusion] if run.conclusion else "pending"
        at = run.completed_at or run.created_at
        with self._lock:
            self._shown.append(Shown("check run", run.sha, run.name, state, run.title, run.details_url, at, run.id))

    def requests(self) -> list[Request]:
        """The requests in the order of their answers, the control endpoints' own left out."""
        with self._lock:
            return list(self._requests)

    def record(self, request: Request) -> None:
        with self._lock:
            self._requests.append(request)

    def knows(self, token: str) -> bool:
        """Whether the token opens the API: the configured one, or one issued here that still lives."""
        with self._lock:
            expires_at, configured = self._tokens.get(token, 0), self._token
        return expires_at > time() or hmac.compare_digest(token.encode(), configured.encode())

    def is_installation(self, token: str) -> bool:
        """Whether the token is one that was issued to the App's installation."""
        with self._lock:
            return self._tokens.get(token, 0) > time()

    def revoke(self, token: str | None = None) -> str:
        """Takes every token back; what is issued from now on is good again.

        Args:
            token: the new one that people configure; None for a random one.

        Returns:
            It.
        """
        with self._lock:
            self._tokens.clear()
            self._token = token or f"ghp_{secrets.token_hex(18)}"
            return self._token

    def issue_token(self) -> tuple[str, float]:
        """A new installation token, and when it expires (seconds since the epoch)."""
        token = f"ghs_{secrets.token_hex(18)}"
        expires_at = time() + INSTALLATION_TOKEN_SECONDS
        with self._lock:
            self._tokens[token] = expires_at
        return token, expires_at

    def issue_ticket(self, sha: str) -> str:
        """A ticket that opens one commit's archive for a short time, as codeload's addresses hold it."""
        ticket = secrets.token_urlsafe(18)
        with self._lock:
            self._tickets[ticket] = (sha, time() + ARCHIVE_TICKET_SECONDS)
        return ticket

    def opens(self, ticket: str, sha: str) -> bool:
        with self._lock:
            ticket_sha, expires_at = self._tickets.get(ticket, ("", 0.0))
        return ticket_sha == sha and expires_at > time()

    def rate(self, *, use: int = 0) -> dict[str, int]:
        """The rate limit after ``use`` more requests. It is shown, never enforced: a fault does that."""
        with self._lock:
            if time() >= self._reset:
                self._used, self._reset = 0, int(time()) + 3600
            self._used = min(self._used + use, RATE_LIMIT)
            return {
                "limit": RATE_LIMIT,
                "used": self._used,
                "remaining": RATE_LIMIT - self._used,
                "reset": self._reset,
            }
