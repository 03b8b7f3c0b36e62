from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable


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
