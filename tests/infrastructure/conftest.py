from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from local.stack import aws_environment
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class _NoManagedPolicies:
    """Loads none: the template may not use any, its roles list every action."""

    def load(self) -> dict[str, str]:
        return {}


def transformed_with(change: Callable[[dict[str, Any]], None] = lambda source: None) -> dict[str, Any]:
    """The template as CloudFormation gets it, after a change."""
    source = yaml_parse((ROOT / "template.yaml").read_text())
    change(source)
    # As `sam package` leaves it: the transform wants code and definitions in S3.
    for resource in source["Resources"].values():
        if resource["Type"] == "AWS::Serverless::StateMachine":
            resource["Properties"]["DefinitionUri"] = "s3://bucket/definition"
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            resource["Properties"]["ContentUri"] = "s3://bucket/layer"
    source["Globals"]["Function"]["CodeUri"] = "s3://bucket/code"
    template: dict[str, Any] = transform(source, {}, _NoManagedPolicies())
    return template


@pytest.fixture(scope="session")
def template() -> dict[str, Any]:
    return transformed_with()


@pytest.fixture(scope="session")
def resources(template: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"]
    return found


@pytest.fixture(scope="session")
def definition() -> dict[str, Any]:
    machine: dict[str, Any] = json.loads((ROOT / "statemachine" / "processor.asl.json").read_text())
    return machine


@pytest.fixture(scope="session")
def local_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages for the Python of the machine, as the embedded AWS runs them."""
    directory = tmp_path_factory.mktemp("local-package")
    build(directory, {"PULLBACK_BUILD": "local", "PYTHON": sys.executable})
    return directory / "build"


def build(directory: Path, options: dict[str, str]) -> None:
    bin_directory = os.path.dirname(sys.executable)  # noqa: PTH120 - a virtual environment's link must stay
    environ = aws_environment() | {"PATH": f"{bin_directory}{os.pathsep}{os.environ['PATH']}"} | options
    command = ["sam", "build", "--build-dir", str(directory / "build"), "--cache-dir", str(directory / "cache")]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
