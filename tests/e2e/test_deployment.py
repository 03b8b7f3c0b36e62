"""What the deployment made, against the template."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.stack import LEFT_OUT, resources
from tests.infrastructure.conftest import transformed_with

if TYPE_CHECKING:
    from tests.e2e.conftest import Deployed


def test_everything_is_deployed_but_what_is_listed(deployed: Deployed) -> None:
    made = {one["LogicalResourceId"]: one["ResourceType"] for one in resources(deployed.stack.info)}
    declared = transformed_with()["Resources"]
    wanted = {name: one["Type"] for name, one in declared.items() if one.get("Condition") != "UseWaf"}
    # Versions, layers and deployments have a digest of what they hold in their names.
    hashed = {"AWS::Lambda::Version", "AWS::Lambda::LayerVersion", "AWS::ApiGateway::Deployment"}
    assert {name: kind for name, kind in made.items() if kind not in hashed} == {
        name: kind for name, kind in wanted.items() if kind not in hashed and name not in LEFT_OUT
    }
    for kind in hashed:
        assert list(made.values()).count(kind) == list(wanted.values()).count(kind)
