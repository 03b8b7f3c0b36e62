"""The two engines: atheris (libFuzzer: guided by the coverage of functions/) and hypothesis (random, installed anyway).

Both write the inputs that break something to files, and count what came of all inputs.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fuzz.targets import Target

ROOT = Path(__file__).resolve().parents[2]
DIRECTORY = ROOT / ".local" / "fuzz"

INPUT_TIMEOUT_SECONDS = 30
"""An input that takes longer is a finding. Far above what the slowest takes, because machines are shared."""
MEMORY_LIMIT_MB = 2048
EXIT_GRACE_SECONDS = 60

_STATUS = re.compile(r"#(\d+)\s+\w+\s+(?:cov: (\d+) )?(?:ft: (\d+) )?(?:corp: (\d+))?")
_STATISTIC = re.compile(r"stat::(\w+):\s+(\d+)")


@dataclass
class Run:
    """What came of fuzzing one target."""

    target: str
    engine: str
    seconds: float = 0.0
    inputs: int = 0
    edges: int | None = None
    """Branches of functions/ and of the decoder that were taken; None when the engine does not count them."""
    features: int | None = None
    """Edges, and how often, and comparisons: what libFuzzer keeps an input for."""
    corpus: int | None = None
    peak_memory_mb: int | None = None
    outcomes: dict[str, int] = field(default_factory=dict)
    crashes: list[str] = field(default_factory=list)
    log: str | None = None

    @property
    def inputs_per_second(self) -> float:
        return self.inputs / self.seconds if self.seconds else 0.0

    @property
    def is_broken(self) -> bool:
        return bool(self.crashes) or not self.inputs

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "seconds": round(self.seconds, 1), "inputs_per_second": round(self.inputs_per_second)}


class EngineMissing(Exception):
    """The engine is not installed; the message tells how to get it."""


def has_atheris() -> bool:
    """Whether atheris is installed. It has wheels for Linux on x86-64 and Python below 3.14 only."""
    return importlib.util.find_spec("atheris") is not None


def with_atheris(target: Target, seconds: int, inputs: int, report: Callable[[Run], None]) -> Run:
    """Fuzzes a target in a process of its own: libFuzzer ends the process that it runs in.

    Args:
        target: what to fuzz.
        seconds: how long; 0 for no bound.
        inputs: how many inputs; 0 for no bound.
        report: called now and then with how it goes.

    Raises:
        EngineMissing: atheris is not installed.
    """
    if not has_atheris():
        raise EngineMissing(
            "atheris is not installed: `make fuzz` installs it, on Linux, x86-64, Python below 3.14; "
            "--engine hypothesis works everywhere"
        )
    corpus, seeds = DIRECTORY / "corpus" / target.name, DIRECTORY / "seeds" / target.name
    for directory in (corpus, seeds, DIRECTORY / "crashes"):
        directory.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        (seeds / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    outcomes, log = DIRECTORY / f"{target.name}.outcomes.json", DIRECTORY / f"{target.name}.log"
    outcomes.unlink(missing_ok=True)
    crashes = DIRECTORY / "crashes" / f"{target.name}-"
    known = set(crashes.parent.glob(f"{target.name}-*"))
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.coverage_guided",
        target.name,
        str(outcomes),
        str(corpus),
        str(seeds),
        f"-max_total_time={seconds}",
        f"-runs={inputs or -1}",
        f"-max_len={target.max_bytes}",
        f"-timeout={INPUT_TIMEOUT_SECONDS}",
        f"-rss_limit_mb={MEMORY_LIMIT_MB}",
        f"-artifact_prefix={crashes}",
        "-print_final_stats=1",
    ]
    run = Run(target.name, "atheris", log=str(log.relative_to(ROOT)))
    started = time.monotonic()
    with (
        log.open("w", encoding="utf-8") as transcript,
        subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
        ) as process,
    ):
        try:
            assert process.stdout is not None
            for line in process.stdout:
                transcript.write(line)
                _read_status(line, run)
                run.seconds = time.monotonic() - started
                report(run)
            process.wait(EXIT_GRACE_SECONDS)
        except BaseException:
            process.send_signal(signal.SIGKILL)
            raise
    run.seconds = time.monotonic() - started
    if outcomes.exists():
        run.outcomes = json.loads(outcomes.read_text(encoding="utf-8"))
    run.crashes = sorted(str(file.relative_to(ROOT)) for file in set(crashes.parent.glob(f"{target.name}-*")) - known)
    if process.returncode and not run.crashes:
        run.crashes = [f"exit code {process.returncode}; see {run.log}"]
    return run


def _read_status(line: str, run: Run) -> None:
    if match := _STATUS.match(line):
        run.inputs = int(match[1])
        run.edges = int(match[2]) if match[2] else run.edges
        run.features = int(match[3]) if match[3] else run.features
        run.corpus = int(match[4]) if match[4] else run.corpus
    elif match := _STATISTIC.match(line):
        if match[1] == "number_of_executed_units":
            run.inputs = int(match[2])
        elif match[1] == "peak_rss_mb":
            run.peak_memory_mb = int(match[2])


def with_hypothesis(target: Target, seconds: int, inputs: int, report: Callable[[Run], None]) -> Run:
    """Fuzzes a target in this process, with random inputs and damaged seeds. Arguments as above."""
    from hypothesis import HealthCheck, Phase, given, settings

    run = Run(target.name, "hypothesis")
    outcomes: Counter[str] = Counter()
    failing: list[bytes] = []
    started = time.monotonic()

    def is_over() -> bool:
        run.seconds = time.monotonic() - started
        return bool((seconds and run.seconds >= seconds) or (inputs and run.inputs >= inputs))

    def run_one(data: bytes) -> None:
        run.inputs += 1
        try:
            outcomes[target.run(data)] += 1
        except BaseException:
            failing.append(data)
            raise

    @settings(
        max_examples=500,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(inputs_of(target))
    def fuzz(data: bytes) -> None:
        run_one(data)

    try:
        for seed in target.seeds():
            run_one(seed)
        while not is_over():
            fuzz()
            report(run)
    except Exception:  # noqa: BLE001 - whatever it is, it is what was looked for
        # The last one is the smallest.
        run.crashes = [save(target.name, failing[-1])]
    is_over()
    run.outcomes = dict(outcomes.most_common())
    return run


def inputs_of(target: Target) -> Any:
    """A hypothesis strategy for a target's inputs: random ones, and seeds with a few bytes changed."""
    from hypothesis import strategies as st

    @st.composite
    def damaged(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(st.sampled_from(target.seeds() or [b""])))
        for _ in range(draw(st.integers(0, 6))):
            # Most decisions are made at the beginning.
            at = draw(st.integers(0, min(len(data), 48)) | st.integers(0, len(data)))
            data[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=4))
        return bytes(data)

    return damaged() | st.binary(max_size=300)


def save(name: str, data: bytes) -> str:
    """Writes an input that breaks something to a file; returns its path below the project."""
    file = DIRECTORY / "crashes" / f"{name}-crash-{hashlib.sha1(data, usedforsecurity=False).hexdigest()}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return str(file.relative_to(ROOT))
