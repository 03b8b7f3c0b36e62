"""The command line: ``pullback --help``, or ``python -m pullback --help``."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import Any

from local.progress import Progress
from local.stack import PROJECT, DeploymentError
from local.up import down, refuse_if_running, running, up
from ops.replay.options import ReplayOptions
from ops.replay.options import add_arguments as add_replay_arguments
from ops.trace.options import add_arguments as add_trace_arguments

OPERATE = "operate it (a deployed stack, or the one here)"
GROUPS = {
    "run it here": ("run", "up", "down", "trigger"),
    OPERATE: ("deploy", "replay", "trace", "dashboard"),
    "drill it": ("chaos", "alarm-drill", "load"),
}
"""What ``--help`` shows, in this order. Every other command is for who works on Pullback, and comes last."""
OTHERS = "write what the docs show"
ANYWHERE = ("replay", "trace")
"""What works for a deployed stack without a checkout of Pullback."""


class Commands:
    """Commands that ``--help`` lists in groups, which argparse cannot.

    Args:
        subparsers: argparse's.
    """

    def __init__(self, subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        self._subparsers = subparsers
        self._helps: dict[str, str] = {}

    # ``help`` is argparse's own name for it.
    def add_parser(self, name: str, *, help: str, **options: Any) -> argparse.ArgumentParser:  # noqa: A002
        """A command; as argparse has it."""
        self._helps[name] = help
        return self._subparsers.add_parser(name, **options)

    def listing(self) -> str:
        """All commands, group by group."""
        named = {name for names in GROUPS.values() for name in names}
        groups = GROUPS | {OTHERS: tuple(name for name in self._helps if name not in named)}
        return "\n\n".join(
            "\n".join([f"{title}:", *(f"  {name:<14}{self._helps[name]}" for name in names)])
            for title, names in groups.items()
        )


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


def directory() -> Path:
    """Where the stack keeps its files: in the checkout, or where the installed command is run."""
    return (PROJECT if is_checkout() else Path.cwd()) / ".local"


def is_checkout() -> bool:
    """Whether this runs in a checkout of Pullback, and not as an installed command."""
    return (PROJECT / "template.yaml").exists()


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    whole = argparse.ArgumentParser(
        prog="pullback",
        description="Pullback: run it here, operate it, drill it.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument(
        "--directory", type=Path, default=directory(), help="where the stack keeps its files (default: .local)"
    )
    commands = Commands(whole.add_subparsers(dest="command", required=True, metavar="command", help="see below"))
    commands.add_parser("run", help="start, deliver synchronize and build, report, stop")
    tried = commands.add_parser(
        "try",
        help="your own repository as a pull request through the whole stack",
        description="Nothing is written into the repository, and nothing of it is executed.",
    )
    tried.add_argument("repository", type=Path, help="a git repository on this machine, bare or not")
    tried.add_argument("--base", help="the base branch (default: that of origin, or main)")
    tried.add_argument("--head", help="the head branch or commit (default: what is checked out)")
    tried.add_argument("--action", default="build", help="what to run (default: build)")
    tried.add_argument("--json", action="store_true", help="write .local/try.json as well")
    commands.add_parser("up", help="start and leave running")
    commands.add_parser("down", help="stop what `up` started")
    trigger = commands.add_parser(
        "trigger",
        help="sign and send one delivery, to the running stack or to PULLBACK_URL with PULLBACK_SECRET",
        description="The secret comes from the environment (PULLBACK_SECRET), not from the command line, "
        "which every user of the machine can read.",
    )
    trigger.add_argument(
        "--action", default="synchronize", help="the action to start, by one of its own triggers (default: synchronize)"
    )
    trigger.add_argument("--event", type=Path, help="send this payload instead, as it is")
    trigger.add_argument(
        "--press",
        metavar="BUTTON",
        help="press a button of the action's newest check run instead, here: rerun, or one of its own (approve)",
    )
    trigger.add_argument("--delivery-id", help="send again under an id that was used before")
    deploy = commands.add_parser(
        "deploy",
        help="look whether the account has room, then `sam deploy`",
        description="What follows -- is passed on to `sam deploy`.",
    )
    deploy.add_argument("--stack", default="pullback", help="the stack's name (default: pullback)")
    deploy.add_argument("--small", action="store_true", help="go on although the account has no room to keep")
    deploy.add_argument("arguments", nargs="*", metavar="-- ARGUMENT", help="for `sam deploy`")
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
    load.add_argument(
        "--lag", type=percent, default=0, help="of GitHub's answers, so many percent are older than their event"
    )
    new = commands.add_parser("new-action", help="write the module of a new action, and its test")
    new.add_argument("name", help="the action's name, such as licence_check")
    commands.add_parser("docs", help="write docs/metrics.md and docs/policy.md from the code")
    dashboard = commands.add_parser("dashboard", help="traffic of every kind, and a page of the CloudWatch dashboard")
    dashboard.add_argument("--out", metavar="FILE", type=Path, help="the page (default: .local/dashboard.html)")
    commands.add_parser("pictures", help="the README's pictures, from the pages that dashboard and trace wrote")
    commands.add_parser("record", help="write what load and fuzz found into docs/reliability.md")
    whole.epilog = commands.listing()
    return whole


def run(options: argparse.Namespace, progress: Progress) -> int:  # noqa: C901 - one case a command
    """Runs the command that the options name. Each imports what only it needs."""
    directory: Path = options.directory
    if options.command not in ANYWHERE and not is_checkout():
        raise RuntimeError(f"`pullback {options.command}` works in a checkout only: `make {options.command}` there")
    if options.command in ("run", "up", "load", "chaos", "alarm-drill"):
        refuse_if_running(directory)
    match options.command:
        case "run":
            from local.run import run as run_once

            return run_once(directory, progress)
        case "try":
            from local.try_out import try_out

            return try_out(
                directory,
                progress,
                options.repository,
                base=options.base,
                head=options.head,
                action=options.action,
                as_json=options.json,
            )
        case "up":
            return up(directory, progress)
        case "down":
            return down(directory, progress)
        case "deploy":
            from ops.deploy import deploy

            return deploy(options.stack, options.arguments, progress, small=options.small)
        case "load":
            from drills.load.drill import load

            return load(directory, progress, options.n, options.lag)
        case "new-action":
            from pullback.new_action import new_action

            return new_action(options.name, PROJECT, progress)
        case "docs":
            from pullback.docs import docs

            return docs(progress)
        case "record":
            from drills.record import record

            return record(directory, progress)
        case "chaos":
            from drills.chaos import chaos

            return chaos(directory, progress, options.only)
        case "alarm-drill":
            from drills.alarms.drill import alarm_drill

            return alarm_drill(directory, progress, options.only)
        case "dashboard":
            from ops.dashboard.command import dashboard

            return dashboard(directory, progress, options.out, running(directory))
        case "pictures":
            from ops.dashboard.pictures import pictures

            return pictures(directory, progress)
        case "replay":
            from ops.replay.command import replay

            return replay(directory, progress, ReplayOptions.of(options))
        case "trace":
            from ops.trace.command import trace

            return trace(directory, progress, options.delivery, options.stack, options.out, options.hours)
        case _:
            from local.trigger import press, trigger

            if options.press:
                return press(directory, progress, options.action, options.press)
            return trigger(directory, progress, options.action, options.event, options.delivery_id)


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def percent(text: str) -> int:
    """A whole number from 0 to 100, for argparse."""
    number = int(text)
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError("must be from 0 to 100")
    return number


if __name__ == "__main__":
    sys.exit(main())
