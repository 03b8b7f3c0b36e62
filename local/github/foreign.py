"""Somebody's own repository as the local GitHub's: read where it is, and never written to."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path

import pygit2

from local.github.repository import RECORDS, REPOSITORY, Record

NUMBER = 1
BASES = ("main", "master", "trunk", "develop")
"""Branches that are taken for the base where none is named, besides the one that the remote has as its HEAD."""


class NoRepositoryError(Exception):
    """What was named is no repository, or has no such branch; the message says what to do."""


def serve(source: Path, directory: Path, base: str | None, head: str | None) -> Record:
    """Makes the local GitHub's directory, with a pull request of the repository's branches.

    Objects are read from the repository itself; references are copied. Also of a bare one, and of a shallow one.

    Args:
        source: the repository, bare or not.
        directory: the local GitHub's; made.
        base: the base branch; None for the usual ones.
        head: the head branch or commit; None for what is checked out.

    Returns:
        The pull request's record.

    Raises:
        NoRepositoryError: see there.
    """
    # Whose files they are does not matter: nothing of the repository is executed, its hooks and settings included.
    pygit2.settings.owner_validation = False
    found = pygit2.discover_repository(str(source)) if source.is_dir() else None
    if found is None:
        raise NoRepositoryError(f"{source} is no git repository")
    theirs = pygit2.Repository(found)
    if theirs.is_empty:
        raise NoRepositoryError(f"{source} has no commit yet")
    head_commit = _commit(theirs, head or "HEAD")
    head_name = head or (theirs.head.shorthand if not theirs.head_is_detached else "detached")
    base_name = base or _usual_base(theirs, head_name)
    base_commit = _commit(theirs, base_name)
    git = directory / REPOSITORY
    git.mkdir(parents=True)
    ours = pygit2.init_repository(str(git), bare=True)
    common = _common(Path(theirs.path))
    (git / "objects" / "info").mkdir(exist_ok=True)
    (git / "objects" / "info" / "alternates").write_text(f"{common / 'objects'}\n")
    shallow = common / "shallow"
    if shallow.exists():
        shutil.copyfile(shallow, git / "shallow")
    ours = pygit2.Repository(str(git))
    record = Record(
        number=NUMBER,
        title=head_commit.message.split("\n", 1)[0][:200] or "No title",
        head_ref=_branch(head_name, "head" if head_name == base_name else ""),
        base_ref=_branch(base_name, ""),
        base_sha=str(base_commit.id),
    )
    ours.references.create(f"refs/heads/{record.base_ref}", base_commit.id, force=True)
    ours.references.create(f"refs/heads/{record.head_ref}", head_commit.id, force=True)
    (directory / RECORDS).write_text(json.dumps([asdict(record)]) + "\n")
    return record


def _commit(repository: pygit2.Repository, name: str) -> pygit2.Commit:
    for candidate in (name, f"refs/heads/{name}", f"refs/remotes/origin/{name}"):
        try:
            return repository.revparse_single(candidate).peel(pygit2.Commit)
        except (KeyError, ValueError, pygit2.GitError):
            continue
    branches = ", ".join(sorted(repository.branches)[:10]) or "none"
    raise NoRepositoryError(f"there is no branch or commit {name!r}; branches: {branches}")


def _common(git: Path) -> Path:
    """Where the objects are: of a worktree that is its repository's directory."""
    link = git / "commondir"
    return (git / link.read_text().strip()).resolve() if link.exists() else git.resolve()


def _usual_base(repository: pygit2.Repository, head: str) -> str:
    names = set(repository.branches)
    usual = [name for name in BASES if name in names or f"origin/{name}" in names]
    if "origin/HEAD" in names:
        target = repository.references["refs/remotes/origin/HEAD"].target
        usual.insert(0, str(target).removeprefix("refs/remotes/origin/"))
    # A branch is compared with another one, where there is one.
    found = next((name for name in usual if name != head), usual[0] if usual else None)
    if found is not None:
        return found
    if len(names) == 1:
        return names.pop()
    raise NoRepositoryError(f"say which branch is the base: BASE=…; branches: {', '.join(sorted(names)[:10])}")


def _branch(name: str, suffix: str) -> str:
    clean = re.sub(r"[^A-Za-z0-9._/-]", "-", name.removeprefix("refs/heads/")).strip("/.") or "branch"
    return f"{clean}-{suffix}" if suffix else clean
