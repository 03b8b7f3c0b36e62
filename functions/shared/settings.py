"""Settings from the environment. Read once, when a function starts; everything that is wrong is reported together."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Value = TypeVar("Value")


class ConfigurationError(RuntimeError):
    """The function's environment is incomplete or wrong; the message names every variable concerned."""


class Settings:
    """Reads variables and collects what is wrong with them; ``check`` raises it all at once.

    Values never appear in the error: a variable may hold a secret by mistake.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self._problems: list[str] = []

    def text(self, name: str, default: str | None = None) -> str:
        """The variable's value; a missing or empty one without a default is a problem."""
        value = self._environ.get(name) or default
        if not value:
            self._problems.append(f"{name} is not set")
            return ""
        return value

    def number(self, name: str, default: int | None = None) -> int:
        """The variable as a positive integer."""
        text = self.text(name, None if default is None else str(default))
        if text and (not text.isdecimal() or int(text) < 1):
            self._problems.append(f"{name} is not a positive whole number")
        return int(text) if text.isdecimal() else 0

    def read(self, name: str, reader: Callable[[str], Value]) -> Value:
        """What the reader makes of the variable; of an empty text where it is not set. Its ValueError is a problem.

        Its text is told, and has to quote nothing of the value.
        """
        try:
            return reader(self._environ.get(name, ""))
        except ValueError as error:
            self._problems.append(f"{name}: {error}")
            return reader("")

    def check(self) -> None:
        """Raises ConfigurationError when any variable read so far was missing or wrong."""
        if self._problems:
            raise ConfigurationError("; ".join(self._problems))
