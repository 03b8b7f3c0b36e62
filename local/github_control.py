"""The client of the local GitHub's control endpoints, for who is in another process: `make run`, end-to-end tests."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import requests

from local.github import PullRequest

if TYPE_CHECKING:
    from local.github.hooks import HookName

TIMEOUT_SECONDS = 10
SAMPLE_PULL_REQUEST = 7


def brief(run: dict[str, Any]) -> dict[str, Any]:
    """A check run as the results of a run tell it: name, conclusion, and how many annotations."""
    return {"name": run["name"], "conclusion": run["conclusion"], "annotations": len(run["annotations"])}


class GitHubControl:
    """Controls a local GitHub.

    Args:
        url: where it is.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._root = f"{url}/_local"

    def pull_request(self, number: int = SAMPLE_PULL_REQUEST) -> PullRequest:
        """The pull request as it is now."""
        return PullRequest(**self._call("GET", f"/pull_requests/{number}"))

    def page_url(self, pull_request: PullRequest) -> str:
        """The address of a pull request's page, for people."""
        return f"{self._url}/{pull_request.full_name}/pull/{pull_request.number}"

    def page(self, pull_request: PullRequest) -> bytes:
        """The page without its buttons: it is to be read when nothing runs any more."""
        response = requests.get(self.page_url(pull_request), params={"buttons": "no"}, timeout=60)
        response.raise_for_status()
        return response.content

    def open_pull_request(self, files: dict[str, str | None]) -> PullRequest:
        """A new pull request that writes these files; None deletes one."""
        return PullRequest(**self._call("POST", "/pull_requests", {"files": files}))

    def push(self, number: int = SAMPLE_PULL_REQUEST) -> str:
        """Adds a commit to a pull request's head; returns its SHA."""
        sha: str = self._call("POST", "/push", {"number": number})["sha"]
        return sha

    def change_base(self, ref: str, number: int = SAMPLE_PULL_REQUEST) -> PullRequest:
        """Changes a pull request's base to another branch, made if there is none; returns what it was before."""
        return PullRequest(**self._call("POST", f"/pull_requests/{number}/base", {"ref": ref}))

    def rename(self, full_name: str) -> None:
        """Gives the repository another ``owner/name``; requests for the former one are redirected."""
        self._call("POST", "/rename", {"full_name": full_name})

    def revoke(self, token: str | None = None) -> str:
        """Takes every token back; returns the one that is good from now on, which may be given."""
        new: str = self._call("POST", "/revoke", {"token": token} if token else {})["token"]
        return new

    def requests(self) -> list[dict[str, Any]]:
        """Every request that was answered, oldest first: method, path, status."""
        requests: list[dict[str, Any]] = self._call("GET", "/requests")
        return requests

    def statuses(self) -> list[dict[str, Any]]:
        """All that commits were given to show, oldest first: each status, and each state of a check run, as one."""
        statuses: list[dict[str, Any]] = self._call("GET", "/statuses")
        return statuses

    def check_runs(self) -> list[dict[str, Any]]:
        """Every check run as it is now, oldest first, with its annotations."""
        runs: list[dict[str, Any]] = self._call("GET", "/check_runs")
        return runs

    def fork(self, number: int, *, gone: bool = False) -> PullRequest:
        """Has a pull request come from a fork, or from one that is gone; returns it as it is then."""
        return PullRequest(**self._call("POST", f"/pull_requests/{number}/fork", {"gone": gone}))

    def close(self, number: int) -> PullRequest:
        """Closes a pull request; nothing is delivered. As before."""
        return PullRequest(**self._call("POST", f"/pull_requests/{number}/close", {}))

    def draft(self, number: int, *, draft: bool = True) -> PullRequest:
        """Makes a pull request a draft, or ready for review; nothing is delivered. As before."""
        return PullRequest(**self._call("POST", f"/pull_requests/{number}/draft", {"draft": draft}))

    def press_rerun(self, run: int, login: str = "octocat") -> str:
        """Presses *Re-run* of a check run, as somebody; returns the delivery's GUID."""
        guid: str = self._call("POST", f"/check_runs/{run}/rerun", {"login": login})["guid"]
        return guid

    def tell(self, run: int, action: str) -> str:
        """Sends what GitHub sends to an App of its own check run: it was ``created``, or ``completed``; as before."""
        guid: str = self._call("POST", f"/check_runs/{run}/events/{action}", {})["guid"]
        return guid

    def press_rerun_all(self, sha: str, login: str = "octocat") -> str:
        """Presses *Re-run all checks* of a commit; as before."""
        guid: str = self._call("POST", f"/commits/{sha}/rerun", {"login": login})["guid"]
        return guid

    def press(self, run: int, identifier: str, login: str = "octocat") -> str:
        """Presses a button of a check run's own; as before."""
        guid: str = self._call("POST", f"/check_runs/{run}/buttons/{identifier}", {"login": login})["guid"]
        return guid

    def permit(self, login: str, permission: str) -> None:
        """What somebody may do with the repository from now on, in GitHub's word."""
        self._call("PUT", f"/permissions/{login}", {"permission": permission})

    def fail(self, **fault: Any) -> None:
        """Makes requests fail; the fields are those of ``local.github.Fault``."""
        self._call("POST", "/faults", fault)

    def faults(self) -> list[dict[str, Any]]:
        """The faults since they were cleared, in order: method, path, and ``met``, the requests that each has met."""
        faults: list[dict[str, Any]] = self._call("GET", "/faults")
        return faults

    def clear_faults(self) -> None:
        """Makes requests succeed again."""
        self._call("DELETE", "/faults")

    def set_hook(self, url: str, secret: str, *, hook: HookName = "repository", timeout: float = 10.0) -> None:
        """Says where a hook's deliveries go: to ``url``, signed with ``secret``, given up after ``timeout`` seconds."""
        self._call("PUT", f"/hooks/{hook}", {"url": url, "secret": secret, "timeout": timeout})

    def deliver(
        self,
        body: bytes,
        *,
        hook: HookName = "repository",
        event: str = "pull_request",
        guid: str | None = None,
        ago: float = 0,
    ) -> dict[str, Any]:
        """Has the local GitHub sign and send an event, once.

        Args:
            body: the payload, in UTF-8; sent as it is.
            hook: the repository's or the App's; ``set_hook`` says where it is.
            event: the event's name.
            guid: the delivery's; None for a new one.
            ago: dates the delivery back by so many seconds, so that a sweep need not wait for it to settle.

        Returns:
            The delivery as GitHub's API lists it.
        """
        fields = {"event": event, "body": body.decode(), "ago": ago} | ({"guid": guid} if guid else {})
        delivery: dict[str, Any] = self._call(
            # It answers when the hook has.
            "POST",
            f"/hooks/{hook}/deliveries",
            fields,
            timeout=3 * TIMEOUT_SECONDS,
        )
        return delivery

    def deliveries(self, hook: HookName = "repository", *, timeout: float = TIMEOUT_SECONDS) -> list[dict[str, Any]]:
        """A hook's deliveries, newest first, after the redeliveries that were asked for have ended.

        Raises:
            TimeoutError: some have not ended within so many seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            answer = self._call("GET", f"/hooks/{hook}/deliveries")
            if not answer["pending"]:
                deliveries: list[dict[str, Any]] = answer["deliveries"]
                return deliveries
            if time.monotonic() > deadline:
                raise TimeoutError("redeliveries are still under way")
            time.sleep(0.05)

    def _call(self, method: str, path: str, body: Any = None, *, timeout: float = TIMEOUT_SECONDS) -> Any:
        response = requests.request(method, self._root + path, json=body, timeout=timeout)
        response.raise_for_status()
        return response.json()
