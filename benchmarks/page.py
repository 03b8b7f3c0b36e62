"""docs/performance.md, made of the record of a run and nothing else."""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING, Any

from benchmarks.goals import LEVERS
from benchmarks.growth import slope
from benchmarks.measure import UNITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Record = Mapping[str, Any]

OWN = {"webhook", "task", "processor", "shared", "pullrequest"}
HARNESS = {"aws", "calls"}
"""What answers in AWS' place within the process, and what calls the handler."""
SHOWN = 8
"""Packages of a table of what remains."""
SMALL = 0.005
"""Of the reference: packages that differ by less are left out."""


REMAINS = """## What is above a goal, and where it goes

By package: of starts as `-X importtime` tells it, of warm calls as a timer of CPU time does. Percent are of the whole
of what it is compared with. What a package does of Python's library is its own in a call; in a start each module counts
for itself."""


def page_of(record: Record) -> str:
    """The page. A part that was not measured is left out, and said to be."""
    parts = {
        "goals": _goals(record),
        "starts": _starts(record),
        "calls": _calls(record),
        "growth": _growth(record),
        "load": _load(record),
        "remains": _remains(record),
        "layers": _layers(record),
    }
    missing = [name for name, text in parts.items() if not text and name != "remains"]
    if missing:
        parts["missing"] = f"Not measured in this run: {', '.join(missing)}."
    return "\n\n".join([_head(record), *(text for text in parts.values() if text)]) + "\n"


def _head(record: Record) -> str:
    return f"""# What it costs

Made by `make bench` with Python {record["python"]}: the functions as they are shipped, for the Python of the
machine, to handlers that are written otherwise ([benchmarks/](../benchmarks)). *Bare* is boto3 with the same clients,
and no framework. *Usual* is written as the documentation of Powertools shows its parts. Both have the whole of their
dependencies, with bytecode, and both keep the secret, as ours does. Only ratios are worth quoting.

{_runs(record["at"])}"""


def _runs(at: Mapping[str, str]) -> str:
    times = sorted(set(at.values()))
    if len(times) == 1:
        return f"Everything was measured in one run, which ended at {times[0]} UTC."
    told = (f"{', '.join(name for name in at if at[name] == time)} in that of {time} UTC" for time in times)
    return f"Measured in several runs: {'; '.join(told)}."


def _goals(record: Record) -> str:
    ratios, exponents = [], []
    for one in record["results"]:
        goal = (f"{one['goal']:.2f}", "yes" if is_met(one) else "**no**")
        if "exponent" in one["measured"]:
            exponents.append((one["what"], _now(one, "exponent"), *goal))
        else:
            before = "" if one["before"] is None else f"{one['before']:.2f}"
            ratios.append((one["what"], before, _now(one, "instructions"), _now(one, "CPU time"), *goal))
    return f"""*Before* is the state of 2026-11-24, in instructions. In brackets is the range over the rounds.
Instructions hardly vary, but do not all take the same time; the kernel's are not among them, and valgrind has none of
those that a processor has for SHA-256. CPU time is what is paid for. A goal is met when both are within it.

{_table("what|before|instructions|CPU time|goal at most|met", ratios)}

An exponent of 1 is linear growth, one of 0 none.

{_table("growth|exponent|goal at most|met", exponents)}"""


def _now(result: Mapping[str, Any], kind: str) -> str:
    told = result["measured"].get(kind)
    if told is None:
        return ""
    low, high = (f"{bound:z.2f}" for bound in told["range"])
    return f"{told['now']:z.2f}" + (f" ({low} to {high})" if low != high else "")


def is_met(result: Mapping[str, Any]) -> bool:
    """Whether all that was measured is within the goal, as the page shows the two."""
    return all(round(told["now"], 2) <= result["goal"] for told in result["measured"].values())


def _starts(record: Record) -> str:
    if "starts" not in record or "first_calls" not in record:
        return ""
    starts, first = record["starts"], record["first_calls"]
    medians = _medians(_steadiest(starts))
    reference = {name: medians[f"bare {name.rpartition(' ')[2]}"] for name in medians}
    shown = ["webhook", "bare webhook", "usual webhook", "task", "bare task", "processor", "bare processor"]
    bars = [f"{medians[name] / reference[name]:.2f}" for name in shown]
    return f"""## Starts

Init is everything up to the end of the handler's imports. The first call is under AWS's own runtime client, with AWS on
loopback. The runtime client is in all of them.

{_measured("init", starts)}

{_measured("init and first call", first)}

{_chart("Init, to bare", shown, bars)}"""


def _calls(record: Record) -> str:
    if "calls" not in record or "large_bodies" not in record:
        return ""
    return f"""## Warm calls of the webhook

One process, each call another delivery: GitHub's own sample, 25 KB. AWS answers below botocore, so that all of botocore
is in it, but no network. X-Ray samples one request a second and 5 % of the rest: *traced* is one that it samples.

{_measured("warm call", record["calls"])}

A body of 1 MB, with the clients' calls answered in their place. The floor checks the signature and reads the JSON.

{_measured("body of 1 MB", record["large_bodies"])}"""


def _growth(record: Record) -> str:
    growth = record.get("growth", {})
    if "report" not in growth or "bundle" not in growth:
        return ""
    rows, lines = [], []
    for kind, unit in (("report", "files"), ("bundle", "MB")):
        sizes = growth[kind]
        times = [statistics.median(row["seconds"]) for row in sizes]
        lines.append([f"{time / times[0]:.2f}" for time in times])
        for row, time in zip(sizes, times, strict=True):
            peak, before = statistics.median(row["peak"]), statistics.median(row["before"])
            spread = f"{min(row['seconds']):.2f} to {max(row['seconds']):.2f}"
            rows.append(
                (f"{kind} of {row['size']:,} {unit}", f"{time:.2f}", spread, f"{peak:.1f}", f"{peak - before:.1f}")
            )
    report = growth["report"]
    names = [f"{row['size'] / report[0]['size']:.1f} times" for row in report]
    linear = [f"{row['size'] / report[0]['size']:.2f}" for row in report]
    return f"""## Growth of the work

The report on a pull request's files, 120 lines of patch each, and the bundle of an archive: read, every source checked,
packed again. The archive is of this project's sources and of pictures. Each is measured in a process of its own.

{_table("work|seconds of CPU|range|peak memory, MB|of it the work's", rows)}

{_chart("Seconds, to the smallest (bars: linear; lines: report, bundle)", names, linear, *lines)}"""


def _load(record: Record) -> str:
    if "load" not in record:
        return ""
    rows = []
    for one in record["load"]:
        cpu, memory = one["cpu_seconds"], one["peak_mb"]
        total, peak = sum(cpu.values()), sum(memory.values())
        rows.append(
            (
                f"{one['n']:,}",
                f"{one['seconds']:.1f}",
                f"{total:.1f}",
                *(f"{seconds:.1f} ({seconds / total:.0%})" for seconds in cpu.values()),
                f"{cpu['functions'] * 1000 / one['executions']:.0f}",
                f"{peak:,.0f}",
                *(f"{size:,.0f}" for size in memory.values()),
            )
        )
    numbers = [one["n"] for one in record["load"]]
    told = ""
    if len(numbers) > 1:
        series = {
            "time": [one["seconds"] for one in record["load"]],
            "CPU time of the functions": [one["cpu_seconds"]["functions"] for one in record["load"]],
            "peak memory": [sum(one["peak_mb"].values()) for one in record["load"]],
        }
        told = "\n\nExponents: " + ", ".join(f"{name} {slope(numbers, ys):.2f}" for name, ys in series.items()) + "."
    parts = list(record["load"][0]["cpu_seconds"])
    head = "|".join(
        [
            "deliveries",
            "seconds",
            "CPU s",
            *(f"CPU s, {part}" for part in parts),
            "CPU ms of the functions an execution",
            "peak MB",
            *(f"MB, {part}" for part in parts),
        ]
    )
    return f"""## Many deliveries

The load drill (`make load`) on the embedded AWS, on this one machine: what is ours there is the functions' processes,
their cold starts included; the embedded AWS does the rest, and AWS itself would do that elsewhere. Of four deliveries
three start an execution.

{_table(head, rows)}{told}"""


def _remains(record: Record) -> str:
    """For each goal that is not met, and that a package's share is known for: where it goes."""
    texts = []
    for one in record["results"]:
        if is_met(one):
            continue
        told = " and ".join(f"{measured['now']:.2f} in {kind}" for kind, measured in one["measured"].items())
        text = f"**{one['what']}** is {told}, not {one['goal']:.2f}."
        section = "starts" if one["section"] == "first_calls" else one["section"]
        shares = record.get("shares", {}).get(section, {})
        if one["section"] == "first_calls" and "starts" in record:
            text += f" {_of_the_first_call(record, one)}"
        if one["to"].startswith("usual"):
            # What is compared with bare is not what keeps ours above a part of the usual.
            measured = _medians(_steadiest(record[section]))
            bare = measured["bare webhook"] / measured["usual webhook"]
            text += f" Bare itself is {bare:.2f}: boto3 and the clients, which every handler needs that uses them."
        elif one["ours"] in shares and one["to"] in shares:
            text += "\n\n" + _differences(shares[one["ours"]], shares[one["to"]], one["to"])
        texts.append(text)
    return "\n\n".join([REMAINS, *texts]) if texts else ""


def _of_the_first_call(record: Record, result: Mapping[str, Any]) -> str:
    first, init = (_medians(_steadiest(record[section])) for section in ("first_calls", "starts"))
    above = first[result["ours"]] - first[result["to"]]
    of_init = init[result["ours"]] - init[result["to"]]
    unit = _unit(next(iter(record["first_calls"])))
    return f"Of {above:+,.0f} {unit}, {of_init:+,.0f} are init's and {above - of_init:+,.0f} the first call's."


def _differences(ours: Mapping[str, float], to: Mapping[str, float], name: str) -> str:
    mine, other = _folded(ours), _folded(to)
    whole = sum(other.values())
    above = {one: (mine.get(one, 0.0) - other.get(one, 0.0)) / whole for one in {*mine, *other} - {"the harness"}}
    ordered = sorted(above, key=lambda one: -abs(above[one]))[:SHOWN]
    rows = [(_called(one), f"{above[one]:+.1%}") for one in ordered if abs(above[one]) >= SMALL]
    levers = [one for one in sorted(above, key=lambda one: -above[one]) if one in LEVERS and above[one] >= SMALL]
    lever = f"\n\nThe next lever: {LEVERS[levers[0]]}." if levers else ""
    return _table(f"package|more than {name}", rows) + lever


def _folded(shares: Mapping[str, float]) -> dict[str, float]:
    """With our rooms together, and the reference's module as its own code."""
    folded: dict[str, float] = {}
    for name, value in shares.items():
        is_own = name in OWN or name.startswith(("bare_", "usual_", "floor_"))
        part = "own" if is_own else "the harness" if name in HARNESS else name
        folded[part] = folded.get(part, 0.0) + value
    return folded


def _called(package: str) -> str:
    if package == "own":
        return "own code, and the clients that it makes"
    return f"{package}, of Python's library" if package in sys.stdlib_module_names else package


def _layers(record: Record) -> str:
    rows = [(name, f"{size:.1f}") for name, size in record.get("megabytes", {}).items()]
    return f"## Layers\n\n{_table('layer|MB unzipped, without bytecode', rows)}" if rows else ""


def _measured(what: str, section: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    rows = []
    for name in next(iter(section.values())):
        cells = [name]
        for measured in section.values():
            values = measured[name]
            middle = statistics.median(values)
            spread = f"{max(values) / min(values) - 1:.1%}" if len(values) > 1 else "one round"
            cells += [f"{middle:,.{0 if middle >= 100 else 2}f}", spread]
        rows.append(cells)
    return _table("|".join([what, *(f"{_unit(kind)}|spread" for kind in section)]), rows)


def _steadiest(section: Mapping[str, Mapping[str, Sequence[float]]]) -> Mapping[str, Sequence[float]]:
    """What was measured with the least spread: instructions where they were counted."""
    return next(iter(section.values()))


def _unit(kind: str) -> str:
    return {str(name): unit for name, unit in UNITS.items()}[kind]


def _medians(measured: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in measured.items()}


def _table(head: str, rows: Iterable[Sequence[str]]) -> str:
    columns = head.split("|")
    lines = [f"| {' | '.join(columns)} |", "|---|" + "--:|" * (len(columns) - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _chart(title: str, names: Sequence[str], bars: Sequence[str], *lines: Sequence[str]) -> str:
    labels = ", ".join(f'"{name}"' for name in names)
    drawn = "".join(f"\n    line [{', '.join(line)}]" for line in lines)
    return f"""```mermaid
xychart-beta
    title "{title}"
    x-axis [{labels}]
    bar [{", ".join(bars)}]{drawn}
```"""
