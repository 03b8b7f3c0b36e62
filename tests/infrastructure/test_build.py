"""The packages that `sam build` makes, and the code in them."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from local.stack import aws_environment
from processor.triggers import collect
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOMS = {
    "webhook": "WebhookFunction",
    "task": "TaskFunction",
    "processor": "ProcessorFunction",
    "crash": "CrashFunction",
    "closing": "ClosingFunction",
    "replay": "ReplayFunction",
    "sweeper": "SweeperFunction",
    "watch": "WatchFunction",
}
WRITE_TO_GITHUB = {"closing", "processor", "sweeper"}
"""The rooms that have the pull request's side with them, and its dependencies."""
HANDLERS = {function: f"{room}.handler" for room, function in ROOMS.items()}


def imports(directory: Path) -> Iterator[tuple[Path, str]]:
    """Every import of a room, as the first two parts of its name."""
    for file in directory.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                yield from ((file, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield file, node.module or ""


@pytest.mark.parametrize("room", sorted({*ROOMS, "shared"} - WRITE_TO_GITHUB))
def test_the_fast_rooms_import_nothing_heavy(room: str) -> None:
    heavy = {"github", "yaml", "requests", "unidiff", "aws_lambda_powertools.event_handler"}
    for file, name in imports(ROOT / "functions" / room):
        assert name.split(".")[0] not in heavy, file
        assert "envelopes" not in name, file
        assert not name.startswith("aws_lambda_powertools.event_handler"), file


def test_the_functions_execute_nothing() -> None:
    forbidden = {"subprocess", "pickle", "marshal", "runpy", "pty"}
    for file, name in imports(ROOT / "functions"):
        assert name.split(".")[0] not in forbidden, file
    for file in (ROOT / "functions").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"exec", "eval", "__import__"}, file
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"system", "popen", "extractall"}, file


def test_no_handler_logs_or_prints_its_event() -> None:
    for file in (ROOT / "functions").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            assert name != "print", file
            if ".log." in name:
                arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
                shown = {one.id for argument in arguments for one in ast.walk(argument) if isinstance(one, ast.Name)}
                assert not shown & {"event", "token", "task", "body", "headers", "payload"}, (file, node.lineno)


def test_the_packages_hold_the_data_of_the_services_that_are_called() -> None:
    services = re.search(r"^BOTOCORE_SERVICES := (.*)$", (ROOT / "functions/Makefile").read_text(), re.MULTILINE)
    assert services
    called = {
        node.args[0].value
        for file in (ROOT / "functions").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "client"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    assert called
    # sts is botocore's own, for credentials that come from a role.
    assert called | {"sts"} == set(services[1].split())


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages for AWS, as a person builds them: for python3.14 on arm64, without Docker or that Python."""
    directory = tmp_path_factory.mktemp("package")
    bin_directory = os.path.dirname(sys.executable)  # noqa: PTH120 - a virtual environment's link must stay
    environ = aws_environment() | {"PATH": f"{bin_directory}{os.pathsep}{os.environ['PATH']}"}
    command = ["sam", "build", "--build-dir", str(directory / "build"), "--cache-dir", str(directory / "cache")]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory / "build"


@pytest.mark.parametrize("room", ROOMS)
def test_a_package_holds_its_room_and_no_other(package: Path, room: str) -> None:
    directory = package / ROOMS[room]
    assert (directory / room / "handler.py").exists()
    assert (directory / "shared" / "job.py").exists()
    assert (directory / "pullrequest").exists() is (room in WRITE_TO_GITHUB)
    assert not [other for other in ROOMS if other != room and (directory / other).exists()]
    assert not list(directory.rglob("__pycache__"))


@pytest.mark.parametrize("function", HANDLERS)
def test_a_functions_handler_is_in_its_package(package: Path, resources: dict[str, Any], function: str) -> None:
    assert resources[function]["Properties"]["Handler"] == f"{HANDLERS[function]}.lambda_handler"
    file = package / function / f"{HANDLERS[function].replace('.', '/')}.py"
    assert "def lambda_handler(" in file.read_text()


def test_every_function_has_a_package(resources: dict[str, Any]) -> None:
    assert {name for name, one in resources.items() if one["Type"] == "AWS::Lambda::Function"} == set(HANDLERS)


def test_the_triggers_are_in_the_webhooks_package(package: Path) -> None:
    assert json.loads((package / "WebhookFunction/webhook/triggers.json").read_text()) == collect()


@pytest.mark.parametrize("room", ROOMS)
def test_native_code_is_for_the_platform_of_the_template(package: Path, room: str) -> None:
    libraries = [file.name for file in (package / ROOMS[room]).rglob("*.so")]
    assert any("pydantic_core" in name for name in libraries)
    for name in libraries:
        assert "x86_64" not in name
        assert "cpython-311" not in name
        assert "aarch64" in name or "abi3" in name, name


@pytest.mark.parametrize("room", ROOMS)
def test_a_package_is_well_below_lambdas_limit(package: Path, room: str) -> None:
    size = sum(file.stat().st_size for file in (package / ROOMS[room]).rglob("*") if file.is_file())
    assert size < 100 * 1024 * 1024, f"{size / 1e6:.0f} MB of 250 MB"


@pytest.mark.parametrize("room", ROOMS)
def test_only_who_writes_to_github_has_its_client(package: Path, room: str) -> None:
    assert (package / ROOMS[room] / "github").exists() is (room in WRITE_TO_GITHUB)
