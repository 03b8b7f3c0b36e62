"""Which deliveries start which action.

The actions declare their triggers; the build collects them into ``triggers.json`` beside this module, so that the
webhook knows a new action without importing the processor.
"""

from __future__ import annotations

import json
from pathlib import Path

from shared.settings import ConfigurationError

TRIGGERS_FILE = Path(__file__).with_name("triggers.json")


class Triggers:
    """The collected triggers: GitHub event -> the payload's action -> our action."""

    def __init__(self, table: dict[str, dict[str, str]]) -> None:
        self._table = table

    @classmethod
    def load(cls, file: Path = TRIGGERS_FILE) -> Triggers:
        """Raises ConfigurationError when the build has not collected the triggers."""
        try:
            return cls(json.loads(file.read_bytes()))
        except FileNotFoundError:
            raise ConfigurationError(f"{file.name} is missing: the package was not built by `sam build`") from None

    @property
    def actions(self) -> frozenset[str]:
        """The actions that there are."""
        return frozenset(action for table in self._table.values() for action in table.values())

    def has_event(self, event: str) -> bool:
        """Whether any action of this GitHub event triggers anything."""
        return event in self._table

    def action_for(self, event: str, *payload_actions: str) -> str | None:
        """The action that the first of the words starts that starts any; None when the delivery triggers nothing."""
        table = self._table.get(event, {})
        return next((table[word] for word in payload_actions if word in table), None)
