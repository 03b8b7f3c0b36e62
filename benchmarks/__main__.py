"""``make bench``: what the start of each function costs as it is shipped, to handlers that are written otherwise.

    python -m benchmarks [--check]

*Bare* is boto3 with the same clients and no framework, *usual* is written as the documentation of Powertools shows its
parts. Both have the whole of their dependencies, with bytecode. Ratios are of one run on one machine, and nothing else
is worth quoting. Instructions are counted under valgrind, with hashing that does not vary, to the end of the imports:
the end of the interpreter, which no Lambda function sees, is left out. Without valgrind it is CPU time.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from local.stack import REGION, aws_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parent.parent
DIRECTORY = ROOT / ".local" / "bench"
PAGE = ROOT / "docs" / "performance.md"
REFERENCES = ROOT / "benchmarks" / "references"
RUNS = 9
"""Of CPU time, each in turn. Instructions are the same each time, within a thousandth."""

ACCOUNT = f"arn:aws:states:{REGION}:123456789012"
ENVIRONMENT = {
    "AWS_LAMBDA_FUNCTION_NAME": "function",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "LAMBDA_TASK_ROOT": "/var/task",
    "POWERTOOLS_LOG_LEVEL": "INFO",
    "POWERTOOLS_METRICS_NAMESPACE": "Pullback/bench",
    "STATE_MACHINE_ARN": f"{ACCOUNT}:stateMachine:pullback",
    "WEBHOOK_SECRET_ARN": "secret",
    "GITHUB_CREDENTIAL_ARN": "credential",
    "GITHUB_API_URL": "https://api.github.com",
    "REPLAY_QUEUE_URL": "https://sqs/replay",
    "PROCESSOR_FUNCTION_ARN": "function",
    "IDEMPOTENCY_TABLE": "idempotency",
    "ARTIFACT_BUCKET": "artifacts",
    "ARTIFACT_LINK": "https://s3/{bucket}/{key}",
    "HEARTBEAT_INTERVAL_SECONDS": "30",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(frozen=True)
class Start:
    """Something whose start is measured: a module, and where it and what it imports is."""

    name: str
    module: str
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class Ratio:
    """A row of the table: one start to another, with the goal and the bound that `--check` holds."""

    what: str
    start: str
    to: str
    before: float
    """What it was on 2026-11-24, in instructions."""
    goal: float
    bound: float


RATIOS = (
    Ratio("init of webhook, to its bare", "webhook", "bare webhook", 4.28, 1.00, 1.60),
    Ratio("init of task, to its bare", "task", "bare task", 3.85, 1.00, 1.60),
    Ratio("init of processor, to its bare", "processor", "bare processor", 4.28, 1.05, 1.50),
    Ratio("init of webhook, to the usual handler", "webhook", "usual webhook", 2.18, 0.50, 0.90),
)


def build() -> list[Start]:
    """Makes the packages as they are shipped, for the Python that runs this, and the references beside them."""
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    made = DIRECTORY / "build"
    _package("layer", "--group", "functions", "--into", made / "dependencies")
    _package("layer", "--group", "processor", "--but", "functions", "--into", made / "github")
    rooms = {"webhook": ["webhook"], "task": ["task"], "processor": ["pullrequest", "processor"]}
    for name, own in rooms.items():
        _package("function", "--rooms", "shared", *own, "--into", made / name)
    layers = (made / "dependencies" / "python", made / "github" / "python")
    whole = {group: _whole(group, made / f"whole-{group}") for group in ("functions", "processor", "usual")}
    references = made / "references"
    shutil.copytree(REFERENCES, references, ignore=shutil.ignore_patterns("__pycache__"))
    _compile(references)
    bare = {"webhook": whole["functions"], "task": whole["functions"], "processor": whole["processor"]}
    return [
        *(Start(name, f"{name}.handler", (made / name, *layers[: 2 if name == "processor" else 1])) for name in rooms),
        *(Start(f"bare {name}", f"bare_{name}", (references, *paths)) for name, paths in bare.items()),
        Start("usual webhook", "usual_webhook", (references, *whole["usual"])),
    ]


def _package(*arguments: str | Path) -> None:
    environ = os.environ | {"PULLBACK_BUILD": "local", "UV": str(_tool("uv"))}
    _run([sys.executable, str(ROOT / "functions" / "package.py"), *map(str, arguments)], environ)


def _whole(group: str, directory: Path) -> tuple[Path, ...]:
    """A group's dependencies with those of every function, as they come, with bytecode."""
    only = ["--only-group", "functions", "--only-group", group]
    requirements = directory.with_suffix(".txt")
    export = ["export", "--quiet", "--locked", *only, "--no-emit-project", "--output-file", str(requirements)]
    requirements.parent.mkdir(parents=True, exist_ok=True)
    _run([str(_tool("uv")), *export], os.environ)
    install = ["pip", "install", "--quiet", "--target", str(directory), "--python", sys.executable]
    _run([str(_tool("uv")), *install, "--link-mode", "copy", "--requirements", str(requirements)], os.environ)
    _compile(directory)
    return (directory,)


def _compile(directory: Path) -> None:
    options = ["-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    _run([sys.executable, "-I", "-m", "compileall", *options, str(directory)], os.environ)


def _tool(name: str) -> Path:
    return Path(sys.executable).parent / name


def _run(command: Sequence[str], environ: Any) -> None:
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command[:4])} …: {done.stderr or done.stdout}")


def _command(start: Start) -> tuple[list[str], dict[str, str]]:
    script = f"import importlib, os; importlib.import_module({start.module!r}); os._exit(0)"
    environ = aws_environment() | ENVIRONMENT | {"PYTHONPATH": ":".join(map(str, start.paths))}
    return [sys.executable, "-S", "-c", script], environ


def instructions(start: Start) -> float:
    """Of one start, in millions."""
    command, environ = _command(start)
    valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    done = subprocess.run([*valgrind, *command], env=environ, capture_output=True, text=True, check=False)
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if done.returncode or found is None:
        sys.exit(f"{start.name} does not start: {done.stderr[-2000:]}")
    return int(found[1].replace(",", "")) / 1e6


def cpu_milliseconds(start: Start) -> float:
    """Of one start, user and system time."""
    command, environ = _command(start)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _run(command, environ)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ((after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)) * 1000


def measured(starts: Sequence[Start], console: Console) -> tuple[str, dict[str, list[float]]]:
    """The unit, and by start what was measured. Starts take turns, so that a busy minute is everybody's."""
    has_valgrind = shutil.which("valgrind") is not None
    rounds = 1 if has_valgrind else RUNS
    found: dict[str, list[float]] = {start.name: [] for start in starts}
    for number in range(rounds):
        for start in starts:
            console.print(f"  … {start.name}" + (f" {number + 1}/{rounds}" if rounds > 1 else ""))
            found[start.name].append(instructions(start) if has_valgrind else cpu_milliseconds(start))
    return "million instructions" if has_valgrind else "ms of CPU", found


def page_of(unit: str, found: dict[str, list[float]], sizes: dict[str, float]) -> str:
    """docs/performance.md."""
    medians = {name: statistics.median(values) for name, values in found.items()}
    rows = [
        f"| {one.what} | {one.before:.2f} | {medians[one.start] / medians[one.to]:.2f} | {one.goal:.2f} |"
        for one in RATIOS
    ]
    starts = [f"| {name} | {medians[name]:,.0f} | {_spread(values)} |" for name, values in found.items()]
    version = ".".join(map(str, sys.version_info[:2]))
    names = ", ".join(f'"{name}"' for name in medians)
    bars = ", ".join(f"{value:.0f}" for value in medians.values())
    return f"""# What a cold start costs

Made by `make bench` on Python {version}: the functions as they are shipped, for the Python of the machine, to handlers
that are written otherwise ([benchmarks/](../benchmarks)). *Bare* is boto3 with the same clients and no framework.
*Usual* is written as the documentation of Powertools shows its parts. Both have the whole of their dependencies, with
bytecode. Only ratios are worth quoting. *Before* is the state of 2026-11-24.

| what | before | now | goal |
|---|--:|--:|--:|
{chr(10).join(rows)}

| start | {unit} | spread |
|---|--:|--:|
{chr(10).join(starts)}

```mermaid
xychart-beta
    title "Start, {unit}"
    x-axis [{names}]
    bar [{bars}]
```

| layer | MB unzipped, without bytecode |
|---|--:|
{chr(10).join(f"| {name} | {size:.1f} |" for name, size in sizes.items())}

What is above bare is pydantic: its import, and the models that it builds of the contract at each start. What is below
the state before comes from bytecode that is valid, and from descriptions of AWS that hold the calls that are made
([the decision](decisions/2026-11-27-dependencies-are-two-layers.md)).
"""


def _spread(values: Sequence[float]) -> str:
    return f"{max(values) / min(values) - 1:.0%}" if len(values) > 1 else "one run"


def main() -> int:
    """Returns the exit code: 1 when `--check` was asked for and a ratio is above its bound."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measures what the start of each function costs, to other handlers."
    )
    parser.add_argument("--check", action="store_true", help="hold the ratios to their bounds, and write no page")
    options = parser.parse_args()
    console = Console(highlight=False)
    console.print("building the packages and the references")
    starts = build()
    unit, found = measured(starts, console)
    medians = {name: statistics.median(values) for name, values in found.items()}
    table = Table("what", "now", "goal", "bound")
    for one in RATIOS:
        table.add_row(one.what, f"{medians[one.start] / medians[one.to]:.2f}", f"{one.goal:.2f}", f"{one.bound:.2f}")
    console.print(table)
    layers = {"dependencies": "what every function has", "github": "what writing to pull requests needs besides"}
    sizes = {told: _megabytes(DIRECTORY / "build" / name) for name, told in layers.items()}
    record = {"unit": unit, "measured": found, "megabytes": sizes}
    (DIRECTORY.parent / "bench.json").write_text(json.dumps(record, indent=2) + "\n")
    above = [one.what for one in RATIOS if medians[one.start] / medians[one.to] > one.bound]
    if not options.check:
        PAGE.write_text(page_of(unit, found, sizes))
        console.print(f"{PAGE.relative_to(ROOT)}, .local/bench.json")
        return 0
    for what in above:
        console.print(f"above its bound: {what}")
    return 1 if above else 0


def _megabytes(directory: Path) -> float:
    files = [file for file in directory.rglob("*") if file.is_file() and file.suffix != ".pyc"]
    return sum(file.stat().st_size for file in files) / 1e6


if __name__ == "__main__":
    sys.exit(main())
