"""What a start costs: the imports and what they make, and the same under AWS's runtime client with the first call."""

from __future__ import annotations

import re
import statistics
import sys
import threading
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from benchmarks import runtime_api
from benchmarks.events import task_event, webhook_event
from benchmarks.inside import aws
from benchmarks.measure import in_turns, metered
from benchmarks.packages import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import Console

    from benchmarks.measure import Kind
    from benchmarks.packages import Package

STARTED = ("webhook", "bare webhook", "usual webhook", "task", "bare task", "processor", "bare processor")
CALLED = ("webhook", "bare webhook", "task", "bare task")
SHARE_RUNS = 9
_IMPORTED = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)")


def starts(packages: Mapping[str, Package], kind: Kind, rounds: int, console: Console) -> dict[str, list[float]]:
    """Of each, to the end of the imports. The end of the interpreter, which no function sees, is left out."""

    def cost(package: Package) -> float:
        script = f"import importlib, os; importlib.import_module({package.module!r}); os._exit(0)"
        with metered(kind) as meter:
            run([*meter.prefix, *package.command("-P", "-c", script)], package.environ())
        return meter.cost

    measures = {name: partial(cost, packages[name]) for name in STARTED}
    return in_turns(measures, kind, rounds, console, "start")


def first_calls(packages: Mapping[str, Package], kind: Kind, rounds: int, console: Console) -> dict[str, list[float]]:
    """Of each, from the start of AWS's runtime client to its answer to the first event."""
    events = {"webhook": webhook_event(), "task": task_event()}

    def cost(package: Package, endpoint: str) -> float:
        event = events[package.name.rpartition(" ")[2]]
        environ = package.environ(AWS_ENDPOINT_URL=endpoint)
        with metered(kind) as meter:
            handler = f"{package.module}.lambda_handler"
            (answer,) = runtime_api.run(handler, package.paths, [event], environ, prefix=meter.prefix)
        body: Any = answer.body if answer.kind == "response" else {}
        if (body.get("statusCode"), body.get("result")) not in ((202, None), (None, "dispatched")):
            sys.exit(f"{package.name} answered {answer.body}: {answer.log[-2000:]}")
        return meter.cost

    with _aws() as endpoint:
        measures = {name: partial(cost, packages[name], endpoint) for name in CALLED}
        return in_turns(measures, kind, rounds, console, "start and first call")


def shares(packages: Mapping[str, Package], console: Console) -> dict[str, dict[str, float]]:
    """Milliseconds of each start by package, as Python's ``-X importtime`` tells them: the median of the runs."""
    console.print("  … start, by package")
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in STARTED}
    for _ in range(SHARE_RUNS):
        for name in STARTED:
            package = packages[name]
            command = package.command("-P", "-X", "importtime", "-c", f"import os, {package.module}; os._exit(0)")
            runs[name].append(by_package(run(command, package.environ()).stderr))
    return {
        name: {
            one: statistics.median(taken.get(one, 0.0) for taken in counted) for one in sorted(set().union(*counted))
        }
        for name, counted in runs.items()
    }


def by_package(importtime: str) -> dict[str, float]:
    """Milliseconds by top-level package, from what ``-X importtime`` writes."""
    found: dict[str, float] = {}
    for microseconds, module in _IMPORTED.findall(importtime):
        top = module.partition(".")[0]
        found[top] = found.get(top, 0.0) + int(microseconds) / 1000
    return found


@contextmanager
def _aws() -> Iterator[str]:
    """AWS on loopback, for as much as the first calls ask."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, content = aws.answer(aws.operation_of(self.headers.get("X-Amz-Target"), self.path), body)
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = runtime_api.Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
