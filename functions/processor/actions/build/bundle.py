"""The source bundle of a commit: two objects in the artifact bucket, the sources and their manifest.

The manifest is written last, so that whoever finds one finds a complete bundle. Both are functions of the repository
and the commit: no clock, no delivery, no attempt.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from processor.actions.build.archive import HashingWriter
from processor.artifacts import object_key
from shared.contract import Contract, InvalidContract

if TYPE_CHECKING:
    from collections.abc import Callable

    from processor.actions.build.archive import Digest, Tree
    from processor.artifacts import ArtifactStore
    from shared.job import Job

MAX_MANIFEST_BYTES = 16 * 1024 * 1024
"""Largest manifest that is read back (about 80,000 files); with a larger one the work is done again, which changes
nothing in the bucket."""

MAX_LISTED_PROBLEMS = 1000
"""Problems that a manifest lists; the rest is counted."""


class BundleObject(Contract, frozen=True, kw_only=True):
    key: str
    sha256: str
    size: int


class FileProblem(Contract, frozen=True, kw_only=True, omit_defaults=True):
    """A file that its language cannot read."""

    path: str
    kind: str
    line: int | None = None


class LeftOutEntry(Contract, frozen=True, kw_only=True):
    """An entry of the archive that is not in the bundle."""

    path: str
    reason: str


class Counts(Contract, frozen=True, kw_only=True):
    files: int
    symlinks: int
    left_out: int
    problems: int
    not_checked: dict[str, int]
    """By reason: files of a known language of which it cannot be told whether it could read them."""


class Manifest(Contract, frozen=True, kw_only=True):
    """The head of a manifest. The stored document goes on with ``files`` and ``symlinks``, one an entry."""

    schema_version: Literal[2] = 2
    repository: str
    sha: str
    bundle: BundleObject
    counts: Counts
    problems: list[FileProblem]
    left_out: list[LeftOutEntry]


def bundle_key(job: Job) -> str:
    return object_key(job.repository.full_name, job.pull_request.head.sha, "bundle.tar.gz")


def manifest_key(job: Job) -> str:
    return object_key(job.repository.full_name, job.pull_request.head.sha, "manifest.json")


def find(store: ArtifactStore, job: Job) -> Manifest | None:
    """The manifest of the job's commit, when its bundle is stored already.

    Raises:
        ArtifactStoreUnavailable: the bucket could not be read.
    """
    content = store.read(manifest_key(job), MAX_MANIFEST_BYTES)
    if content is None:
        return None
    try:
        return Manifest.read_json(content)
    except InvalidContract:
        # Of another schema version.
        return None


def write_manifest(manifest: Manifest, tree: Tree, target: BinaryIO, checkpoint: Callable[[], None]) -> Digest:
    """Writes the whole document, entry by entry: the same tree gives the same bytes."""
    output = HashingWriter(target)
    head = manifest.to_json()
    output.write(head.removesuffix("}").encode() + b',"files":[')
    for number, file in enumerate(tree.files):
        checkpoint()
        fields = {"path": file.path, "size": file.size, "mode": f"{file.mode:o}", "sha256": file.sha256}
        output.write(_item(number, fields))
    output.write(b'\n],"symlinks":[')
    for number, link in enumerate(tree.symlinks):
        output.write(_item(number, {"path": link.path, "target": link.target}))
    output.write(b"\n]}\n")
    return output.digest()


def _item(number: int, fields: dict[str, Any]) -> bytes:
    return (",\n" if number else "\n").encode() + json.dumps(fields, ensure_ascii=False).encode()
