"""The packages that `sam build` makes, and the code in them."""

from __future__ import annotations

import ast
import importlib.util
import json
import marshal
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local.stack import aws_environment
from package import TARGET_PLATFORM, TARGET_VERSION
from processor.triggers import collect
from tests.conftest import ROOT
from tests.infrastructure.conftest import build

if TYPE_CHECKING:
    from collections.abc import Iterator

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
SHIPPED = (*ROOMS, "pullrequest", "shared")
WRITE_TO_GITHUB = {"closing", "processor", "sweeper"}
"""The rooms that have the pull request's side with them, and its dependencies."""
LAYERS = ("DependenciesLayer", "GitHubLayer")
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
    for file, name in (found for room in SHIPPED for found in imports(ROOT / "functions" / room)):
        assert name.split(".")[0] not in forbidden, file
    for file in (ROOT / "functions").glob("*/**/*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"exec", "eval", "__import__"}, file
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"system", "popen", "extractall"}, file


def test_no_handler_logs_or_prints_its_event() -> None:
    for file in (ROOT / "functions").glob("*/**/*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            assert name != "print", file
            if ".log." in name:
                arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
                shown = {one.id for argument in arguments for one in ast.walk(argument) if isinstance(one, ast.Name)}
                assert not shown & {"event", "token", "task", "body", "headers", "payload"}, (file, node.lineno)


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages for AWS, as a person builds them: for python3.14 on arm64, without Docker or that Python."""
    directory = tmp_path_factory.mktemp("package")
    build(directory, {})
    return directory / "build"


@pytest.mark.parametrize("room", ROOMS)
def test_a_package_holds_its_room_and_no_other(package: Path, room: str) -> None:
    directory = package / ROOMS[room]
    assert (directory / room / "handler.py").exists()
    assert (directory / "shared" / "job.py").exists()
    assert (directory / "pullrequest").exists() is (room in WRITE_TO_GITHUB)
    assert not [other for other in ROOMS if other != room and (directory / other).exists()]
    # The dependencies are in the layers.
    assert {one.name for one in directory.iterdir()} == {"shared", room} | (
        {"pullrequest"} if room in WRITE_TO_GITHUB else set()
    )


@pytest.mark.parametrize("function", HANDLERS)
def test_a_functions_handler_is_in_its_package(package: Path, resources: dict[str, Any], function: str) -> None:
    assert resources[function]["Properties"]["Handler"] == f"{HANDLERS[function]}.lambda_handler"
    file = package / function / f"{HANDLERS[function].replace('.', '/')}.py"
    assert "def lambda_handler(" in file.read_text()


def test_every_function_has_a_package(resources: dict[str, Any]) -> None:
    assert {name for name, one in resources.items() if one["Type"] == "AWS::Lambda::Function"} == set(HANDLERS)


def test_the_triggers_are_in_the_webhooks_package(package: Path) -> None:
    assert json.loads((package / "WebhookFunction/webhook/triggers.json").read_text()) == collect()


def test_layers_are_for_the_platform_and_the_python_of_the_template(package: Path, resources: dict[str, Any]) -> None:
    function = resources["WebhookFunction"]["Properties"]
    assert function["Runtime"] == f"python{TARGET_VERSION}"
    assert function["Architectures"] == ["arm64"]
    assert TARGET_PLATFORM.startswith("aarch64")
    layers = [one["Properties"] for one in resources.values() if one["Type"] == "AWS::Lambda::LayerVersion"]
    assert len(layers) == len(LAYERS)
    for layer in layers:
        assert layer["CompatibleRuntimes"] == [function["Runtime"]]
        assert layer["CompatibleArchitectures"] == function["Architectures"]
    libraries = [file.name for layer in LAYERS for file in (package / layer).rglob("*.so")]
    assert any(name.startswith("_core.cpython") for name in libraries)
    for name in libraries:
        assert "x86_64" not in name
        assert "aarch64" in name or "abi3" in name, name
        assert "cpython" not in name or f"cpython-{TARGET_VERSION.replace('.', '')}" in name


@pytest.mark.parametrize("room", ROOMS)
def test_only_who_writes_to_github_has_its_client(resources: dict[str, Any], room: str) -> None:
    layers = [one["Ref"] for one in resources[ROOMS[room]]["Properties"]["Layers"]]
    # SAM gives a layer's logical name an ending of its content's.
    assert [name[: len(layer)] for name, layer in zip(layers, LAYERS, strict=False)] == list(LAYERS)[: len(layers)]
    assert len(layers) == (2 if room in WRITE_TO_GITHUB else 1)


def test_no_layer_repeats_another(package: Path) -> None:
    base, github = ({one.name for one in (package / layer / "python").iterdir()} for layer in LAYERS)
    assert {"aws_lambda_powertools", "boto3", "botocore", "msgspec", "aws_xray_sdk"} <= base
    assert {"github", "requests", "yaml", "unidiff"} <= github
    # Bytecode of single modules.
    assert base & github <= {"__pycache__"}


def test_a_layer_holds_only_what_is_used(package: Path) -> None:
    sizes = [size_of(package / layer) for layer in LAYERS]
    assert sizes[0] < 8e6, f"{sizes[0] / 1e6:.1f} MB"
    # Of which PyGithub's two libraries of cryptography are 17.
    assert sum(sizes) < 30e6, f"{sum(sizes) / 1e6:.1f} MB"


def size_of(directory: Path) -> int:
    """Bytes, without bytecode."""
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file() and file.suffix != ".pyc")


ON_LAMBDA = {
    "LAMBDA_TASK_ROOT": "/var/task",
    "POWERTOOLS_LOG_LEVEL": "INFO",
    "SWEEP_HOOKS": "octo-org/hello:1",
}

NO_COMPILING = """
import importlib, importlib.abc, importlib.machinery, sys

def refuse(self, data, path, **options):
    raise AssertionError(f"compiled: {path}")

importlib.machinery.SourceFileLoader.source_to_code = refuse
sys.dont_write_bytecode = True
"""


@pytest.fixture
def environ(resources: dict[str, Any]) -> dict[str, str]:
    """The variables of every function's environment, with some value."""
    functions = [one["Properties"] for one in resources.values() if one["Type"] == "AWS::Lambda::Function"]
    names = {name for one in functions for name in one["Environment"]["Variables"]}
    some = {name: "https://1" if name.endswith("_URL") else "1" for name in names}
    return aws_environment() | some | {"DEFAULT_POLICY": ""} | ON_LAMBDA


def imported(
    package: Path, function: str, names: list[str], environ: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Imports modules as the function would, in a Python that cannot compile a file."""
    paths = [package / function, *(package / layer / "python" for layer in LAYERS)]
    script = NO_COMPILING + f"sys.path[:0] = {[str(path) for path in paths]!r}\n"
    script += "".join(f"importlib.import_module({name!r})\n" for name in names)
    # Without the environment's packages: what is not in the package is not there.
    command = [sys.executable, "-I", "-S", "-c", script]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("room", ROOMS)
def test_a_function_starts_from_its_package_without_compiling(
    local_package: Path, environ: dict[str, str], room: str
) -> None:
    folder = local_package / ROOMS[room]
    modules = [".".join(file.relative_to(folder).with_suffix("").parts) for file in sorted(folder.rglob("*.py"))]
    names = [name.removesuffix(".__init__") for name in modules]
    assert f"{room}.handler" in names
    done = imported(local_package, ROOMS[room], names, environ)
    assert done.returncode == 0, done.stderr


def test_every_file_has_bytecode_that_no_time_makes_stale(local_package: Path) -> None:
    files = [*local_package.rglob("*.py")]
    assert len(files) > 1000
    for file in files:
        header = Path(importlib.util.cache_from_source(str(file))).read_bytes()[:8]
        assert header[:4] == importlib.util.MAGIC_NUMBER
        # PEP 552: bit 0 for a hash in place of a time, bit 1 for one that is checked.
        assert int.from_bytes(header[4:], "little") == 1, file


def test_a_missing_file_of_bytecode_is_noticed(local_package: Path, environ: dict[str, str], tmp_path: Path) -> None:
    broken = tmp_path / "build"
    shutil.copytree(local_package, broken)
    shutil.rmtree(broken / "DependenciesLayer/python/botocore/__pycache__")
    done = imported(broken, "WebhookFunction", ["webhook.handler"], environ)
    assert done.returncode != 0
    assert "compiled: " in done.stderr


def test_the_bytecode_says_where_it_will_run(local_package: Path) -> None:
    for file, path in (
        (local_package / "DependenciesLayer/python/boto3/session.py", "/opt/python/boto3/session.py"),
        (local_package / "WebhookFunction/webhook/handler.py", "/var/task/webhook/handler.py"),
    ):
        bytecode = Path(importlib.util.cache_from_source(str(file))).read_bytes()
        code = marshal.loads(bytecode[16:])  # noqa: S302 - of our own build
        assert code.co_filename == path
