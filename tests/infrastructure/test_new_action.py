"""`pullback new-action` writes an action that passes at once: its test, lint, types, and the build's collection."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from local.progress import Progress
from pullback.new_action import new_action
from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# As long as one can be: what is written has to fit into its lines.
NAME = "licence_check_of_each_file_that_is_added"
COPIED = ("functions", "tests", "local", "ops", "drills", "pullback", "benchmarks", "pyproject.toml", "template.yaml")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("checkout")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, directory / name)
    assert new_action(NAME, directory, Progress()) == 0
    return directory


def ran(copy: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"PYTHONPATH": f"{copy}:{copy / 'functions'}"}
    return subprocess.run(
        [sys.executable, *command], cwd=copy, env=environ, capture_output=True, text=True, check=False
    )


def test_its_test_passes(copy: Path) -> None:
    done = ran(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/unit/processor/test_{NAME}.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_it_is_clean(copy: Path) -> None:
    files = [f"functions/processor/actions/{NAME}.py", f"tests/unit/processor/test_{NAME}.py"]
    for command in (["-m", "ruff", "check", *files], ["-m", "ruff", "format", "--check", *files]):
        done = ran(copy, *command)
        assert done.returncode == 0, done.stdout + done.stderr
    done = ran(copy, "-m", "mypy", files[0])
    assert done.returncode == 0, done.stdout


def test_the_build_finds_it(copy: Path, tmp_path: Path) -> None:
    out = tmp_path / "triggers.json"
    assert ran(copy, "functions/processor/triggers.py", str(out)).returncode == 0
    assert json.loads(out.read_text())["pull_request"][NAME] == NAME


@pytest.mark.parametrize(
    "name", ["build", "opened", NAME, "Build", "1x", "a-b", "", "../x", "class", "x" * 41, "archive"]
)
def test_a_name_that_cannot_be_one_is_refused(copy: Path, name: str) -> None:
    assert new_action(name, copy, Progress()) == 2
