"""Faults on request: what GitHub, or the network before it, does on a bad day, and on an ordinary one."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from time import monotonic, time
from typing import Any, Literal

Lag = Literal["unknown", "older"]


@dataclass(slots=True)
class Fault:
    """What goes wrong with the requests that match, before GitHub looks at them.

    With ``status`` the request has no effect. Without it the request is carried out, and only its answer is late
    (``delay``), lost (``cut``) or half (``short``): a client cannot tell whether its effect happened. With ``lag``
    GitHub answers as if the newest event had not happened.
    """

    method: str | None = None
    """None for any."""
    path: str = ""
    """Regular expression that the path contains; the default matches all."""
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | str | None = None
    """An object is sent as JSON, a text as it is; None for a body like GitHub's own for that status."""
    content_type: str = "text/html; charset=utf-8"
    """Of a text."""
    delay: float = 0
    """Seconds before the answer."""
    times: int | None = None
    """How many requests it meets; None for all until the faults are cleared."""
    lasts: float | None = None
    """Seconds that it is in force, from the first request that it meets; None for without end."""
    every: int = 1
    """Meets each so many-th of the requests that match, beginning with that one."""
    cut: bool = False
    """Close the connection after half of the answer's body."""
    short: bool = False
    """Half of the answer's body, as if it were all of it."""
    lag: Lag | None = None
    """``unknown``: GitHub does not know pull requests and commits yet. Reads are answered with 404, and what names a
    commit as GitHub answers for one that it does not have, 422 for statuses. ``older``: a pull request, and its list
    of files, is as it was before its newest change. What neither says anything about is answered as ever."""
    met: int = field(default=0, init=False)
    """Requests that it has met."""
    _until: float | None = field(default=None, init=False, repr=False)
    _seen: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        re.compile(self.path)
        if self.every < 1:
            raise TypeError("every is at least 1")
        if self.lag not in {None, "unknown", "older"}:
            raise TypeError("no such lag")

    def meets(self, method: str, path: str, now: float) -> bool:
        """Whether it meets this request, which is counted. ``now``: a time of ``time.monotonic``."""
        if self.times == 0 or (self._until is not None and now >= self._until):
            return False
        if self.method not in {None, method} or re.search(self.path, path) is None:
            return False
        if self.lag and not lags(method, path, self.lag):
            return False
        self._seen += 1
        if self._seen % self.every:
            return False
        if self.times is not None:
            self.times -= 1
        if self._until is None and self.lasts is not None:
            self._until = now + self.lasts
        self.met += 1
        return True

    @classmethod
    def rate_limit(cls, *, seconds: int = 60, **match: Any) -> Fault:
        """The hourly limit is used up and comes back in so many seconds."""
        headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(time()) + seconds)}
        body = {"message": "API rate limit exceeded for installation.", "documentation_url": f"{_DOCS}#rate-limiting"}
        return cls(status=403, headers=headers, body=body, **match)

    @classmethod
    def secondary_rate_limit(cls, *, seconds: int = 60, **match: Any) -> Fault:
        """Too much at once; ask again after so many seconds."""
        body = {
            "message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
            "documentation_url": f"{_DOCS}#secondary-rate-limits",
        }
        return cls(status=429, headers={"retry-after": str(seconds)}, body=body, **match)

    @classmethod
    def lagging(cls, *, lag: Lag = "unknown", **match: Any) -> Fault:
        """GitHub's API is behind its webhook: see ``lag``."""
        return cls(lag=lag, **match)


# What an answer can lag for: pull requests, their files, archives, commits and their statuses.
_UNKNOWN = re.compile(
    r"/(pulls/\d+(/files)?|(tarball|commits|statuses|contents|check-runs)/.+|check-runs|legacy\.tar\.gz/.+)$"
)
_OLDER = re.compile(r"/pulls/\d+(/files)?$")


def lags(method: str, path: str, lag: Lag) -> bool:
    """Whether the answer to such a request is another one while GitHub lags so."""
    if lag == "older":
        return method == "GET" and _OLDER.search(path) is not None
    return _UNKNOWN.search(path) is not None


_DOCS = "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api"


class Faults:
    """The faults in force; the first one that matches a request meets it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def list(self) -> list[Fault]:
        """The faults that were added since they were cleared, those that are over among them."""
        with self._lock:
            return list(self._faults)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets, counted against its ``times``."""
        now = monotonic()
        with self._lock:
            return next((fault for fault in self._faults if fault.meets(method, path, now)), None)
