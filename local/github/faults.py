"""Faults on request: what GitHub, or the network before it, does on a bad day."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from time import time
from typing import Any


@dataclass(slots=True)
class Fault:
    """What goes wrong with the requests that match, before GitHub looks at them.

    With ``status`` the request has no effect. Without it the request is carried out, and only its answer is late
    (``delay``) or lost (``cut``): a client cannot tell whether its effect happened.
    """

    method: str | None = None
    """None for any."""
    path: str = ""
    """Regular expression that the path contains; the default matches all."""
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    """None for a body like GitHub's own for that status."""
    delay: float = 0
    """Seconds before the answer."""
    times: int | None = None
    """How many requests it meets; None for all until the faults are cleared."""
    cut: bool = False
    """Close the connection after half of the answer's body."""

    def __post_init__(self) -> None:
        re.compile(self.path)

    def matches(self, method: str, path: str) -> bool:
        return self.method in {None, method} and re.search(self.path, path) is not None

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


_DOCS = "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api"


class Faults:
    """The faults in force; the first one that matches a request meets it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets, counted against its ``times``."""
        with self._lock:
            for fault in self._faults:
                if fault.matches(method, path) and fault.times != 0:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None
