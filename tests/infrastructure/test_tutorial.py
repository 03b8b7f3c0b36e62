"""The tutorial of docs/actions.md, done in a copy of the project: nothing else changes for a new action."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from local import flow
from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

COPIED = ("functions", "tests", "local", "drills", "ops", "pullback", "events", "statemachine", "pyproject.toml")
SHOWN = re.compile(r"`((?:functions|tests)/[\w/]+\.py)`:\n\n```python\n(.*?)```\n", re.DOTALL)


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    """The files that the tutorial shows, by path."""
    return dict(SHOWN.findall((ROOT / "docs" / "actions.md").read_text()))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, files: dict[str, str]) -> Path:
    """A copy of the project with the tutorial's files in it, and no other change."""
    copy = tmp_path_factory.mktemp("project")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    for path, text in files.items():
        (copy / path).write_text(text)
    return copy


def ran(project: Path, *command: str) -> str:
    """The output of a command in the copy, which has to succeed."""
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=project, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_tutorial_has_an_action_and_its_test(files: dict[str, str]) -> None:
    assert [path.partition("/")[0] for path in files] == ["functions", "tests"]


def test_what_it_shows_is_clean(project: Path, files: dict[str, str]) -> None:
    ran(project, "ruff", "format", "--check", *files)
    ran(project, "ruff", "check", *files)
    ran(project, "mypy", "--no-incremental", *files)


def test_its_test_and_those_of_the_processor_pass(project: Path) -> None:
    out = ran(
        project, "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/processor", "-k", "count or registry or attempt"
    )
    assert re.search(r"\d+ passed", out)


def test_a_delivery_for_it_can_be_made(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "PROJECT", project)
    assert b'"action": "ready_for_review"' in flow.sample_of("count_files")
    with pytest.raises(FileNotFoundError, match="build, count_files, synchronize"):
        flow.sample_of("nope")
