"""The local environment's command line: ``python -m local --help``."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import psutil

from local.progress import Progress
from local.replay.options import ReplayOptions
from local.replay.options import add_arguments as add_replay_arguments
from local.stack import PROJECT, DeploymentError, LocalStack, StackInfo, tidy
from local.trace.options import add_arguments as add_trace_arguments


def main() -> int:
    """Runs one command; returns its exit code: 0 done, 1 failed, 2 used wrongly, 130 interrupted."""
    options = parser().parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    progress = Progress()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return run(options, progress)
    except KeyboardInterrupt:
        progress.console.print("interrupted; everything is stopped")
        return 130
    except (DeploymentError, RuntimeError, OSError) as error:
        progress.console.print(f"[red]error:[/] {error}", soft_wrap=True)
        return 1


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    whole = argparse.ArgumentParser(prog="python -m local", description="Pullback on one machine.")
    whole.add_argument(
        "--directory", type=Path, default=PROJECT / ".local", help="where the stack keeps its files (default: .local)"
    )
    commands = whole.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="start, deliver synchronize and build, report, stop")
    commands.add_parser("up", help="start and leave running")
    commands.add_parser("down", help="stop what `up` started")
    trigger = commands.add_parser(
        "trigger",
        help="sign and send one delivery, to the running stack or to PULLBACK_URL with PULLBACK_SECRET",
        description="The secret comes from the environment (PULLBACK_SECRET), not from the command line, "
        "which every user of the machine can read.",
    )
    trigger.add_argument("--action", default="synchronize", help="a sample of events/ (default: synchronize)")
    trigger.add_argument("--event", type=Path, help="send this payload instead, as it is")
    trigger.add_argument("--delivery-id", help="send again under an id that was used before")
    replay = commands.add_parser(
        "replay",
        help="list dead work, or start it again",
        description="Without a selection: lists what is dead. With one: shows what would be replayed, asks, and does.",
    )
    add_replay_arguments(replay)
    add_trace_arguments(commands.add_parser("trace", help="show one delivery as a waterfall, here and as a page"))
    chaos = commands.add_parser("chaos", help="the fault drill: every fault of the table, and what must hold")
    chaos.add_argument("--only", help="regular expression: only the faults whose name it finds")
    alarms = commands.add_parser("alarm-drill", help="break the stack until every alarm has fired, and mend it again")
    alarms.add_argument("--only", help="regular expression: only the faults whose name or alarms it finds")
    load = commands.add_parser("load", help="the load drill: many deliveries, each followed to its end")
    load.add_argument("--n", type=positive, default=1000, help="deliveries (default: 1000)")
    commands.add_parser("docs", help="write docs/metrics.md from the catalogue of metrics")
    dashboard = commands.add_parser("dashboard", help="traffic of every kind, and a page of the CloudWatch dashboard")
    dashboard.add_argument("--out", metavar="FILE", type=Path, help="the page (default: .local/dashboard.html)")
    commands.add_parser("pictures", help="the README's pictures, from the pages that dashboard and trace wrote")
    commands.add_parser("record", help="write what load and fuzz found into docs/reliability.md")
    return whole


def run(options: argparse.Namespace, progress: Progress) -> int:  # noqa: C901 - one case a command
    """Runs the command that the options name. Each imports what only it needs."""
    directory: Path = options.directory
    if options.command in ("run", "up", "load", "chaos", "alarm-drill"):
        refuse_if_running(directory)
    match options.command:
        case "run":
            from local.run import run as run_once

            return run_once(directory, progress)
        case "up":
            return up(directory, progress)
        case "down":
            return down(directory, progress)
        case "load":
            from local.load import load

            return load(directory, progress, options.n)
        case "docs":
            from local.docs import docs

            return docs(progress)
        case "record":
            from local.record import record

            return record(directory, progress)
        case "chaos":
            from local.chaos import chaos

            return chaos(directory, progress, options.only)
        case "alarm-drill":
            from local.alarm_drill.drill import alarm_drill

            return alarm_drill(directory, progress, options.only)
        case "dashboard":
            from local.dashboard.command import dashboard

            return dashboard(directory, progress, options.out, running(directory))
        case "pictures":
            from local.dashboard.pictures import pictures

            return pictures(directory, progress)
        case "replay":
            from local.replay.command import replay

            return replay(directory, progress, ReplayOptions.of(options))
        case "trace":
            from local.trace.command import trace

            return trace(directory, progress, options.delivery, options.stack, options.out, options.hours)
        case _:
            from local.trigger import trigger

            return trigger(directory, progress, options.action, options.event, options.delivery_id)


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


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
    progress.console.print(
        f"\n  webhook  {info.webhook_url}\n  secret   {info.webhook_secret}\n  AWS      {info.aws_endpoint_url}"
        f"\n  GitHub   {info.github_url}\n  all of it in {stack.info_file}"
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


if __name__ == "__main__":
    sys.exit(main())
