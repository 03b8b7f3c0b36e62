"""How text from a pull request may be shown: file names and the like, in statuses, outcomes and manifests."""

from __future__ import annotations

_REPLACEMENT = "\ufffd"


def one_line(text: str) -> str:
    """The text without characters that have an effect instead of a shape.

    Control characters, line separators, bidirectional overrides, lone surrogates and unusual spaces are replaced.
    """
    return "".join(character if character.isprintable() else _REPLACEMENT for character in text)


def printable(text: str, max_bytes: int) -> str:
    """The text on one line (see ``one_line``), cut in the middle.

    Of a path the end says most, so two thirds of what remains are its end.

    Args:
        text: any text.
        max_bytes: upper bound of the result in UTF-8, at least 3 (an ellipsis).
    """
    clean = one_line(text)
    raw = clean.encode()
    if len(raw) <= max_bytes:
        return clean
    room = max_bytes - len("…".encode())
    head, tail = raw[: room // 3], raw[len(raw) - (room - room // 3) :]
    return f"{head.decode('utf-8', 'ignore')}…{tail.decode('utf-8', 'ignore')}"


def counted(count: int, noun: str) -> str:
    """ "1 file", "2 files", "1,234 files"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
