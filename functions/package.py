"""Makes what is shipped: the layers with the dependencies, and the functions' own code, with bytecode.

    python functions/package.py python
    python functions/package.py layer --group functions --into DIR
    python functions/package.py function --rooms shared webhook --into DIR

Called by functions/Makefile, which `sam build` calls. It needs uv, and neither Docker nor an installed dependency: uv
takes wheels for the target platform. PULLBACK_BUILD=local builds for the Python that runs this, for the embedded AWS;
otherwise the target is Lambda's python3.14 on arm64.

Only what is used is shipped: botocore describes every AWS service, 25 MB of it, and its descriptions are read at each
cold start. Here they hold the operations that functions/ calls, found in its source.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FUNCTIONS = Path(__file__).resolve().parent
PROJECT = FUNCTIONS.parent
TARGET_VERSION = "3.14"
"""As the template's Runtime (tests/infrastructure/test_build.py)."""
TARGET_PLATFORM = "aarch64-manylinux2014"

_PYTHONS = {"UV_PYTHON_INSTALL_DIR": str(PROJECT / ".venv" / "pythons")}

BY_POWERTOOLS = {
    "SecretsProvider": {"GetSecretValue"},
    "DynamoDBPersistenceLayer": {"PutItem", "UpdateItem", "DeleteItem"},
}
"""What Powertools calls with a client that it is given, by its class."""

UNUSED = (
    ".lock",
    "bin",
    "boto3/data",
    "boto3/examples",
    "aws_lambda_powertools/event_handler",
    # Powertools' utilities that nothing of ours uses, nor another utility; most need what is not installed.
    *(
        f"aws_lambda_powertools/utilities/{name}"
        for name in (
            "auth_alpha",
            "circuit_breaker",
            "data_masking",
            "feature_flags",
            "kafka",
            "parser",
            "streaming",
            "validation",
        )
    ),
    "dateutil/zoneinfo/*.tar.gz",
    # What makes bindings: PyNaCl and cryptography ship with theirs.
    "cffi",
    "pycparser",
    # Compiled, beside the same in Python: requests guesses an encoding with it, which nobody here asks for.
    "charset_normalizer/*.so",
    "*-stubs",
    "**/*.c",
    "**/*.pyi",
    "**/__pycache__",
    # What the installation leaves: importlib.metadata would read each of them.
    "*.dist-info",
)
"""Patterns of what nobody imports."""


class PackageError(Exception):
    """What is to be shipped could not be made; the message says why."""


# ---------------------------------------------------------------------------------------------------------------------
# What the functions call
# ---------------------------------------------------------------------------------------------------------------------
def sources(functions: Path = FUNCTIONS) -> list[ast.Module]:
    """The functions' modules."""
    return [ast.parse(file.read_bytes()) for file in sorted(functions.glob("*/**/*.py"))]


def services(trees: Iterable[ast.Module]) -> set[str]:
    """The services that somebody makes a client of: ``client("sqs")``."""
    return {
        str(node.args[0].value)
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "client"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }


def called(trees: Iterable[ast.Module], known: dict[str, str]) -> set[str]:
    """The operations that the functions call, whatever the arguments.

    A method that is handed on counts, too, and so does the name of one: ``get_paginator("list_executions")``. Names of
    one word, such as ``query``, are other things' as well, and count when they are called.

    Args:
        trees: the modules.
        known: the clients' methods, with the operation of each.
    """
    found: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        match node:
            case ast.Call(func=ast.Attribute(attr=name)) if name in known:
                found.add(known[name])
            case ast.Attribute(attr=name) | ast.Constant(value=str(name)) if name in known and "_" in name:
                found.add(known[name])
            case ast.Call(func=ast.Name(id=name)) if name in BY_POWERTOOLS:
                found |= BY_POWERTOOLS[name]
    return found


# ---------------------------------------------------------------------------------------------------------------------
# What botocore knows
# ---------------------------------------------------------------------------------------------------------------------
def trim(directory: Path, trees: Sequence[ast.Module]) -> None:
    """Leaves of botocore's data in a directory what the calls need, as plain JSON under the names that it looks for."""
    sys.path.insert(0, str(directory))
    try:
        loaders = importlib.import_module("botocore.loaders")
        xform_name = importlib.import_module("botocore").xform_name
    finally:
        sys.path.remove(str(directory))
    data = directory / "botocore" / "data"
    loader = loaders.Loader(extra_search_paths=[str(data)], include_default_search_paths=False)
    wanted = sorted(services(trees))
    models = {service: loader.load_service_model(service, "service-2") for service in wanted}
    known = {xform_name(name): name for model in models.values() for name in model["operations"]}
    operations = called(trees, known)
    kept: dict[Path, Any] = {}
    for service, model in models.items():
        folder = data / service / loader.determine_latest_version(service, "service-2")
        kept[folder / "service-2.json"] = model_of(model, operations)
        kept[folder / "endpoint-rule-set-1.json"] = loader.load_service_model(service, "endpoint-rule-set-1")
        paginators = loader.load_service_model(service, "paginators-1")["pagination"]
        kept[folder / "paginators-1.json"] = {
            "pagination": {name: value for name, value in paginators.items() if name in operations}
        }
    prefixes = {model["metadata"]["endpointPrefix"] for model in models.values()}
    kept[data / "endpoints.json"] = endpoints_of(loader.load_data("endpoints"), prefixes)
    for name in ("partitions", "sdk-default-configuration", "_retry"):
        kept[data / f"{name}.json"] = loader.load_data(name)
    # All of it goes: uv may have linked the files to those of its cache.
    shutil.rmtree(data)
    for file, content in kept.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, separators=(",", ":")))


def model_of(model: dict[str, Any], operations: set[str]) -> dict[str, Any]:
    """A service's model with these of its operations, the shapes that they need, and no documentation.

    Args:
        model: as botocore has it: ``metadata``, ``operations``, ``shapes`` and more, by name.
        operations: names of operations, of this service or others.
    """
    kept = {name: _told(one) for name, one in model["operations"].items() if name in operations}
    left = [one for operation in kept.values() for one in _references(operation)]
    shapes: dict[str, Any] = {}
    while left:
        name = left.pop()
        if name not in shapes:
            shapes[name] = _told(model["shapes"][name])
            left += _references(shapes[name])
    return {
        # botocore reads the documentation of these: clientContextParams.
        **{name: value for name, value in model.items() if name not in ("documentation", "examples")},
        "operations": kept,
        "shapes": dict(sorted(shapes.items())),
    }


def endpoints_of(endpoints: dict[str, Any], prefixes: set[str]) -> dict[str, Any]:
    """botocore's table of endpoints, with these services in each partition."""
    return {
        **endpoints,
        "partitions": [
            {**one, "services": {name: told for name, told in one["services"].items() if name in prefixes}}
            for one in endpoints["partitions"]
        ],
    }


def _told(value: Any) -> Any:
    """Without documentation. A member of a structure may have that name; then it is no text."""
    if isinstance(value, dict):
        return {
            name: _told(one)
            for name, one in value.items()
            if not (name in ("documentation", "documentationUrl") and isinstance(one, str))
        }
    return [_told(one) for one in value] if isinstance(value, list) else value


def _references(value: Any) -> list[str]:
    """The names of the shapes that something refers to."""
    if isinstance(value, list):
        return [name for one in value for name in _references(one)]
    if not isinstance(value, dict):
        return []
    own = [value["shape"]] if isinstance(value.get("shape"), str) else []
    return own + [name for one in value.values() for name in _references(one)]


# ---------------------------------------------------------------------------------------------------------------------
# Making it
# ---------------------------------------------------------------------------------------------------------------------
def make_layer(groups: Sequence[str], but: Sequence[str], into: Path) -> None:
    """Installs groups of dependencies (pyproject.toml) from the lock file, with its hashes, and leaves what is used.

    Args:
        groups: those to install.
        but: those of another layer, whose packages are left out.
        into: an empty directory.
    """
    directory = into / "python"
    requirements = _exported(groups)
    for package in _exported(but) if but else ():
        requirements.pop(package, None)
    is_local = os.environ.get("PULLBACK_BUILD") == "local"
    target = ["--python", sys.executable]
    if not is_local:
        target += ["--python-version", TARGET_VERSION, "--python-platform", TARGET_PLATFORM]
    with TemporaryDirectory() as scratch:
        file = Path(scratch, "requirements.txt")
        file.write_text("\n".join(requirements.values()))
        options = ["--only-binary", ":all:", "--require-hashes", "--no-deps", "--requirements", str(file)]
        _uv("pip", "install", "--target", str(directory), *target, *options)
    if (directory / "botocore").exists():
        trim(directory, sources())
    for pattern in UNUSED:
        for path in list(directory.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    compile_for(directory, "/opt/python")


def make_function(rooms: Sequence[str], into: Path) -> None:
    """Copies rooms of functions/."""
    for room in rooms:
        shutil.copytree(FUNCTIONS / room, into / room, ignore=shutil.ignore_patterns("__pycache__", "triggers.json"))
    if "webhook" in rooms:
        # Which action a delivery starts: the webhook reads it, and has no action with it.
        triggers = [sys.executable, str(FUNCTIONS / "processor/triggers.py"), str(into / "webhook/triggers.json")]
        _run(triggers)
    compile_for(into, "/var/task")


def compile_for(directory: Path, runs_in: str) -> None:
    """Compiles a directory with the Python that will run it, where that is to be had (``bring_python``).

    ``unchecked-hash``: the SAM CLI dates every file to 1980, so that bytecode that is checked by time is compiled again
    at each cold start (github.com/aws/aws-lambda-builders/issues/924).

    Args:
        directory: what to compile.
        runs_in: where it will be, for tracebacks; so the bytes are the same wherever they are made.

    Raises:
        PackageError: a file cannot be compiled.
    """
    python = sys.executable if os.environ.get("PULLBACK_BUILD") == "local" else _target_python()
    if python is None:
        return
    options = ["-q", "-f", "-j", "0", "--invalidation-mode", "unchecked-hash", "-s", str(directory), "-p", runs_in]
    _run([python, "-I", "-m", "compileall", *options, str(directory)])


def bring_python() -> None:
    """Lets uv bring the target's Python, for its bytecode, where the machine has none. Says what it costs to have none.

    Here, and not in each of the builds: SAM runs them side by side.
    """
    if _target_python() is None:
        with suppress(PackageError):
            _uv("python", "install", "--no-bin", TARGET_VERSION, **_PYTHONS)
    if _target_python() is None:
        sys.stderr.write(
            f"*** NO BYTECODE: there is no Python {TARGET_VERSION}, and uv cannot bring one. Each cold start compiles\n"
            f"*** what it imports, and takes about 2.5 times as long. Put python{TARGET_VERSION} on the PATH.\n"
        )


def _target_python() -> str | None:
    """The path of a Python of the target's version: the machine's, or one that uv has brought."""
    if found := shutil.which(f"python{TARGET_VERSION}"):
        return found
    try:
        return _uv("python", "find", "--no-project", TARGET_VERSION, **_PYTHONS)
    except PackageError:
        return None


def _exported(groups: Sequence[str]) -> dict[str, str]:
    """By package, its line of the lock file's requirements."""
    only = [option for group in groups for option in ("--only-group", group)]
    lines = _uv("export", "--locked", *only, "--no-emit-project", "--no-header", "--no-annotate").replace("\\\n", "")
    return {line.partition("==")[0]: line for line in lines.splitlines()}


def _uv(*arguments: str, **environ: str) -> str:
    return _run([os.environ.get("UV", "uv"), "--quiet", *arguments], **environ)


def _run(command: Sequence[str], **environ: str) -> str:
    """What a command prints.

    Raises:
        PackageError: it failed, or is not there.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own
            command, cwd=PROJECT, env=os.environ | environ, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise PackageError(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        raise PackageError(f"{' '.join(command[:4])} …: {done.stderr or done.stdout}")
    return done.stdout.strip()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    layer = commands.add_parser("layer", help="dependencies")
    layer.add_argument("--group", action="append", required=True, help="of pyproject.toml")
    layer.add_argument("--but", action="append", default=[], help="without what is in this group")
    commands.add_parser("python", help="let uv bring the Python that makes the bytecode, where the machine has none")
    function = commands.add_parser("function", help="a function's own code")
    function.add_argument("--rooms", nargs="+", required=True, help="folders of functions/")
    for command in (layer, function):
        command.add_argument("--into", type=Path, required=True, help="an empty directory")
    options = parser.parse_args()
    try:
        if options.command == "python":
            bring_python()
        elif options.command == "layer":
            make_layer(options.group, options.but, options.into)
        else:
            make_function(options.rooms, options.into)
    except PackageError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
