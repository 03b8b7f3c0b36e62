"""What the local GitHub is asked for and what it tells: plain values, free of git and HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Body = dict[str, Any]
"""What JSON says of one thing."""


def timestamp(seconds: float) -> str:
    """A time in seconds since the epoch as GitHub writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


GONE = ""
"""In place of a fork's name: somebody deleted it."""


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request as it is now; ask again after a push."""

    full_name: str
    number: int
    title: str
    head_sha: str
    head_ref: str
    base_sha: str
    base_ref: str
    installation_id: int
    sender: str
    before_sha: str | None = None
    """The head before the newest commit; None where nobody asked git."""
    updated_at: str | None = None
    """When the pull request was changed last, as GitHub writes times; None where nobody knows."""
    fork: str | None = None
    """The fork that the head is in, as ``owner/name``, or GONE; None for a branch of the repository itself."""
    is_draft: bool = False
    is_closed: bool = False

    @property
    def owner(self) -> str:
        return self.full_name.partition("/")[0]

    @property
    def repository(self) -> str:
        """The repository's name without its owner."""
        return self.full_name.partition("/")[2]


@dataclass(frozen=True, slots=True)
class File:
    """One file of a tree whose mode is not that of an ordinary file."""

    data: bytes
    """The content; of a symbolic link its target."""
    executable: bool = False
    symlink: bool = False


FileContent = bytes | File | None
"""What becomes of a path in a commit: None deletes it, plain bytes keep the mode that it has."""


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """One entry of a pull request's diff, in GitHub's words."""

    filename: str
    previous_filename: str | None
    status: str
    """``added``, ``modified``, ``removed``, ``renamed`` or ``changed``, the last one for a change of mode or type."""
    sha: str
    """The blob's: the new one, or the old one of a removed file."""
    additions: int
    deletions: int
    patch: str | None
    """The hunks alone; None for binary files, for those without a changed line and for very large diffs."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit's own data."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    message: str
    author: str
    email: str
    time: int
    """Seconds since the epoch."""
