"""Turns a fuzzer's bytes into inputs: each byte decides something, so that a changed byte is a changed input.

Like atheris' FuzzedDataProvider, but without atheris, so that every engine and every reproduction sees the same input.
When the bytes run out, everything is 0, empty, and the first of its options; those are the harmless ones.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

# What validators, encoders and parsers stumble over. Only what JSON can hold.
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**400,
    0.5,
    -1e308,
    "",
    " ",
    "\0",
    "\n",
    "\x1b[31m",
    "\ud800",
    "\u202e\u2028",
    "{}",
    "0",
    "é😀",
    "😀" * 300,
    "x" * 70_000,
    "../..",
    "octo/..",
    "a" * 40,
    [],
    {},
    [None],
    {"": None},
)


class Source:
    """Reads decisions from bytes, from front to back."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        """The next byte; 0 behind the end."""
        if self._at >= len(self._data):
            return 0
        self._at += 1
        return self._data[self._at - 1]

    def below(self, bound: int) -> int:
        """A number from 0 to ``bound`` - 1, from as few bytes as can hold it."""
        number, reach = self.byte(), 256
        while reach < bound:
            number, reach = number << 8 | self.byte(), reach << 8
        return number % bound

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def rarely(self) -> bool:
        """True for one byte in eight, and never behind the end."""
        return self.byte() & 7 == 7

    def block(self, limit: int) -> bytes:
        """At most ``limit`` bytes: their number, and then they."""
        size = self.below(limit + 1)
        taken = self._data[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def rest(self) -> bytes:
        """All that is left."""
        taken, self._at = self._data[self._at :], len(self._data)
        return taken

    def text(self, limit: int) -> str:
        """Text of at most ``limit`` bytes; what is not UTF-8 becomes lone surrogates, which JSON can carry."""
        return self.block(limit).decode("utf-8", "surrogateescape")

    def json(self, names: Sequence[str], depth: int = 3) -> Any:
        """A value that JSON can hold. ``names`` are keys to use besides invented ones."""
        match self.below(6 if depth else 4):
            case 0:
                return copy.deepcopy(self.pick(ODD))
            case 1:
                return self.text(40)
            case 2:
                return self.below(1 << 24) - (1 << 16)
            case 3:
                return self.nested(self.pick([2, 20, 200]))
            case 4:
                return [self.json(names, depth - 1) for _ in range(self.below(4))]
            case _:
                return self.object(names, depth - 1)

    def object(self, names: Sequence[str], depth: int = 3) -> dict[str, Any]:
        """An object that JSON can hold."""
        return {self.key(names): self.json(names, depth) for _ in range(self.below(6))}

    def key(self, names: Sequence[str]) -> str:
        return self.text(12) if self.rarely() else self.pick(names)

    @staticmethod
    def nested(depth: int) -> Any:
        value: Any = 0
        for _ in range(depth):
            value = [value]
        return value

    def edited(self, document: dict[str, Any], names: Sequence[str], edits: int) -> dict[str, Any]:
        """The document, changed in place in at most ``edits`` places, anywhere in it."""
        for _ in range(self.below(edits + 1)):
            holders = list(_holders(document))
            holder, key = self.pick(holders) if holders else (document, "")
            match self.below(5):
                case 0:
                    # A copy: a container that is changed later would be another one in the next input.
                    holder[key] = copy.deepcopy(self.pick(ODD))
                case 1:
                    del holder[key]
                case 2:
                    holder[key] = self.json(names)
                case 3:
                    document[self.key(names)] = self.json(names)
                case _:
                    other, other_key = self.pick(holders) if holders else (document, "")
                    # A leaf only: a container put into itself would have no end.
                    if key in holder and not isinstance(other.get(other_key), dict | list):
                        holder[key] = other.get(other_key)
        return document


def _holders(value: Any) -> Any:
    """Every object and key in a document, from outside to inside."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield value, key
            yield from _holders(inner)
