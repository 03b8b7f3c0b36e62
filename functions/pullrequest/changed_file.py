"""A file of a pull request, as GitHub lists it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """One file of a pull request, as GitHub lists it.

    ``patch`` is None for binary files, for files without changed lines, and when GitHub withholds it as too large.
    """

    path: str
    status: str
    additions: int
    deletions: int
    patch: str | None
    blob_sha: str | None = None
    previous_path: str | None = None
