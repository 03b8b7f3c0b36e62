"""Runs a built function under AWS's own runtime client (awslambdaric), against a Runtime API of ours on loopback.

Second evidence, besides the embedded AWS, that a package starts and answers: docs.aws.amazon.com/lambda/latest/dg,
"Using the Lambda runtime API".
"""

from __future__ import annotations

import importlib.util
import json
import queue
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TIMEOUT_SECONDS = 60.0
"""For each event, the start of the process included."""
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8"
"""Sampled where the environment has an X-Ray daemon."""
END_SECONDS = 10.0
"""From SIGTERM to SIGKILL."""
CLIENT = ("awslambdaric", "simplejson", "snapshot_restore_py", "runtime_client")
"""What the runtime client consists of. The function sees nothing else of the environment."""


@dataclass(frozen=True)
class Answer:
    """What a function answered to one event.

    Args:
        kind: ``response``, ``error``, or ``init/error`` when it could not even be started.
        body: what it sent, as JSON.
        log: what it wrote meanwhile.
    """

    kind: str
    body: Any
    log: str


class Server(ThreadingHTTPServer):
    """Serves a function that is ended with its connections open."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of those."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class RuntimeFailed(Exception):
    """The function's process ended, or did not answer in time; the message holds the end of its log."""


def run(
    handler: str,
    paths: Sequence[Path],
    events: Sequence[Any],
    environ: Mapping[str, str],
    prefix: Sequence[str] = (),
) -> list[Answer]:
    """Starts a function, hands it events one after the other, and stops it.

    Args:
        handler: such as ``webhook.handler.lambda_handler``.
        paths: the function's own directory, then its layers', as they come on the path.
        events: JSON values.
        environ: of its process, whole.
        prefix: put before the command; whatever measures it is told of its end by SIGTERM.

    Returns:
        An answer for each event; fewer where it could not be started.

    Raises:
        RuntimeFailed: see there.
    """
    waiting: queue.Queue[Any] = queue.Queue()
    answers: queue.Queue[tuple[str, bytes]] = queue.Queue()
    server = Server(("127.0.0.1", 0), _handler(waiting, answers, environ))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found: list[Answer] = []
    with TemporaryDirectory() as directory:
        client = Path(directory, "client")
        _link_client(client)
        log = Path(directory, "log")
        whole = {
            **environ,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
            "LAMBDA_TASK_ROOT": str(paths[0]),
            "_HANDLER": handler,
            "PYTHONPATH": ":".join(str(path) for path in (*paths, client)),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with (
            log.open("wb") as out,
            subprocess.Popen(
                [*prefix, sys.executable, "-S", "-m", "awslambdaric", handler],
                cwd=paths[0],
                env=whole,
                stdout=out,
                stderr=out,
            ) as process,
        ):
            try:
                for event in events:
                    waiting.put(event)
                    kind, body = _answer(answers, process, log)
                    found.append(Answer(kind, json.loads(body or b"null"), log.read_text(errors="replace")))
                    if kind == "init/error":
                        break
            finally:
                _end(process)
                server.shutdown()
                server.server_close()
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _answer(answers: queue.Queue[tuple[str, bytes]], process: subprocess.Popen[bytes], log: Path) -> tuple[str, bytes]:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        try:
            return answers.get(timeout=0.05)
        except queue.Empty:
            if process.poll() is not None and answers.empty():
                raise RuntimeFailed(f"it ended with {process.returncode}: {_tail(log)}") from None
    raise RuntimeFailed(f"no answer within {TIMEOUT_SECONDS:.0f} s: {_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


def _link_client(directory: Path) -> None:
    """A directory with the runtime client and nothing else."""
    directory.mkdir()
    for name in CLIENT:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            raise RuntimeFailed(f"{name} is not installed")
        origin = Path(found.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (directory / source.name).symlink_to(source)


def _handler(
    waiting: queue.Queue[Any], answers: queue.Queue[tuple[str, bytes]], environ: Mapping[str, str]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            event = json.dumps(waiting.get()).encode()
            self.send_response(200)
            for name, value in {
                "Lambda-Runtime-Aws-Request-Id": str(uuid.uuid4()),
                "Lambda-Runtime-Deadline-Ms": str(round((time.time() + 60) * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": f"arn:aws:lambda:us-east-1:123456789012:function:"
                f"{environ.get('AWS_LAMBDA_FUNCTION_NAME', 'function')}:live",
                "Lambda-Runtime-Trace-Id": f"{TRACE};Sampled={int('AWS_XRAY_DAEMON_ADDRESS' in environ)}",
                "Content-Type": "application/json",
                "Content-Length": str(len(event)),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(event)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kind = "init/error" if self.path.endswith("/init/error") else self.path.rpartition("/")[2]
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()
            answers.put((kind, body))

        def log_message(self, *_: object) -> None:
            pass

    return Handler
