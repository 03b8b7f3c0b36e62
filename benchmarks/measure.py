"""How much a process takes: instructions under valgrind, which hardly vary, and CPU time, which is what is paid for.

Neither is enough alone. CPU time varies with the machine's other load. Instructions are the program's own, without the
kernel's; they differ in what they take, and valgrind has none of those that a processor has for SHA-256.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.console import Console

Kind = Literal["instructions", "CPU time"]
UNITS: dict[Kind, str] = {"instructions": "million instructions", "CPU time": "ms of CPU"}
KINDS: tuple[Kind, ...] = ("instructions", "CPU time") if shutil.which("valgrind") else ("CPU time",)
"""What this machine can measure, the steadiest first."""

_COUNTED = re.compile(r"I\s+refs:\s+([\d,]+)")


@dataclass
class Meter:
    """What to put before a command, and, when it has ended, what it took."""

    prefix: tuple[str, ...] = ()
    cost: float = 0.0


@contextmanager
def metered(kind: Kind) -> Iterator[Meter]:
    """Measures the one process that is started within, with the meter's prefix, and ends within."""
    with TemporaryDirectory() as directory:
        log = Path(directory, "log")
        meter = Meter()
        if kind == "instructions":
            options = ("--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", f"--log-file={log}")
            meter.prefix = ("valgrind", *options)
        before = _children_milliseconds()
        yield meter
        meter.cost = _instructions(log) if kind == "instructions" else _children_milliseconds() - before


def _instructions(log: Path) -> float:
    """In millions."""
    text = log.read_text(errors="replace") if log.exists() else ""
    found = _COUNTED.search(text)
    if found is None:
        sys.exit(f"valgrind did not count: {text[-2000:]}")
    return int(found[1].replace(",", "")) / 1e6


def _children_milliseconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (usage.ru_utime + usage.ru_stime) * 1000


def in_turns(
    measures: Mapping[str, Callable[[], float]], kind: Kind, rounds: int, console: Console, what: str
) -> dict[str, list[float]]:
    """Measures each so many times. They take turns, so that a busy minute is everybody's.

    Instructions are the same however busy the machine is, so those are counted side by side.
    """
    found: dict[str, list[float]] = {name: [] for name in measures}

    def once(number: int, name: str) -> float:
        console.print(f"  … {what}, {kind}: {name}" + (f" {number + 1}/{rounds}" if rounds > 1 else ""))
        return measures[name]()

    with ThreadPoolExecutor(1 if kind == "CPU time" else os.cpu_count()) as pool:
        started = [(name, pool.submit(once, number, name)) for number in range(rounds) for name in measures]
        try:
            for name, one in started:
                found[name].append(one.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found


def ratios(ours: Sequence[float], to: Sequence[float]) -> list[float]:
    """Of what was measured in the same round."""
    return [one / other for one, other in zip(ours, to, strict=True)]
