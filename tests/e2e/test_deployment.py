"""What the deployment made, against the template."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.stack import LEFT_OUT
from tests.infrastructure.conftest import transformed_with

if TYPE_CHECKING:
    from tests.e2e.conftest import Deployed


def test_everything_is_deployed_but_what_is_listed(deployed: Deployed) -> None:
    cloudformation = deployed.client("cloudformation")
    made = {
        one["LogicalResourceId"]: one["ResourceType"]
        for page in cloudformation.get_paginator("list_stack_resources").paginate(
            StackName=deployed.stack.info.stack_name
        )
        for one in page["StackResourceSummaries"]
    }
    resources = transformed_with()["Resources"]
    wanted = {name: one["Type"] for name, one in resources.items() if one.get("Condition") != "UseWaf"}
    # Versions and deployments have a digest of what they hold in their names.
    hashed = {"AWS::Lambda::Version", "AWS::ApiGateway::Deployment"}
    assert {name: kind for name, kind in made.items() if kind not in hashed} == {
        name: kind for name, kind in wanted.items() if kind not in hashed and name not in LEFT_OUT
    }
    for kind in hashed:
        assert list(made.values()).count(kind) == list(wanted.values()).count(kind)
