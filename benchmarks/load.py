"""Many deliveries at once: the load drill's own record of what they took, of the functions and of the embedded AWS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from benchmarks.packages import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

PARTS = {"functions": "engine children", "embedded AWS": "engine", "local GitHub": "github"}
"""The drill's parts. The engine's children are the processes in which it runs the functions."""


def load(numbers: Sequence[int], console: Console) -> list[dict[str, Any]]:
    """Runs the drill for each number of deliveries."""
    found = []
    for number in numbers:
        console.print(f"  … {number:,} deliveries")
        command = [sys.executable, "-m", "pullback", "load", "--n", str(number)]
        done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"the load drill with {number:,} deliveries does not hold: {(done.stderr or done.stdout)[-2000:]}")
        found.append(row(json.loads((ROOT / ".local" / f"load-{number}.json").read_text())))
    return found


def row(report: dict[str, Any]) -> dict[str, Any]:
    """Of the drill's report, what there is to compare."""
    cpu, memory = report["cpu_seconds"], report["memory_mb"]
    return {
        "n": report["n"],
        "executions": sum(report["executions"].values()),
        "seconds": report["seconds"],
        "cpu_seconds": {name: cpu.get(part, 0.0) for name, part in PARTS.items()},
        "peak_mb": {name: memory.get(part, 0.0) for name, part in PARTS.items()},
    }
