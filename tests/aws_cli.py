"""The AWS CLI, in a process of its own that answers many commands.

Of its own, because it puts its own botocore in the place of everybody's; many, because it starts slowly.

    python -m tests.aws_cli --check < commands.json    says what is wrong with commands; sends nothing
    python -m tests.aws_cli --serve SOCKET             runs what comes, until its standard input is closed
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ROOT = Path(__file__).parent.parent
_SHIM = """#!{python} -IS
import json, os, socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect({address!r})
link.sendall(json.dumps([os.getcwd(), sys.argv[1:]]).encode() + b"\\n")
code, out, complaint = json.loads(link.makefile().readline())
sys.stdout.write(out)
sys.stderr.write(complaint)
sys.exit(code)
"""


def mistakes(commands: list[list[str]], directory: Path, environ: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """What the AWS CLI has to say against commands, by command. None is sent.

    Args:
        commands: their arguments.
        directory: where the files are that they name.
        environ: the environment.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.aws_cli", "--check"],
        input=json.dumps(commands),
        cwd=directory,
        env={**environ, "PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    results = zip(commands, json.loads(done.stdout), strict=True)
    return {tuple(command): f"{code}: {complaint}" for command, (code, _, complaint) in results if code}


@contextlib.contextmanager
def installed(directory: Path, environ: Mapping[str, str]) -> Iterator[None]:
    """Puts an ``aws`` into the directory that starts at once, because one process answers all of its calls.

    Args:
        directory: where it is; its path is short enough for a socket's.
        environ: the environment of the calls.
    """
    address, shim = directory / "aws.socket", directory / "aws"
    shim.write_text(_SHIM.format(python=sys.executable, address=str(address)))
    shim.chmod(0o700)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.aws_cli", "--serve", str(address)],
        env={**environ, "PYTHONPATH": str(_ROOT)},
        stdin=subprocess.PIPE,
    ) as server:
        deadline = time.monotonic() + 20
        while not address.exists():
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the AWS CLI did not start")
            time.sleep(0.05)
        yield


class _NotSentError(Exception):
    """In place of a request."""


def _answer(driver: Any, command: list[str]) -> tuple[int, str, str]:
    out, complaint = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(complaint):
        try:
            code = driver.main(command)
        except SystemExit as stopped:
            code = stopped.code
    return int(code or 0), out.getvalue(), complaint.getvalue()


def _check(driver: Any) -> None:
    sent: list[str] = []

    def stop(event_name: str, **_: Any) -> None:
        # Options and their values are checked by now, against the service's model.
        sent.append(event_name)
        raise _NotSentError

    driver.session.register("before-call", stop)
    results = []
    for command in json.load(sys.stdin):
        sent.clear()
        code, out, complaint = _answer(driver, command)
        results.append((0 if sent else code or 1, out, complaint.strip()))
    json.dump(results, sys.stdout)


def _serve(driver: Any, address: str) -> None:
    # Ends with whoever started it.
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{address}.new")
    listener.listen()
    Path(f"{address}.new").rename(address)
    while True:
        link, _ = listener.accept()
        with link, link.makefile("rw") as stream:
            directory, command = json.loads(stream.readline())
            os.chdir(directory)
            json.dump(_answer(driver, command), stream)


def main() -> None:
    """Does what the command line says."""
    from awscli.clidriver import create_clidriver

    driver = create_clidriver()
    if sys.argv[1] == "--check":
        _check(driver)
    else:
        _serve(driver, sys.argv[2])


if __name__ == "__main__":
    main()
