"""The operator's command, installed from the checkout as pipx and uv tool do it: without the embedded AWS."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own, with the command in it."""
    directory = tmp_path_factory.mktemp("installed") / "env"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, directory], check=True)
    python = directory / "bin" / "python"
    subprocess.run([UV, "pip", "install", "--quiet", "--python", python, ROOT], check=True, timeout=240)
    return directory


def ran(environment: Path, elsewhere: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return subprocess.run(
        [environment / "bin" / "pullback", *arguments],
        cwd=elsewhere,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_shows_three_groups(environment: Path, tmp_path: Path) -> None:
    done = ran(environment, tmp_path, "--help")
    assert done.returncode == 0, done.stderr
    places = [done.stdout.index(f"\n{title}") for title in ("run it here:", "operate it (", "drill it:")]
    assert places == sorted(places)


@pytest.mark.parametrize("command", ["replay", "trace"])
def test_it_operates_a_deployed_stack_from_anywhere(environment: Path, tmp_path: Path, command: str) -> None:
    done = ran(environment, tmp_path, command, "--stack", "nowhere")
    # It came as far as asking AWS.
    assert (done.returncode, "no region" in done.stdout) == (1, True), done.stdout + done.stderr


def test_what_needs_a_checkout_says_so(environment: Path, tmp_path: Path) -> None:
    done = ran(environment, tmp_path, "run")
    assert (done.returncode, "works in a checkout only" in done.stdout) == (1, True)


def test_the_embedded_aws_is_not_among_its_dependencies(environment: Path) -> None:
    (packages,) = environment.glob("lib/python3*/site-packages")
    names = {one.name.partition("-")[0] for one in packages.glob("*.dist-info")}
    assert {"pullback", "rich", "boto3"} <= names
    assert not {"ministack", "microburst", "aws_sam_cli", "flask", "pygit2"} & names
