"""The load drill, small, against the stack of the tests."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from drills.load.drill import drill
from local.progress import Progress

if TYPE_CHECKING:
    from tests.e2e.conftest import Deployed

N = 40


def test_one_execution_for_each_good_delivery_and_every_answer_right(deployed: Deployed) -> None:
    result = drill(deployed.stack.info, Progress(), N, deadline_seconds=60)
    assert result.violations == []
    assert (result.accepted, result.duplicates, result.rejected) == (30, 8, 2)
    assert (result.executions, result.lost) == ({"SUCCEEDED": 30}, 0)
    assert 0 < result.ack_ms["p50"] <= result.ack_ms["p99"] < 10_000
    assert 0 < result.completion_ms["p50"] <= result.completion_ms["p99"] <= result.seconds * 1000 + 1000
    # The engine alone has more; it and the workers of the three functions are counted.
    assert result.peak_memory_mb > 150
    assert {"engine", "engine children", "github"} <= result.memory_mb.keys()
    assert result.cpu_seconds["engine children"] > 0
    json.dumps(dataclasses.asdict(result))


def test_an_answer_of_githubs_that_lags_costs_nothing_but_time(deployed: Deployed) -> None:
    result = drill(deployed.stack.info, Progress(), N, deadline_seconds=120, lag_percent=10)
    assert result.violations == []
    assert (result.executions, result.lost) == ({"SUCCEEDED": 30}, 0)
    # At least five calls an execution, of which one in ten meets a lag.
    assert result.lagged >= 10


def test_the_same_deliveries_again_are_noticed(deployed: Deployed) -> None:
    """The drill itself can fail: what was delivered before is a duplicate, although nothing is lost."""
    seed = drill(deployed.stack.info, Progress(), 4, deadline_seconds=60).seed
    again = drill(deployed.stack.info, Progress(), 4, seed=seed, deadline_seconds=60)
    assert not again.holds
    assert any("answered 200 duplicate" in one for one in again.violations)
