"""`make record`: writes what the drills found into docs/reliability.md, between the marks that are there for it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from drills.load.report import table as load_table
from local.stack import PROJECT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from local.progress import Progress

PAGE = PROJECT / "docs" / "reliability.md"


def fill(name: str, text: str, page: Path = PAGE) -> None:
    """Replaces what is between the marks of this name in a page.

    Raises:
        RuntimeError: the page has no such marks.
    """
    new = filled(page.read_text(), name, text)
    if new is None:
        raise RuntimeError(f"{page.name} has no place for {name}: <!-- {name}:begin --> … <!-- {name}:end -->")
    page.write_text(new)


def marked(name: str, text: str) -> str:
    """The text between its marks."""
    return f"<!-- {name}:begin -->\n{text.strip()}\n<!-- {name}:end -->"


def filled(page: str, name: str, text: str) -> str | None:
    """A page's text with this between the marks of the name; None when it has no such marks."""
    between = f"<!-- {name}:begin -->.*?<!-- {name}:end -->"
    new, found = re.subn(between, lambda _: marked(name, text), page, flags=re.DOTALL)
    return new if found else None


def fuzz_table(record: Mapping[str, Any]) -> str:
    """What a run of the fuzzer found, as Markdown. ``record``: what ``python -m tests.fuzz --json`` writes."""
    targets: Sequence[Mapping[str, Any]] = record["targets"]
    rows = []
    for one in targets:
        outcomes, crashes = len(one["outcomes"]), len(one["crashes"])
        rows.append(f"| {one['target']} | {one['inputs']:,} | {one['edges'] or ''} | {outcomes} | {crashes} |")
    total = sum(one["inputs"] for one in targets)
    minutes = sum(one["seconds"] for one in targets) / 60
    return "\n".join(
        [
            f"`{record['command']}`: {total:,} inputs in {minutes:.0f} minutes.",
            "",
            "| entry | inputs | edges covered | different outcomes | broke |",
            "|---|--:|--:|--:|--:|",
            *rows,
        ]
    )


def record(directory: Path, progress: Progress) -> int:
    """Writes what there is; returns the exit code: 0 when there was something."""
    written = []
    loads = sorted(directory.glob("load-*.json"), key=lambda file: int(file.stem.removeprefix("load-")))
    if loads:
        fill("load", load_table([json.loads(file.read_text()) for file in loads]))
        written += [file.name for file in loads]
    fuzz = directory / "fuzz" / "record.json"
    if fuzz.exists():
        fill("fuzz", fuzz_table(json.loads(fuzz.read_text())))
        written.append(fuzz.name)
    for name in written:
        progress.console.print(f"  {name} → {PAGE.relative_to(PROJECT)}")
    if not written:
        progress.console.print("nothing to record: `make load` and `make fuzz` leave their results in .local")
    return 0 if written else 1
