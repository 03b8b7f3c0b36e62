from __future__ import annotations

import io
import sys
import time
from functools import partial

import pytest
from rich.console import Console

from benchmarks.measure import in_turns, ratios


def quiet() -> Console:
    return Console(file=io.StringIO())


def test_those_who_are_timed_take_turns() -> None:
    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return len(order)

    found = in_turns({name: partial(measure, name) for name in "ab"}, "CPU time", 2, quiet(), "x")
    assert order == ["a", "b", "a", "b"]
    assert found == {"a": [1, 3], "b": [2, 4]}


def test_side_by_side_each_stays_in_its_round() -> None:
    left = iter([0.2, 0.0])

    def measure() -> float:
        pause = next(left)
        time.sleep(pause)
        return pause

    assert in_turns({"a": measure}, "instructions", 2, quiet(), "x") == {"a": [0.2, 0.0]}


def test_whoever_fails_ends_the_run_at_once() -> None:
    done: list[str] = []
    measures = {"broken": lambda: sys.exit("it does not start"), "next": lambda: done.append("next") or 1.0}
    with pytest.raises(SystemExit, match="it does not start"):
        in_turns(measures, "CPU time", 50, quiet(), "x")
    assert len(done) < 50


def test_ratios_are_of_the_same_round() -> None:
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
