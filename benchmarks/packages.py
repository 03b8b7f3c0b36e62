"""What is measured: the functions as they are shipped, and the references beside them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local.stack import REGION, aws_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
DIRECTORY = ROOT / ".local" / "bench"
REFERENCES = ROOT / "benchmarks" / "references"
INSIDE = ROOT / "benchmarks" / "inside"

ACCOUNT = f"arn:aws:states:{REGION}:123456789012"
ENVIRONMENT = {
    "AWS_LAMBDA_FUNCTION_NAME": "function",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "LAMBDA_TASK_ROOT": "/var/task",
    "POWERTOOLS_LOG_LEVEL": "INFO",
    "POWERTOOLS_METRICS_NAMESPACE": "Pullback/bench",
    "STATE_MACHINE_ARN": f"{ACCOUNT}:stateMachine:pullback",
    "WEBHOOK_SECRET_ARN": "secret",
    "GITHUB_CREDENTIAL_ARN": "credential",
    "GITHUB_API_URL": "https://api.github.com",
    "REPLAY_QUEUE_URL": "https://sqs/replay",
    "PROCESSOR_FUNCTION_ARN": "function",
    "IDEMPOTENCY_TABLE": "idempotency",
    "ARTIFACT_BUCKET": "artifacts",
    "ARTIFACT_LINK": "https://s3/{bucket}/{key}",
    "HEARTBEAT_INTERVAL_SECONDS": "30",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(frozen=True)
class Package:
    """A handler that is measured: a module, and where it and what it imports is."""

    name: str
    module: str
    paths: tuple[Path, ...]

    def command(self, *arguments: str | Path) -> list[str]:
        """Python with these arguments, and nothing of this project's environment."""
        return [sys.executable, "-S", *map(str, arguments)]

    def environ(self, **more: str) -> dict[str, str]:
        """The environment of its process."""
        paths = ":".join(map(str, self.paths))
        return aws_environment() | ENVIRONMENT | {"PYTHONPATH": paths} | more


def build() -> dict[str, Package]:
    """Makes the packages as they are shipped, for the Python that runs this, and the references beside them."""
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    made = DIRECTORY / "build"
    _package("layer", "--group", "functions", "--into", made / "dependencies")
    _package("layer", "--group", "processor", "--but", "functions", "--into", made / "github")
    rooms = {"webhook": ["webhook"], "task": ["task"], "processor": ["pullrequest", "processor"]}
    for name, own in rooms.items():
        _package("function", "--rooms", "shared", *own, "--into", made / name)
    layers = (made / "dependencies" / "python", made / "github" / "python")
    whole = {group: _whole(group, made / f"whole-{group}") for group in ("functions", "processor", "usual")}
    references = made / "references"
    shutil.copytree(REFERENCES, references, ignore=shutil.ignore_patterns("__pycache__"))
    _compile(references)
    bare = {"webhook": whole["functions"], "task": whole["functions"], "processor": whole["processor"]}
    packages = [
        *(
            Package(name, f"{name}.handler", (made / name, *layers[: 2 if name == "processor" else 1]))
            for name in rooms
        ),
        *(Package(f"bare {name}", f"bare_{name}", (references, *paths)) for name, paths in bare.items()),
        Package("usual webhook", "usual_webhook", (references, *whole["usual"])),
        Package("floor webhook", "floor_webhook", (references,)),
    ]
    return {package.name: package for package in packages}


def megabytes() -> dict[str, float]:
    """What the layers hold, unzipped and without bytecode."""
    layers = {"dependencies": "what every function has", "github": "what writing to pull requests needs besides"}
    sizes = {}
    for name, told in layers.items():
        files = [file for file in (DIRECTORY / "build" / name).rglob("*") if file.is_file() and file.suffix != ".pyc"]
        sizes[told] = sum(file.stat().st_size for file in files) / 1e6
    return sizes


def run(command: Sequence[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; the benchmark ends with it when it fails."""
    done = subprocess.run(command, cwd=ROOT, env=dict(environ), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command[:8])} …: {(done.stderr or done.stdout)[-2000:]}")
    return done


def _package(*arguments: str | Path) -> None:
    environ = os.environ | {"PULLBACK_BUILD": "local", "UV": str(_tool("uv"))}
    run([sys.executable, str(ROOT / "functions" / "package.py"), *map(str, arguments)], environ)


def _whole(group: str, directory: Path) -> tuple[Path, ...]:
    """A group's dependencies with those of every function, as they come, with bytecode."""
    only = ["--only-group", "functions", "--only-group", group]
    requirements = directory.with_suffix(".txt")
    export = ["export", "--quiet", "--locked", *only, "--no-emit-project", "--output-file", str(requirements)]
    requirements.parent.mkdir(parents=True, exist_ok=True)
    run([str(_tool("uv")), *export], os.environ)
    install = ["pip", "install", "--quiet", "--target", str(directory), "--python", sys.executable]
    run([str(_tool("uv")), *install, "--link-mode", "copy", "--requirements", str(requirements)], os.environ)
    _compile(directory)
    return (directory,)


def _compile(directory: Path) -> None:
    options = ["-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    run([sys.executable, "-I", "-m", "compileall", *options, str(directory)], os.environ)


def _tool(name: str) -> Path:
    return Path(sys.executable).parent / name
