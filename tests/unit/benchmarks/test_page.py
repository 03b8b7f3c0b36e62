"""The page is made of the record, and of nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.goals import GOALS, results
from benchmarks.load import row
from benchmarks.page import is_met, page_of
from benchmarks.starts import CALLED, STARTED, by_package


def section(names: tuple[str, ...], **changed: list[float]) -> dict[str, Any]:
    measured = {name: [1000.0, 1000.0] for name in names} | {
        name.replace("_", " "): values for name, values in changed.items()
    }
    return {"instructions": measured, "CPU time": {name: values[::-1] for name, values in measured.items()}}


def grown(*seconds: float) -> list[dict[str, Any]]:
    return [
        {"size": 10 * 10**number, "seconds": [taken, taken], "before": [30.0, 30.0], "peak": [40.0, 40.0]}
        for number, taken in enumerate(seconds)
    ]


def load_report(n: int) -> dict[str, Any]:
    return {
        "n": n,
        "executions": {"SUCCEEDED": n // 2, "FAILED": n // 4},
        "seconds": n / 10,
        "cpu_seconds": {"engine": n / 20, "engine children": n / 50, "github": n / 100},
        "memory_mb": {"engine": 200.0, "engine children": 400.0, "github": 50.0},
    }


@pytest.fixture
def record() -> dict[str, Any]:
    return {
        "python": "3.14",
        "at": dict.fromkeys(("starts", "calls", "growth", "load"), "2026-11-27 12:00"),
        "starts": section(STARTED, webhook=[1200.0, 1210.0]),
        "first_calls": section(CALLED, webhook=[1300.0, 1310.0]),
        "calls": section(("webhook", "bare webhook"), webhook=[5.0, 5.1], bare_webhook=[5.0, 5.0]),
        "large_bodies": section(("webhook", "floor webhook")),
        "growth": {"report": grown(1.0, 10.0, 100.0), "bundle": grown(1.0, 10.0, 100.0)},
        "load": [row(load_report(n)) for n in (200, 1_000)],
        "shares": {
            "starts": {
                "webhook": {"webhook": 10.0, "shared": 10.0, "aws_xray_sdk": 12.0, "asyncio": 8.0, "boto3": 80.0},
                "bare webhook": {"bare_webhook": 20.0, "boto3": 80.0},
            }
        },
        "megabytes": {"what every function has": 12.2},
    }


def made(record: dict[str, Any]) -> str:
    return page_of(record | {"results": list(results(record))})


def test_a_ratio_is_of_the_same_round(record: dict[str, Any]) -> None:
    first = next(results(record))
    told = first["measured"]["instructions"]
    assert (told["now"], told["range"]) == (1.205, [1.2, 1.21])


def test_what_is_of_another_run_is_said_to_be(record: dict[str, Any]) -> None:
    assert "measured in one run, which ended at 2026-11-27 12:00 UTC." in made(record)
    record["at"]["load"] = "2026-11-27 13:00"
    told = "starts, calls, growth in that of 2026-11-27 12:00 UTC; load in that of 2026-11-27 13:00 UTC."
    assert told in made(record)


def test_growth_is_told_by_its_exponent(record: dict[str, Any]) -> None:
    record["growth"]["report"] = grown(1.0, 100.0, 10_000.0)
    found = {one["what"]: one["measured"]["exponent"]["now"] for one in results(record) if one["section"] == "growth"}
    assert found["report: exponent of time"] == pytest.approx(2)
    assert found["report: exponent of peak memory"] == pytest.approx(0)
    assert found["bundle: exponent of time"] == pytest.approx(1)


def test_every_goal_is_on_the_page_and_says_whether_it_is_met(record: dict[str, Any]) -> None:
    text = made(record)
    rows = [line for line in text.splitlines() if line.startswith("| ") and line.endswith(("| yes |", "| **no** |"))]
    assert len(rows) == len(GOALS)
    assert "| init of webhook, to its bare | 4.28 | 1.21 (1.20 to 1.21) | 1.21 (1.20 to 1.21) | 1.00 | **no** |" in rows
    assert "| warm call of webhook, to its bare |  | 1.01 (1.00 to 1.02) | 1.01 (1.00 to 1.02) | 1.20 | yes |" in rows
    assert "Not measured" not in text


def test_what_is_above_a_goal_is_told_by_package_largest_first(record: dict[str, Any]) -> None:
    remains = made(record).partition("## What is above a goal")[2]
    assert remains.index("| aws_xray_sdk | +12.0% |") < remains.index("| asyncio, of Python's library | +8.0% |")
    assert "| boto3" not in remains
    assert "own code" not in remains
    assert "The next lever: the X-Ray SDK" in remains


def test_what_the_first_call_adds_is_told_apart_from_init(record: dict[str, Any]) -> None:
    assert "Of +305 million instructions, +205 are init's and +100 the first call's." in made(record)


def test_below_the_usual_bare_is_the_floor(record: dict[str, Any]) -> None:
    record["starts"]["instructions"]["usual webhook"] = [1600.0, 1600.0]
    told = "**init of webhook, to the usual handler** is 0.75 in instructions and 1.21 in CPU time, not 0.50."
    assert f"{told} Bare itself is 0.62:" in made(record)


def test_a_goal_is_met_in_instructions_and_in_time(record: dict[str, Any]) -> None:
    record["calls"]["CPU time"]["webhook"] = [8.0, 8.0]
    text = made(record)
    assert "| warm call of webhook, to its bare |  | 1.01 (1.00 to 1.02) | 1.60 | 1.20 | **no** |" in text
    assert "is 1.01 in instructions and 1.60 in CPU time, not 1.20." in text


def test_nothing_remains_where_every_goal_is_met(record: dict[str, Any]) -> None:
    record["starts"] = section(STARTED, webhook=[500.0, 500.0])
    record["first_calls"] = section(CALLED)
    assert all(map(is_met, results(record)))
    assert "What is above a goal" not in made(record)


def test_a_part_that_was_not_measured_is_said_to_be_missing(record: dict[str, Any]) -> None:
    del record["load"], record["growth"]
    text = made(record)
    assert "Not measured in this run: growth, load." in text
    assert "exponent of time" not in text


def test_the_functions_share_of_many_deliveries_is_told(record: dict[str, Any]) -> None:
    text = made(record)
    assert "| 1,000 | 100.0 | 80.0 | 20.0 (25%) | 50.0 (62%) | 10.0 (12%) | 27 | 650 | 400 | 200 | 50 |" in text
    assert "Exponents: time 1.00, CPU time of the functions 1.00, peak memory 0.00." in text


def test_import_times_are_summed_by_package() -> None:
    told = """import time: self [us] | cumulative | imported package
import time:       500 |        500 |     botocore.compat
import time:      1500 |       2000 |   botocore
import time:       250 |       2250 | json
noise
"""
    assert by_package(told) == {"botocore": 2.0, "json": 0.25}
