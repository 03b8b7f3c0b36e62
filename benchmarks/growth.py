"""How time and memory of the processor's two actions grow with what they work on."""

from __future__ import annotations

import io
import json
import math
import random
import tarfile
from typing import TYPE_CHECKING, Any

from benchmarks.packages import DIRECTORY, INSIDE, ROOT, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from benchmarks.packages import Package

MEGABYTE = 1_000_000
SOURCES_PER_MEGABYTE = 20
"""Files of this project beside each picture: most of the files are sources, most of the bytes are not."""


def growth(
    packages: Mapping[str, Package], kind: str, sizes: Sequence[int], rounds: int, console: Console
) -> list[dict[str, Any]]:
    """What each size took in each round, a process each.

    Args:
        packages: the processor's is used.
        kind: ``report``, of so many files, or ``bundle``, of so many megabytes.
        sizes: smallest first.
        rounds: how often each is measured; the sizes take turns.
        console: hears of each.
    """
    package = packages["processor"]
    found: list[dict[str, Any]] = [{"size": size, "seconds": [], "before": [], "peak": []} for size in sizes]
    for number in range(rounds):
        for row in found:
            size = row["size"]
            console.print(f"  … {kind} of {size:,}" + (f" {number + 1}/{rounds}" if rounds > 1 else ""))
            what = str(size) if kind == "report" else archive(size)
            told = json.loads(run(package.command(INSIDE / "growth.py", kind, what), package.environ()).stdout)
            for name in ("seconds", "before", "peak"):
                row[name].append(told[name])
    return found


def archive(megabytes: int) -> Path:
    """A tarball of about so many megabytes, compressed: this project's sources over and over, pictures between."""
    path = DIRECTORY / f"{megabytes}.tar.gz"
    if path.exists():
        return path
    rng = random.Random(megabytes)  # noqa: S311 - a picture, not a key
    sources = [file.read_bytes() for file in sorted((ROOT / "functions").rglob("*.py")) if file.stat().st_size]
    sources += [file.read_bytes() for file in sorted((ROOT / "events").glob("*.json"))]
    names = ["py"] * (len(sources) - len(list((ROOT / "events").glob("*.json"))))
    path.parent.mkdir(parents=True, exist_ok=True)
    number = 0
    with path.open("wb") as out, tarfile.open(fileobj=out, mode="w:gz", compresslevel=6) as tar:
        while out.tell() < megabytes * MEGABYTE:
            for _ in range(SOURCES_PER_MEGABYTE):
                at = number % len(sources)
                ending = "py" if at < len(names) else "json"
                _add(tar, f"repository/src/package_{number % 97}/module_{number}.{ending}", sources[at])
                number += 1
            _add(tar, f"repository/assets/{number}.png", rng.randbytes(900_000))
    return path


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The exponent of a power law through the points, by least squares of the logarithms: 1 is linear, 0 is flat."""
    xs, ys = [math.log(size) for size in sizes], [math.log(value) for value in values]
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    above = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
    return above / sum((x - x_mean) ** 2 for x in xs)
