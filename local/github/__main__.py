"""``python -m local.github``: the local GitHub as a process of its own."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from local.github.server import LocalGitHub

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
        threading.Thread(target=_wait_for_end_of_input, args=(stop,), daemon=True).start()

    with LocalGitHub(options.directory, token=token, port=options.port) as github:
        if options.port_file:
            _write_whole(options.port_file, github.api_url.rpartition(":")[2])
        sys.stdout.write(f"GitHub is at {github.api_url}\n")
        sys.stdout.flush()
        stop.wait()
    return 0


def _wait_for_end_of_input(stop: threading.Event) -> None:
    # Not through sys.stdin: a daemon thread that waits in there holds a lock which the interpreter wants at its end.
    while os.read(0, 1024):
        pass
    stop.set()


def _write_whole(file: Path, text: str) -> None:
    """Write so that a reader sees nothing or all of it."""
    scratch = file.with_name(f"{file.name}.tmp")
    scratch.write_text(text + "\n", encoding="utf-8")
    scratch.replace(file)


if __name__ == "__main__":
    sys.exit(main())
