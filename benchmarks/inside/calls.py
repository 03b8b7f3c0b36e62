"""Calls a handler many times in one process, as a warm function is called, each time with another delivery.

    python calls.py MODULE EVENT --calls 100 [--stub transport|calls] [--sampled] [--shares]

Prints, as JSON, the CPU time of a call in milliseconds; with ``--shares`` how often each package was at work when a
timer of CPU time went off. What a package does of the standard library is its own.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aws  # type: ignore[import-not-found] # beside this file, which is run as a script

if TYPE_CHECKING:
    from types import FrameType

WARM_UP = 10
"""Calls before the clock runs: they make what a process makes once."""
TICK_SECONDS = 0.001


class Context:
    """Lambda's context object."""

    function_name = "function"
    function_version = "1"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:function:live"
    memory_limit_in_mb = "512"
    aws_request_id = "52fdfc07-2182-454f-963f-5f0f9a621d72"

    def get_remaining_time_in_millis(self) -> int:
        return 10_000


class Shares:
    """Counts which package was at work, tick by tick of CPU time."""

    def __init__(self) -> None:
        self.ticks: collections.Counter[str] = collections.Counter()
        self._roots = [f"{path}/" for path in sys.path if path and "/lib/python" not in path]

    def __enter__(self) -> Shares:
        signal.signal(signal.SIGPROF, lambda _, frame: self._tick(frame))
        signal.setitimer(signal.ITIMER_PROF, TICK_SECONDS, TICK_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _tick(self, frame: FrameType | None) -> None:
        while frame is not None:
            name = frame.f_code.co_filename
            for root in self._roots:
                if name.startswith(root):
                    self.ticks[name[len(root) :].partition("/")[0].removesuffix(".py")] += 1
                    return
            frame = frame.f_back


def main() -> None:
    """Calls the handler, and prints what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("module")
    parser.add_argument("event", type=Path)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--stub", choices=("transport", "calls"), default="transport")
    parser.add_argument("--sampled", action="store_true")
    parser.add_argument("--shares", action="store_true")
    options = parser.parse_args()
    out = sys.stdout
    # Loggers take it when they are made.
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - to the end of the process
    handler = importlib.import_module(options.module).lambda_handler
    if "botocore" in sys.modules:
        aws.stub_transport() if options.stub == "transport" else aws.stub_calls()
    event = json.loads(options.event.read_bytes())
    root = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8"

    def call(number: int) -> None:
        os.environ["_X_AMZN_TRACE_ID"] = f"{root};Sampled={int(options.sampled)}"
        headers = {**event["headers"], "X-GitHub-Delivery": f"72d3162e-cc78-11e3-81ab-{number:012x}"}
        answer: Any = handler({**event, "headers": headers}, Context())
        if answer["statusCode"] != 202:
            sys.exit(f"{options.module} answered {answer}")

    for number in range(WARM_UP):
        call(number)
    shares = Shares()
    began = time.process_time()
    if options.shares:
        with shares:
            for number in range(options.calls):
                call(WARM_UP + number)
    else:
        for number in range(options.calls):
            call(WARM_UP + number)
    milliseconds = (time.process_time() - began) * 1000 / max(1, options.calls)
    print(json.dumps({"milliseconds": milliseconds, "ticks": shares.ticks}), file=out, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
