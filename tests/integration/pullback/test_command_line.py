"""``python -m pullback``: what it says when it cannot do what it is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def local(directory: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pullback", "--directory", str(directory), *arguments],
        cwd=ROOT,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "no stack runs here"),
        ({"PULLBACK_URL": "http://127.0.0.1:9/webhook"}, "belong together"),
        ({"PULLBACK_SECRET": "x"}, "belong together"),
        ({"PULLBACK_URL": "http://127.0.0.1:9/webhook", "PULLBACK_SECRET": "x"}, "did not answer"),
    ],
)
def test_trigger_says_what_is_missing(tmp_path: Path, environ: dict[str, str], message: str) -> None:
    done = local(tmp_path, "trigger", **environ)
    assert done.returncode == 1
    assert message in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_down_without_a_stack_is_no_error(tmp_path: Path) -> None:
    assert local(tmp_path, "down").returncode == 0
