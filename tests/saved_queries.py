"""The saved queries of the template."""

from __future__ import annotations

from dataclasses import dataclass

from ops.logs import Query, fill
from tests.infrastructure.conftest import transformed_with

ANYTHING = {"delivery_id": "d", "execution": "e", "repository": "o/r", "pull_request": "7"}
"""A value for every parameter that there is."""


@dataclass(frozen=True)
class SavedQuery:
    """One of them: its name without the stack's, its text, its parameters, the logical names of its log groups."""

    name: str
    text: str
    parameters: frozenset[str]
    log_groups: frozenset[str]

    @property
    def query(self) -> Query:
        """As it is understood, with some value for each parameter.

        Raises:
            ValueError: it is not.
        """
        return Query(fill(self.text, ANYTHING))


def saved_queries() -> dict[str, SavedQuery]:
    """All of them, by their names without the stack's."""
    template = transformed_with()
    found = {}
    for one in template["Resources"].values():
        if one["Type"] != "AWS::Logs::QueryDefinition":
            continue
        properties = one["Properties"]
        stack, _, name = properties["Name"]["Fn::Sub"].partition("/")
        assert stack == "${AWS::StackName}", "each stack has its own"
        groups = [group["Fn::If"][1] if "Fn::If" in group else group for group in properties["LogGroupNames"]]
        found[name] = SavedQuery(
            name,
            properties["QueryString"],
            frozenset(parameter["Name"] for parameter in properties.get("Parameters", [])),
            frozenset(group["Ref"] for group in groups),
        )
    return found
