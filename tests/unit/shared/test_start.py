from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FUNCTIONS = Path(__file__).resolve().parents[3] / "functions"
ROOMS = sorted(path.parent.name for path in FUNCTIONS.glob("*/handler.py"))
_SCRIPT = """
import gc, sys
import {room}
print(gc.isenabled(), [name for name in sys.modules if name.startswith(("boto", "aws_lambda", "github"))])
from shared.telemetry import Telemetry
Telemetry("x").handler(lambda event, context: None)
print(gc.isenabled(), gc.get_freeze_count() > 1000)
"""


@pytest.mark.parametrize("room", ROOMS)
def test_on_lambda_no_garbage_is_looked_for_until_the_handler_is_made(room: str) -> None:
    assert _started(room, {"LAMBDA_TASK_ROOT": "/var/task"}) == ["False []", "True True"]


def test_elsewhere_the_collector_is_left_alone() -> None:
    assert _started("webhook", {}) == ["True []", "True False"]


def _started(room: str, variables: dict[str, str]) -> list[str]:
    environ = {name: value for name, value in os.environ.items() if name != "LAMBDA_TASK_ROOT"}
    environ |= {"PYTHONPATH": str(FUNCTIONS), "POWERTOOLS_TRACE_DISABLED": "true", **variables}
    command = [sys.executable, "-c", _SCRIPT.format(room=room)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.splitlines()
