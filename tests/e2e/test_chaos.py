"""The fault drill, short: the rows that show the most, on a stack with the fault proxy in it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from drills.chaos.drill import drill
from drills.chaos.model import Expected
from drills.chaos.rows import ROWS
from local.progress import Progress

if TYPE_CHECKING:
    from local.stack import LocalStack

SHOWN = (
    "processor killed in work, reading the changes",
    "webhook StartExecution: throttled",
    "the idempotency table is down for a moment",
    "processor SendTaskSuccess: reset",
    "GitHub answers 502 to each read of an attempt",
    "poison in the crash queue, beside a good message",
)


def test_the_faults_hold(faulty: LocalStack) -> None:
    rows = [row for row in ROWS if row.name in SHOWN]
    assert len(rows) == len(SHOWN)
    results = drill([faulty], rows, Progress())
    assert [(one.name, one.problems) for one in results if not one.held] == []
    assert [one.name for one in results] == [row.name for row in rows]
    assert all(one.effects == 2 for one in results), "one pending and one result each"


def test_the_drill_notices_what_does_not_hold(faulty: LocalStack) -> None:
    (row,) = [one for one in ROWS if one.name == "GitHub answers 403 to a read"]
    wrong = Expected(metrics={"processor.WorkFailed": 0})
    # Nothing of this fault happens in this scene, and what happens is not what is expected.
    unfired = ROWS[0].aws
    (result,) = drill([faulty], [dataclasses.replace(row, expected=wrong, aws=unfired)], Progress())
    assert not result.held
    told = "\n".join(result.problems)
    for what in ("the fault did not happen", "executions: ", "statuses: ", "processor.WorkFailed is 1, not 0"):
        assert what in told
