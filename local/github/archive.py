"""The gzip tar of a commit, as ``git archive`` and GitHub's codeload make it."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING, BinaryIO

import pygit2
from pygit2.enums import FileMode

if TYPE_CHECKING:
    from collections.abc import Iterator

# git archive's modes under its default umask of 002, tar.umask in git-config.
_MODES = {FileMode.TREE: 0o775, FileMode.BLOB: 0o664, FileMode.BLOB_EXECUTABLE: 0o775, FileMode.LINK: 0o777}
_TYPES = {FileMode.TREE: tarfile.DIRTYPE, FileMode.LINK: tarfile.SYMTYPE}


def write(target: BinaryIO, commit: pygit2.Commit, *, top: str) -> None:
    """Write the archive with everything below the directory ``top``. The same commit gives the same bytes."""
    with (
        gzip.GzipFile(filename="", fileobj=target, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        # `git get-tar-commit-id` and careful clients read the commit's SHA from here.
        comment = _pax_record("comment", str(commit.id))
        tar.addfile(_member("pax_global_header", 0o666, tarfile.XGLTYPE, commit, len(comment)), io.BytesIO(comment))
        tar.addfile(_member(top, _MODES[FileMode.TREE], tarfile.DIRTYPE, commit))
        for path, mode, data in _walk(commit.tree, top):
            member = _member(path, _MODES[mode], _TYPES.get(mode, tarfile.REGTYPE), commit)
            if mode == FileMode.LINK:
                member.linkname = data.decode(errors="surrogateescape")
                tar.addfile(member)
            else:
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def _walk(tree: pygit2.Tree, prefix: str) -> Iterator[tuple[str, FileMode, bytes]]:
    for entry in tree:
        path = f"{prefix}/{entry.name}"
        if isinstance(entry, pygit2.Tree):
            yield path, FileMode.TREE, b""
            yield from _walk(entry, path)
        elif isinstance(entry, pygit2.Blob):
            yield path, FileMode(entry.filemode), entry.data


def _member(name: str, mode: int, kind: bytes, commit: pygit2.Commit, size: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode = mode
    member.type = kind
    member.size = size
    member.mtime = commit.commit_time
    member.uname = member.gname = "root"
    return member


def _pax_record(key: str, value: str) -> bytes:
    """A record of a pax header: its length, which counts its own digits, then the pair (POSIX pax, 4.18)."""
    rest = f" {key}={value}\n".encode()
    length = len(rest)
    while length != len(str(length)) + len(rest):
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest
