"""Somebody's own repository is served as a pull request, and stays as it was."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local.github.foreign import NUMBER, NoRepositoryError, serve
from local.github.repository import GitRepository

if TYPE_CHECKING:
    from collections.abc import Iterator


def git(directory: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run(["git", "-C", str(directory), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A repository with a base, a change, and files of many kinds."""
    directory = tmp_path / "their repository"
    directory.mkdir()
    git(directory, "init", "-q", "-b", "main")
    (directory / "a.py").write_text("x = 1\n")
    git(directory, "add", "-A")
    git(directory, "commit", "-qm", "Base")
    git(directory, "checkout", "-qb", "feature/some thing".replace(" ", "-"))
    (directory / "a.py").write_text("x = 2\n")
    (directory / "b.txt").write_text("b\n")
    git(directory, "add", "-A")
    git(directory, "commit", "-qm", "Change <b>it</b>")
    return directory


def digests(directory: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(directory.rglob("*")):
        if file.is_file():
            yield str(file), hashlib.sha256(file.read_bytes()).hexdigest()


def changed(directory: Path) -> list[str]:
    repository = GitRepository(directory)
    pull = repository.pull_requests()[NUMBER]
    return [file.filename for file in repository.changed_files(pull.base_sha, pull.head_sha)]


def test_what_is_checked_out_is_the_pull_request(theirs: Path, tmp_path: Path) -> None:
    before = dict(digests(theirs))
    record = serve(theirs, tmp_path / "github", None, None)
    assert (record.head_ref, record.base_ref, record.title) == ("feature/some-thing", "main", "Change <b>it</b>")
    assert changed(tmp_path / "github") == ["a.py", "b.txt"]
    assert dict(digests(theirs)) == before, "nothing is written into it"


def test_a_folder_below_its_top_will_do(theirs: Path, tmp_path: Path) -> None:
    (theirs / "sub").mkdir()
    serve(theirs / "sub", tmp_path / "github", None, None)
    assert changed(tmp_path / "github") == ["a.py", "b.txt"]


def test_a_bare_one(theirs: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(theirs), str(bare)], check=True)
    serve(bare, tmp_path / "github", "main", "feature/some-thing")
    assert changed(tmp_path / "github") == ["a.py", "b.txt"]


@pytest.mark.parametrize("branches", ["--no-single-branch", "--single-branch"])
def test_a_shallow_one(theirs: Path, tmp_path: Path, branches: str) -> None:
    shallow = tmp_path / "shallow"
    command = ["git", "clone", "-q", "--depth", "1", branches, f"file://{theirs}", str(shallow)]
    subprocess.run(command, check=True, capture_output=True)
    serve(shallow, tmp_path / "github", None, None)
    # Of a single branch there is nothing to compare with: a pull request without changes.
    assert changed(tmp_path / "github") == (["a.py", "b.txt"] if branches == "--no-single-branch" else [])


def test_a_worktree(theirs: Path, tmp_path: Path) -> None:
    git(theirs, "worktree", "add", "-q", str(tmp_path / "tree"), "main")
    serve(tmp_path / "tree", tmp_path / "github", "main", "feature/some-thing")
    assert changed(tmp_path / "github") == ["a.py", "b.txt"]


def test_a_commit_by_its_name(theirs: Path, tmp_path: Path) -> None:
    serve(theirs, tmp_path / "github", "HEAD~1", "HEAD")
    assert changed(tmp_path / "github") == ["a.py", "b.txt"]


def test_what_is_none_is_said(theirs: Path, tmp_path: Path) -> None:
    empty, nothing = tmp_path / "empty", tmp_path / "nothing"
    empty.mkdir()
    nothing.mkdir()
    git(empty, "init", "-q")
    for source, base, words in (
        (tmp_path / "not there", None, "is no git repository"),
        (Path("/"), None, "is no git repository"),
        (empty, None, "has no commit yet"),
        (theirs, "maine", "there is no branch or commit 'maine'; branches: feature/some-thing, main"),
    ):
        with pytest.raises(NoRepositoryError, match=words):
            serve(source, tmp_path / "github", base, None)
    git(theirs, "branch", "-m", "main", "one")
    with pytest.raises(NoRepositoryError, match="say which branch is the base"):
        serve(theirs, tmp_path / "github", None, None)
