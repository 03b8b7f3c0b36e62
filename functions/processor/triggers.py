"""Collects the triggers that the actions declare, when the package is built.

    python functions/processor/triggers.py OUT.json

Reads the modules as text, so that the build needs nothing installed and imports no action; a declaration that is not
a literal is therefore an error.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

ACTIONS = Path(__file__).with_name("actions")


class TriggerError(Exception):
    """An action declares no triggers, declares them in another way than as a literal, or shares one with another."""


def collect(actions: Path = ACTIONS) -> dict[str, dict[str, str]]:
    """GitHub event -> the payload's action -> the action (module or folder) that it starts.

    Raises:
        TriggerError: naming the module.
    """
    table: dict[str, dict[str, str]] = {}
    for name, module in _modules(actions):
        for event, payload_actions in _declared(name, module).items():
            for payload_action in payload_actions:
                holder = table.setdefault(event, {}).setdefault(payload_action, name)
                if holder != name:
                    raise TriggerError(f"{event}/{payload_action} triggers both {holder} and {name}")
    return table


def _modules(actions: Path) -> list[tuple[str, Path]]:
    """Each action's name and module; of an action that is a folder, its ``__init__.py``."""
    modules = {file.stem: file for file in actions.glob("[!_]*.py")}
    folders = {file.parent.name: file for file in actions.glob("[!_]*/__init__.py")}
    # Where there are both Python takes the folder.
    return sorted((modules | folders).items())


def _declared(name: str, module: Path) -> dict[str, tuple[str, ...]]:
    for statement in ast.parse(module.read_bytes(), module.name).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "TRIGGERS" for target in targets):
            value = getattr(statement, "value", None)
            try:
                triggers = ast.literal_eval(value) if value is not None else None
            except ValueError:
                triggers = None
            if not isinstance(triggers, dict) or not all(
                isinstance(event, str) and isinstance(names, tuple) and all(isinstance(name, str) for name in names)
                for event, names in triggers.items()
            ):
                raise TriggerError(f"{name}: TRIGGERS is not a literal of the form {{event: (action, ...)}}")
            return triggers
    raise TriggerError(f"{name}: declares no TRIGGERS")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        Path(sys.argv[1]).write_text(json.dumps(collect(), indent=1, sort_keys=True) + "\n")
    except TriggerError as error:
        sys.exit(f"triggers: {error}")
