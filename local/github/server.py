"""The local GitHub as a server in a thread of this process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self

from werkzeug.serving import WSGIRequestHandler, make_server

from local.github import sample
from local.github.api import create_app
from local.github.bodies import Bodies, Status
from local.github.deliveries import TIMEOUT_SECONDS
from local.github.faults import Fault
from local.github.hooks import Hook
from local.github.repository import GitRepository
from local.github.state import Request, State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from local.github.hooks import Delivery, HookName
    from local.github.model import FileContent, PullRequest

HOST = "127.0.0.1"


class LocalGitHub:
    """GitHub's REST API over the sample repository, on the loopback address.

    A context manager that serves between enter and exit. Statuses, faults and the log of requests live as long as
    the object; the git repository stays in its directory.

    Args:
        directory: where the repository is, or is made at first use.
        token: what clients must send; every other token is refused unless it was issued to an installation.
        port: 0 for any free one.
    """

    def __init__(self, directory: Path, *, token: str, port: int = 0) -> None:
        self.token = token
        self._repository = GitRepository(directory)
        self._state = State(self._repository, token)
        self._server = make_server(HOST, port, _not_ready, threaded=True, request_handler=_QuietHandler)
        self.api_url = f"http://{HOST}:{self._server.server_port}"
        self._server.app = create_app(self._state, Bodies(api=self.api_url, html=self.api_url))
        self._thread = threading.Thread(target=self._server.serve_forever, name="local-github", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._state.hooks.wait(TIMEOUT_SECONDS)
        self._server.server_close()

    @property
    def pull_request(self) -> PullRequest:
        """The sample pull request, with its present head."""
        return self._repository.pull_requests()[sample.NUMBER]

    def open_pull_request(self, files: Mapping[str, FileContent], *, title: str = "A change") -> PullRequest:
        """Open another pull request: one commit with these files; None deletes a file."""
        return self._repository.open_pull_request(files, title=title)

    def push(self, files: Mapping[str, FileContent] | None = None, *, number: int = sample.NUMBER) -> str:
        """Push a commit to a pull request, so that its head moves on.

        Args:
            files: what changes; None for a line of the changelog.
            number: the pull request's.

        Returns:
            The new head's SHA.
        """
        return self._repository.push(number, files)

    def change_base(self, number: int, ref: str) -> PullRequest:
        """Change a pull request's base to another branch, made if there is none; returns what it was before."""
        return self._repository.change_base(number, ref)

    def rename(self, full_name: str) -> None:
        """Give the repository another ``owner/name``; requests for the former one are redirected."""
        self._repository.rename(full_name)

    def revoke(self, token: str | None = None) -> str:
        """Take every token back; returns the one that is configured from now on, which may be given."""
        self.token = self._state.revoke(token)
        return self.token

    def read(self, ref: str, path: str) -> bytes:
        """A file's content at a branch or commit."""
        return self._repository.read(ref, path)

    def statuses(self) -> list[Status]:
        """The statuses that were reported, in order."""
        return self._state.statuses()

    def requests(self) -> list[Request]:
        """The requests that were answered, in order."""
        return self._state.requests()

    def fail(self, fault: Fault | None = None, /, **fields: Any) -> None:
        """Put a fault in force: ``fail(status=502, times=2)``, ``fail(Fault.rate_limit(seconds=30))``."""
        self._state.faults.add(fault or Fault(**fields))

    def clear_faults(self) -> None:
        self._state.faults.clear()

    def set_hook(
        self, url: str, secret: str, *, hook: HookName = "repository", timeout: float = TIMEOUT_SECONDS
    ) -> None:
        """Say where a hook's deliveries go: to ``url``, signed with ``secret``, given up after ``timeout`` seconds."""
        self._state.hooks.set(hook, Hook(url, secret, timeout))

    def deliver(
        self,
        body: bytes,
        *,
        hook: HookName = "repository",
        event: str = "pull_request",
        guid: str | None = None,
        ago: float = 0,
    ) -> Delivery:
        """Deliver an event to a hook and wait for the answer; ``ago`` dates it back by so many seconds."""
        return self._state.hooks.deliver(hook, event, body, guid=guid, ago=ago)

    def deliveries(self, hook: HookName = "repository", *, timeout: float = TIMEOUT_SECONDS) -> list[Delivery]:
        """What a hook's deliveries came to, newest first, after the redeliveries that were asked for have ended.

        Raises:
            TimeoutError: some have not ended within so many seconds.
        """
        if not self._state.hooks.wait(timeout):
            raise TimeoutError("redeliveries are still under way")
        return self._state.hooks.list(hook)


class _QuietHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: the state keeps the requests, and without their queries."""


def _not_ready(_environ: object, _start_response: object) -> list[bytes]:
    # The application needs the port, which is known once the socket is bound; nothing is served before that.
    raise RuntimeError("not ready")
