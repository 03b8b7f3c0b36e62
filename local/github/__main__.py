"""``python -m local.github``: the local GitHub as a process of its own."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from local.github.server import LocalGitHub
from local.process import announce_port, exit_with_parent

TOKEN_VARIABLE = "LOCAL_GITHUB_TOKEN"  # noqa: S105 - a name


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m local.github",
        description="GitHub's REST API, as far as Pullback uses it, over a real git repository on this machine.",
        epilog=f"The token that clients must send is read from the environment variable {TOKEN_VARIABLE}.",
    )
    parser.add_argument("--directory", type=Path, required=True, help="where the repository is, or is made")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any free one)")
    parser.add_argument("--port-file", type=Path, help="file to write the port to when the server is ready")
    parser.add_argument("--exit-with-parent", action="store_true", help="stop when standard input ends")
    options = parser.parse_args(arguments)
    token = os.environ.get(TOKEN_VARIABLE)
    if not token:
        parser.error(f"{TOKEN_VARIABLE} is not set")

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if options.exit_with_parent:
        exit_with_parent()

    with LocalGitHub(options.directory, token=token, port=options.port) as github:
        if options.port_file:
            announce_port(options.port_file, int(github.api_url.rpartition(":")[2]))
        sys.stdout.write(f"GitHub is at {github.api_url}\n")
        sys.stdout.flush()
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
