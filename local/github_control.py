"""The client of the local GitHub's control endpoints, for who is in another process: `make run`, end-to-end tests."""

from __future__ import annotations

from typing import Any

import requests

from local.github import PullRequest

TIMEOUT_SECONDS = 10
SAMPLE_PULL_REQUEST = 7


class GitHubControl:
    """Controls a local GitHub.

    Args:
        url: where it is.
    """

    def __init__(self, url: str) -> None:
        self._root = f"{url}/_local"

    def pull_request(self, number: int = SAMPLE_PULL_REQUEST) -> PullRequest:
        """The pull request as it is now."""
        return PullRequest(**self._call("GET", f"/pull_requests/{number}"))

    def open_pull_request(self, files: dict[str, str | None]) -> PullRequest:
        """A new pull request that writes these files; None deletes one."""
        return PullRequest(**self._call("POST", "/pull_requests", {"files": files}))

    def push(self, number: int = SAMPLE_PULL_REQUEST) -> str:
        """Adds a commit to a pull request's head; returns its SHA."""
        sha: str = self._call("POST", "/push", {"number": number})["sha"]
        return sha

    def statuses(self) -> list[dict[str, Any]]:
        """Every commit status that was posted, oldest first."""
        statuses: list[dict[str, Any]] = self._call("GET", "/statuses")
        return statuses

    def fail(self, **fault: Any) -> None:
        """Makes requests fail; the fields are those of ``local.github.Fault``."""
        self._call("POST", "/faults", fault)

    def clear_faults(self) -> None:
        """Makes requests succeed again."""
        self._call("DELETE", "/faults")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        response = requests.request(method, self._root + path, json=body, timeout=TIMEOUT_SECONDS)
        response.raise_for_status()
        return response.json()
