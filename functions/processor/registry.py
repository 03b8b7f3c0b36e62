"""Finds an action by name. An action is a module or a folder in ``processor.actions``; there is nothing else
to register."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, cast

from processor import actions
from processor.errors import UnknownAction

if TYPE_CHECKING:
    from processor.work import Action


def names() -> list[str]:
    """The names of all actions."""
    return sorted(module.name for module in pkgutil.iter_modules(actions.__path__) if not module.name.startswith("_"))


def find(name: str) -> Action:
    """The action of this name.

    Raises:
        UnknownAction: there is none. The name comes from outside, so only names that exist are ever imported.
    """
    if name not in names():
        raise UnknownAction(f"there is no action of this name; known: {', '.join(names())}")
    return cast("Action", importlib.import_module(f"{actions.__name__}.{name}"))
