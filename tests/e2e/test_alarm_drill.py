"""The alarm drill, short: a row of each kind. `make alarm-drill` is all of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from drills.alarms.drill import Drill, write
from drills.alarms.rows import ROWS
from local.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from local.stack import LocalStack

SHOWN = {
    # A metric of AWS itself, and a page.
    "webhook-errors": "page-deliveries",
    # A metric in the functions' logs, and a ticket.
    "signature-failures": "ticket-deliveries",
    # One that is published.
    "processor-throttles": "ticket-work",
    # What is missing.
    "watch-silent": "ticket-telemetry",
}
"""Alarms, and the composite ones that tell of them."""


@pytest.fixture(scope="module")
def drill(faulty: LocalStack) -> Drill:
    drill = Drill(faulty, Progress())
    drill.begin()
    return drill


def test_alarms_fire_clear_and_are_told_of(drill: Drill, tmp_path: Path) -> None:
    rows = [row for row in ROWS if set(row.alarms) & SHOWN.keys()]
    outcomes = drill.run(rows)
    assert [(one.row.fault.name, one.problems) for one in outcomes if one.problems] == []

    drilled = drill.drilled(outcomes)
    write(drilled, tmp_path / "alarms.json")
    found = {one["name"]: one for one in json.loads((tmp_path / "alarms.json").read_text())["alarms"]}
    for alarm, composite in SHOWN.items():
        for name in (alarm, composite):
            assert found[f"pullback-local-{name}"]["fired"] is True
            assert found[f"pullback-local-{name}"]["cleared"] is True
    assert found["pullback-local-webhook-errors"]["by"].startswith("fault: ")
    assert found["pullback-local-page-deliveries"]["by"].endswith(
        "webhook-errors, pullback-local-webhook-failing in ALARM; page topic told"
    )
    assert found["pullback-local-processor-throttles"]["by"].startswith("published: ")


def test_what_fires_nothing_is_a_failure(drill: Drill) -> None:
    everything = drill.drilled([], drill.names)
    assert len(everything) == len(drill.names) > 30
    assert not any(one.fired or one.cleared for one in everything)
