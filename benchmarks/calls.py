"""What a warm call of the webhook costs: with AWS answered below botocore, and with nothing of AWS on a large body."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.events import webhook_event
from benchmarks.measure import in_turns, metered
from benchmarks.packages import DIRECTORY, INSIDE, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from benchmarks.measure import Kind
    from benchmarks.packages import Package

LARGE_BYTES = 1_000_000
FEW, MANY = 10, 60
"""Calls under valgrind: what a call takes is the difference by the number of calls between."""
MEASURED = ("webhook", "bare webhook", "usual webhook", "webhook, traced", "usual webhook, traced")
"""*Traced* is a call that X-Ray samples."""
TIMED_CALLS = 500
LARGE_CALLS = 60
SHARE_CALLS = 4_000


def calls(
    packages: Mapping[str, Package], names: Sequence[str], kind: Kind, rounds: int, console: Console
) -> dict[str, list[float]]:
    """A call of each of the names in MEASURED, on the body of GitHub's own sample."""
    event = _event("sample", webhook_event())

    def cost(name: str) -> float:
        package, traced, _ = name.partition(", traced")
        return _cost(packages[package], event, kind, *(["--sampled"] if traced else []))

    return in_turns({name: partial(cost, name) for name in names}, kind, rounds, console, "warm call")


def large_bodies(packages: Mapping[str, Package], rounds: int, console: Console) -> dict[str, list[float]]:
    """A call of each on a body of 1 MB, in milliseconds of CPU, with every client's calls answered in its place.

    Not in instructions: of the floor, most would be those of SHA-256, for which a processor has some of its own.
    """
    event = _event("large", webhook_event(LARGE_BYTES))

    def cost(package: Package) -> float:
        return float(_run(package, event, LARGE_CALLS, "--stub", "calls")["milliseconds"])

    measures = {name: partial(cost, packages[name]) for name in ("webhook", "floor webhook", "bare webhook")}
    return in_turns(measures, "CPU time", rounds, console, "1 MB body")


def shares(packages: Mapping[str, Package], console: Console) -> dict[str, dict[str, float]]:
    """Milliseconds of a warm call by package, as a timer of CPU time finds them at work."""
    console.print("  … warm call, by package")
    event = _event("sample", webhook_event())
    found = {}
    for name in ("webhook", "bare webhook"):
        told = _run(packages[name], event, SHARE_CALLS, "--shares")
        ticks = sum(told["ticks"].values())
        found[name] = {one: told["milliseconds"] * count / ticks for one, count in told["ticks"].items()}
    return found


def _cost(package: Package, event: Path, kind: Kind, *options: str) -> float:
    if kind == "CPU time":
        return float(_run(package, event, TIMED_CALLS, *options)["milliseconds"])
    counted = []
    for number in (FEW, MANY):
        with metered(kind) as meter:
            _run(package, event, number, *options, prefix=meter.prefix)
        counted.append(meter.cost)
    return (counted[1] - counted[0]) / (MANY - FEW)


def _run(package: Package, event: Path, number: int, *options: str, prefix: tuple[str, ...] = ()) -> dict[str, Any]:
    command = package.command(INSIDE / "calls.py", package.module, event, "--calls", str(number), *options)
    told: dict[str, Any] = json.loads(run([*prefix, *command], package.environ()).stdout)
    return told


def _event(name: str, event: dict[str, Any]) -> Path:
    file = DIRECTORY / f"{name}.json"
    file.write_text(json.dumps(event))
    return file
