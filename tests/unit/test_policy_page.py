"""docs/policy.md and the schema for editors are those of the models, and the example is a policy."""

from __future__ import annotations

import json
import tomllib
from typing import Annotated

import pytest
from jsonschema import Draft202012Validator
from msgspec import Meta

from processor.action_policy import ActionPolicy
from processor.policy import model_of, read
from processor.registry import names
from pullback.docs import EXAMPLE, POLICY_PAGE, SCHEMA, policy_page, policy_schema

MODELS = {name: model_of(name) for name in names()}


def test_the_page_and_the_schema_are_up_to_date() -> None:
    assert POLICY_PAGE.read_text() == policy_page(), "run `make docs`"
    assert json.loads(SCHEMA.read_text()) == json.loads(json.dumps(policy_schema())), "run `make docs`"


def test_every_key_is_told_with_its_meaning() -> None:
    for name, definition in policy_schema()["$defs"].items():
        for key, one in definition["properties"].items():
            assert one["description"], f"{name}.{key}"


def test_the_example_is_a_policy_without_warnings() -> None:
    policy, _ = read(EXAMPLE.encode(), MODELS)
    assert policy.warnings == ()
    assert policy.of("synchronize") != MODELS["synchronize"]()


def test_actions_with_the_same_keys_keep_their_own_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    class Policy(ActionPolicy, frozen=True, kw_only=True):
        run: Annotated[bool, Meta(description="Only where it is asked for.")] = False

    models = {"one": ActionPolicy, "three": Policy, "two": ActionPolicy}
    monkeypatch.setattr("pullback.docs.names", lambda: list(models))
    monkeypatch.setattr("pullback.docs.model_of", models.__getitem__)
    defs = policy_schema()["$defs"]
    assert {name: defs[f"{name}.Policy"]["properties"]["run"]["default"] for name in models} == {
        "one": True,
        "three": False,
        "two": True,
    }


@pytest.mark.parametrize(
    ("text", "is_valid"),
    [
        (EXAMPLE, True),
        ("", True),
        ("forks = 'maybe'", False),
        ("[build]\nsyntax_error = 'error'", False),
        ("[synchronize]\nmax_added_lines = 0", False),
        ("[build]\nunknown = 1", False),
        ("unknown = 1", False),
    ],
)
def test_an_editor_says_what_we_say(text: str, is_valid: bool) -> None:
    assert Draft202012Validator(policy_schema()).is_valid(tomllib.loads(text)) is is_valid
