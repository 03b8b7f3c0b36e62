from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from processor import actions, registry
from processor.errors import UnknownAction
from processor.triggers import ACTIONS, TriggerError, collect
from tests.conftest import ROOT
from webhook.triggers import Triggers

if TYPE_CHECKING:
    from pathlib import Path


def test_every_action_is_found_and_is_one() -> None:
    assert set(registry.names()) >= {"build", "synchronize"}
    for name in registry.names():
        action = registry.find(name)
        assert callable(action.run)
        assert action.TRIGGERS


@pytest.mark.parametrize("name", ["nope", "", "os", "..registry", "build.x", "__init__"])
def test_an_unknown_action_is_refused_before_any_import(name: str) -> None:
    before = set(sys.modules)
    with pytest.raises(UnknownAction):
        registry.find(name)
    assert set(sys.modules) == before


def test_the_collected_triggers_are_those_of_the_modules() -> None:
    declared = {
        (event, payload_action): name
        for name in registry.names()
        for event, payload_actions in registry.find(name).TRIGGERS.items()
        for payload_action in payload_actions
    }
    collected = {(event, one): name for event, table in collect().items() for one, name in table.items()}
    assert collected == declared


def test_the_webhook_reads_what_the_build_writes(tmp_path: Path) -> None:
    out = tmp_path / "triggers.json"
    # As functions/Makefile calls it: isolated, nothing installed.
    subprocess.run([sys.executable, "-I", "-S", str(ROOT / "functions/processor/triggers.py"), str(out)], check=True)
    triggers = Triggers.load(out)
    assert triggers.action_for("pull_request", "synchronize") == "synchronize"
    assert triggers.action_for("pull_request", "opened") == "synchronize"
    assert triggers.action_for("pull_request", "reopened") == "synchronize"
    assert triggers.action_for("pull_request", "build") == "build"
    assert triggers.action_for("pull_request", "labeled") is None
    assert triggers.action_for("push", "build") is None
    assert not triggers.has_event("push")


def test_a_new_module_is_a_new_action(tmp_path: Path) -> None:
    shutil.copytree(ACTIONS, tmp_path, dirs_exist_ok=True)
    (tmp_path / "greet.py").write_text('TRIGGERS: dict = {"issues": ("opened",)}\n')
    assert collect(tmp_path)["issues"] == {"opened": "greet"}


@pytest.mark.parametrize(
    "source",
    [
        "",
        "TRIGGERS = dict(pull_request=('x',))",
        "TRIGGERS = {'pull_request': 'x'}",
        "TRIGGERS = {'pull_request': (1,)}",
        "TRIGGERS = {'pull_request': ('build',)}\nother = 1",
    ],
)
def test_a_declaration_that_cannot_be_used_stops_the_build(tmp_path: Path, source: str) -> None:
    (tmp_path / "build.py").write_text("TRIGGERS = {'pull_request': ('build',)}")
    (tmp_path / "other.py").write_text(source)
    with pytest.raises(TriggerError, match="other"):
        collect(tmp_path)


def test_the_table_is_deterministic() -> None:
    assert json.dumps(collect()) == json.dumps(collect())


def test_a_new_folder_is_a_new_action(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ACTIONS, tmp_path, dirs_exist_ok=True)
    (tmp_path / "wave").mkdir()
    (tmp_path / "wave" / "__init__.py").write_text('TRIGGERS = {"issues": ("closed",)}\n')
    (tmp_path / "wave" / "hands.py").write_text("# a helper, which declares nothing\n")
    (tmp_path / "_helper").mkdir()
    (tmp_path / "_helper" / "__init__.py").write_text("")
    monkeypatch.setattr(actions, "__path__", [str(tmp_path)])

    assert collect(tmp_path)["issues"] == {"closed": "wave"}
    assert set(registry.names()) >= {"build", "synchronize", "wave"}
    assert "_helper" not in registry.names()
