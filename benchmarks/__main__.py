"""``make bench``: what starts, calls, work and many deliveries cost, to handlers that are written otherwise.

    python -m benchmarks [--check] [--only starts calls growth load] [--n 200 500 1000]

Everything is measured in one run on one machine, and only ratios are worth quoting. Instructions are counted under
valgrind, with hashing that does not vary, and beside them CPU time; without valgrind it is CPU time alone. What was
measured is in .local/bench.json, and docs/performance.md is made of it. ``--only`` measures some sections again and
keeps the others as they were.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks import calls, goals, growth, load, packages, page, starts
from benchmarks.measure import KINDS

if TYPE_CHECKING:
    from benchmarks.measure import Kind

RECORD = packages.ROOT / ".local" / "bench.json"
PAGE = packages.ROOT / "docs" / "performance.md"
SECTIONS = ("starts", "calls", "growth", "load")


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    rounds: dict[Kind, int]
    work_rounds: int
    body_rounds: int
    calls: tuple[str, ...]
    sizes: dict[str, tuple[int, ...]]
    has_shares: bool


WHOLE = Extent(
    rounds={kind: 9 if kind == "CPU time" else 2 for kind in KINDS},
    work_rounds=3,
    body_rounds=9,
    calls=calls.MEASURED,
    sizes={"report": (300, 1_000, 3_000), "bundle": (20, 60, 200)},
    has_shares=True,
)
CHECK = Extent(
    # The steadiest alone.
    rounds={KINDS[0]: 5 if KINDS[0] == "CPU time" else 1},
    work_rounds=1,
    body_rounds=3,
    calls=calls.MEASURED[:2],
    sizes={"report": (300, 3_000), "bundle": (5, 20)},
    has_shares=False,
)


def measured(extent: Extent, sections: list[str], numbers: list[int], console: Console) -> dict[str, Any]:
    """The sections' part of the record."""
    record: dict[str, Any] = {}
    shares: dict[str, Any] = {}
    if {"starts", "calls", "growth"} & set(sections):
        console.print("building the packages and the references")
        built = packages.build()
        record["megabytes"] = packages.megabytes()
    if "starts" in sections:
        record["starts"] = {kind: starts.starts(built, kind, rounds, console) for kind, rounds in extent.rounds.items()}
        record["first_calls"] = {
            kind: starts.first_calls(built, kind, rounds, console) for kind, rounds in extent.rounds.items()
        }
        if extent.has_shares:
            shares["starts"] = starts.shares(built, console)
    if "calls" in sections:
        record["calls"] = {
            kind: calls.calls(built, extent.calls, kind, rounds, console) for kind, rounds in extent.rounds.items()
        }
        record["large_bodies"] = {"CPU time": calls.large_bodies(built, extent.body_rounds, console)}
        if extent.has_shares:
            shares["calls"] = calls.shares(built, console)
    if "growth" in sections:
        record["growth"] = {
            kind: growth.growth(built, kind, sizes, extent.work_rounds, console) for kind, sizes in extent.sizes.items()
        }
    if "load" in sections:
        record["load"] = load.load(numbers, console)
    return record | ({"shares": shares} if shares else {})


def main() -> int:
    """Returns the exit code: 1 when ``--check`` was asked for and something is above its bound."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measures what starts, calls and work cost, to other handlers."
    )
    parser.add_argument("--check", action="store_true", help="measure less, hold it to bounds, and write no page")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="measure these again, and keep the others")
    parser.add_argument("--n", nargs="+", type=int, default=[200, 500, 1_000], help="deliveries of the load drill")
    options = parser.parse_args()
    console = Console(highlight=False)
    sections = options.only or [name for name in SECTIONS if not (options.check and name == "load")]
    extent = CHECK if options.check else WHOLE
    record: dict[str, Any] = {}
    if options.only and not options.check and RECORD.exists():
        record = json.loads(RECORD.read_text())
    found = measured(extent, sections, options.n, console)
    record |= found | {"shares": record.get("shares", {}) | found.get("shares", {})}
    record["python"] = ".".join(map(str, sys.version_info[:2]))
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    record["at"] = record.get("at", {}) | dict.fromkeys(sections, now)
    record["results"] = list(goals.results(record))
    show(record["results"], console)
    if options.check:
        above = [
            f"{one['what']}, {kind}"
            for one in record["results"]
            for kind, told in one["measured"].items()
            if told["now"] > one["bound"]
        ]
        for what in above:
            console.print(f"above its bound: {what}")
        return 1 if above else 0
    RECORD.write_text(json.dumps(record, indent=2) + "\n")
    PAGE.write_text(page.page_of(record))
    console.print(f"{PAGE.relative_to(packages.ROOT)}, {RECORD.relative_to(packages.ROOT)}")
    return 0


def show(results: list[dict[str, Any]], console: Console) -> None:
    """Prints what is held to goals."""
    table = Table("what", "measured", "now", "range", "goal", "bound")
    for one in results:
        for kind, told in one["measured"].items():
            low, high = told["range"]
            numbers = (f"{told['now']:z.2f}", f"{low:z.2f} to {high:z.2f}", f"{one['goal']:.2f}", f"{one['bound']:.2f}")
            table.add_row(one["what"], kind, *numbers)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
