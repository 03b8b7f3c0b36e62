"""Typed models of what crosses a border: between two functions, or into the table and the bucket.

They are msgspec's: a model is made by the interpreter's own class statement, so that a cold start pays for none of the
machinery that pydantic builds (docs/decisions/2026-11-27-the-contract-is-msgspecs.md).
"""

from __future__ import annotations

import re
from typing import Any, Self

import msgspec

_MISSING = re.compile(r"Object missing required field `([^`]+)`")
_QUOTES_INPUT = "Invalid enum value"


class InvalidContract(ValueError):
    """Data is not what the model says. The text names the field, and never holds a value.

    Args:
        field: the field concerned, such as ``pull_request.head.sha``; empty when it is the whole.
        problem: what is wrong with it.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all models: immutable, tolerant of fields it does not know, silent about values in errors."""

    @classmethod
    def read(cls, data: object) -> Self:
        """The model of plain data, such as ``json.loads`` gives.

        Raises:
            InvalidContract: see there.
        """
        try:
            model = msgspec.convert(data, cls)
            # Half of a surrogate pair is no text: whoever wrote it to a log, a table or a queue would fail there.
            msgspec.json.encode(model)
        except msgspec.ValidationError as error:
            raise _invalid(error) from None
        except UnicodeEncodeError:
            raise InvalidContract("", "a text is not Unicode") from None
        return model

    @classmethod
    def read_json(cls, text: str | bytes) -> Self:
        """The model of a JSON document.

        Raises:
            InvalidContract: see there.
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.ValidationError as error:
            raise _invalid(error) from None
        except (ValueError, RecursionError):
            raise InvalidContract("", "not JSON") from None

    def plain(self) -> dict[str, Any]:
        """The model as plain data, such as ``json.dumps`` takes."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data

    def to_json(self) -> str:
        """Compact JSON, the same bytes for the same model."""
        return msgspec.json.encode(self).decode()


def read_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InvalidContract: it is none. JSON has no NaN, no infinity, and no half of a surrogate pair.
    """
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        # RecursionError: nested deeper than the interpreter goes.
        raise InvalidContract("", "not JSON") from None
    if not isinstance(value, dict):
        raise InvalidContract("", "not a JSON object")
    return value


def _invalid(error: msgspec.ValidationError) -> InvalidContract:
    problem, _, path = str(error).partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if missing := _MISSING.fullmatch(problem):
        return InvalidContract(".".join(filter(None, (field, missing[1]))), "missing")
    if problem.startswith(_QUOTES_INPUT):
        # The only text of msgspec's that quotes its input.
        problem = "not one of the words that are known"
    return InvalidContract(field, problem)
