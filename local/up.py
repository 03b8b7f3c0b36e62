"""`make up` and `make down`: a stack that is left running."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

import psutil

from local.github_control import GitHubControl
from local.stack import LocalStack, StackInfo, tidy

if TYPE_CHECKING:
    from pathlib import Path

    from local.progress import Progress


def running(directory: Path) -> StackInfo | None:
    """The stack that runs in this directory."""
    file = directory / "stack.json"
    info = StackInfo.load(file) if file.exists() else None
    return info if info is not None and _servers(info.pids) else None


def refuse_if_running(directory: Path) -> None:
    """Raises RuntimeError when a stack runs in this directory: another one would take its files away."""
    if running(directory) is not None:
        raise RuntimeError("a stack runs here; `make down` stops it")


def up(directory: Path, progress: Progress) -> int:
    """Starts the stack and leaves it running."""
    stack = LocalStack(directory, progress, detached=True)
    try:
        stack.start()
    except BaseException:
        stack.stop()
        raise
    info = stack.info
    github = GitHubControl(info.github_url)
    progress.console.print(
        f"\n  webhook  {info.webhook_url}\n  secret   {info.webhook_secret}\n  AWS      {info.aws_endpoint_url}"
        f"\n  GitHub   {info.github_url}\n  page     {github.page_url(github.pull_request())}"
        f"\n  all of it in {stack.info_file}"
        "\n\n  make trigger ACTION=build    sends a delivery\n  make down                    stops the stack",
        markup=False,
        soft_wrap=True,
    )
    return 0


def down(directory: Path, progress: Progress) -> int:
    """Stops a stack that was left running."""
    file = directory / "stack.json"
    if not file.exists():
        progress.console.print("no stack runs in this directory")
        return 0
    pids = StackInfo.load(file).pids
    for signum, patience in ((signal.SIGTERM, 8.0), (signal.SIGKILL, 2.0)):
        for pid in _servers(pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)
        deadline = time.monotonic() + patience
        while _servers(pids) and time.monotonic() < deadline:
            time.sleep(0.1)
    tidy(directory)
    progress.console.print("stopped")
    return 0


def _servers(pids: list[int]) -> list[int]:
    """Those of the processes that run and are servers of a stack: a number may be somebody else's by now."""
    servers = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process = psutil.Process(pid)
            is_server = {"local.engine", "local.github"} & set(process.cmdline())
            if is_server and process.status() != psutil.STATUS_ZOMBIE:
                servers.append(pid)
    return servers
