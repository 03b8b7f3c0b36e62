"""The diff of a pull request, as GitHub's "list pull requests files" shows it."""

from __future__ import annotations

from functools import lru_cache

import pygit2
from pygit2.enums import DeltaStatus, DiffOption

from local.github.model import ChangedFile

# A single file's diff of more is not shown: docs.github.com, "Repository limits", diff limits.
PATCH_MAX_BYTES = 500 * 1024
PATCH_MAX_LINES = 20_000

_STATUS = {
    DeltaStatus.ADDED: "added",
    DeltaStatus.DELETED: "removed",
    DeltaStatus.MODIFIED: "modified",
    DeltaStatus.RENAMED: "renamed",
    DeltaStatus.TYPECHANGE: "changed",
}


# Thirty pages of the same diff are one computation; two SHAs always give the same diff.
@lru_cache(maxsize=16)
def changed_files(git_directory: str, base: str, head: str) -> tuple[ChangedFile, ...]:
    """Everything that changed from where ``head`` left ``base`` up to ``head`` (git's three-dot diff)."""
    return tuple(_changed_file(patch) for patch in _diff(git_directory, base, head) if patch is not None)


def text(git_directory: str, base: str, head: str) -> bytes:
    """The same diff as ``git diff`` prints it."""
    return b"".join(patch.data for patch in _diff(git_directory, base, head) if patch is not None)


def _diff(git_directory: str, base: str, head: str) -> pygit2.Diff:
    repo = pygit2.Repository(git_directory)
    # Of a shallow clone the place may be out of sight.
    fork_point = repo.merge_base(pygit2.Oid(hex=base), pygit2.Oid(hex=head)) or pygit2.Oid(hex=base)
    diff = repo.diff(fork_point, pygit2.Oid(hex=head), flags=DiffOption.INCLUDE_TYPECHANGE)
    diff.find_similar()  # renames, by git's own measure: at least half of the content is the same
    return diff


def _changed_file(patch: pygit2.Patch) -> ChangedFile:
    delta = patch.delta
    new_name = _text(delta.new_file.raw_path)
    old_name = _text(delta.old_file.raw_path)
    removed = delta.status == DeltaStatus.DELETED
    _, additions, deletions = patch.line_stats
    return ChangedFile(
        filename=new_name,
        previous_filename=old_name if delta.status == DeltaStatus.RENAMED else None,
        status=_STATUS[delta.status],
        sha=str((delta.old_file if removed else delta.new_file).id),
        additions=additions,
        deletions=deletions,
        patch=_hunks(patch),
    )


def _hunks(patch: pygit2.Patch) -> str | None:
    data = patch.data
    start = data.find(b"\n@@ ") + 1
    if patch.delta.is_binary or not start:
        return None
    hunks = data[start:].removesuffix(b"\n")
    if len(hunks) > PATCH_MAX_BYTES or hunks.count(b"\n") > PATCH_MAX_LINES:
        return None
    return _text(hunks)


def _text(data: bytes) -> str:
    # JSON has no other way to carry a path or a line that is not UTF-8.
    return data.decode(errors="replace")
