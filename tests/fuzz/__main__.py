"""The fuzzer's command line: ``python -m tests.fuzz --help``."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(ROOT / "functions"), str(ROOT)) if path not in sys.path]

from tests.fuzz import engines  # noqa: E402 - needs the path
from tests.fuzz.targets import TARGETS  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fuzz.engines import Run

DEFAULT_SECONDS = 60
PROGRESS_INTERVAL_SECONDS = 10.0


def main() -> int:
    """Returns the exit code: 0 nothing broke, 1 something did, 2 used wrongly or the engine is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description="Feeds hostile inputs to the handlers and to all that reads what strangers wrote.",
    )
    parser.add_argument("target", choices=["all", *TARGETS], metavar="TARGET", help=f"all, {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=0, help=f"how long, each target (default: {DEFAULT_SECONDS})")
    parser.add_argument("--runs", type=int, default=0, help="how many inputs, each target")
    parser.add_argument("--engine", choices=["atheris", "hypothesis"], default="atheris")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the summary there as well")
    parser.add_argument("--input", type=Path, metavar="FILE", help="run this one input, without an engine")
    options = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    if options.input:
        if options.target == "all":
            parser.error("--input needs one target")
        # What it raises is what it is run for.
        console.print(TARGETS[options.target].run(options.input.read_bytes()))
        return 0
    names = list(TARGETS) if options.target == "all" else [options.target]
    seconds = options.seconds or (0 if options.runs else DEFAULT_SECONDS)
    fuzz = engines.with_atheris if options.engine == "atheris" else engines.with_hypothesis
    runs: list[Run] = []
    try:
        for name in names:
            runs.append(fuzz(TARGETS[name], seconds, options.runs, _reporter(console)))
            console.print(_line(runs[-1]))
    except engines.EngineMissing as missing:
        console.print(f"fuzz: {missing}")
        return 2
    except KeyboardInterrupt:
        console.print("interrupted")
    _summarize(runs, console)
    if options.json:
        summary = {
            "command": " ".join(["python -m tests.fuzz", *sys.argv[1:]]),
            "python": platform.python_version(),
            "targets": [run.to_dict() for run in runs],
        }
        options.json.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return int(len(runs) < len(names) or any(run.is_broken for run in runs))


def _reporter(console: Console) -> Callable[[Run], None]:
    reported_at = time.monotonic()

    def report(run: Run) -> None:
        nonlocal reported_at
        if time.monotonic() > reported_at + PROGRESS_INTERVAL_SECONDS:
            reported_at = time.monotonic()
            console.print(f"[dim]{_line(run)}[/]")

    return report


def _line(run: Run) -> str:
    parts = [f"{run.target:<11}{run.seconds:>6.0f} s {run.inputs:>11,} inputs {run.inputs_per_second:>8,.0f}/s"]
    if run.edges is not None:
        parts.append(f"{run.edges:>6,} edges {run.features or 0:>7,} features")
    if run.crashes:
        parts.append("[red]broken[/]")
    return "  ".join(parts)


def _summarize(runs: list[Run], console: Console) -> None:
    for run in runs:
        console.print(f"\n[bold]{run.target}[/]: {run.inputs:,} inputs; what came of them:")
        for outcome, count in list(run.outcomes.items())[:12]:
            console.print(f"  {count:>11,}  {outcome}", markup=False)
        for crash in run.crashes:
            console.print(f"  [red]broken[/] by {crash}; again with:")
            console.print(f"    .venv/bin/python -m tests.fuzz {run.target} --input {crash}", markup=False)
    broken = sum(run.is_broken for run in runs)
    total = sum(run.inputs for run in runs)
    console.print(f"\n{total:,} inputs, {len(runs)} targets, {broken or 'none'} broken")


if __name__ == "__main__":
    sys.exit(main())
