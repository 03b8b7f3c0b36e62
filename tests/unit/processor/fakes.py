"""In-memory stand-ins for what an action gets, and archives to feed it."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from processor.artifacts import StoredObject
from processor.attempt import with_findings
from pullrequest.errors import WorkInProgress
from pullrequest.finding import Findings
from pullrequest.result import Result, StoredResult
from shared.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pullrequest.changed_file import ChangedFile

SHA = "a" * 40
NEWER_SHA = "c" * 40


def a_job(action: str = "synchronize") -> Job:
    return Job.read(
        {
            "action": action,
            "delivery_id": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
            "repository": {"full_name": "octo-org/hello"},
            "pull_request": {
                "number": 7,
                "title": "Say hello",
                "head": {"ref": "hello", "sha": SHA},
                "base": {"ref": "main", "sha": "b" * 40},
            },
            "sender": {"login": "octocat"},
        }
    )


@dataclass
class FakeGitHub:
    """A pull request. ``heads`` are the heads that are seen, the last one for ever."""

    changed: list[ChangedFile] = field(default_factory=list)
    total: int | None = None
    archive: bytes = b""
    heads: list[str] = field(default_factory=lambda: [SHA])
    statuses: list[tuple[str, str, str | None]] = field(default_factory=list)
    downloads: int = 0
    refuses_status: Exception | None = None
    breaks: Exception | None = None
    writes_checks: bool = False
    fork: bool = False
    base_files: dict[str, bytes] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)

    def overtaken(self) -> str | None:
        head = self.heads.pop(0) if len(self.heads) > 1 else self.heads[0]
        return None if head == SHA else f"superseded by {head[:7]}"

    def base_file(self, path: str) -> bytes | None:
        return self.base_files.get(path)

    def is_fork(self) -> bool:
        return self.fork

    def patiently(self, function: Callable[[], Any]) -> Any:
        return function()

    def changed_files(self) -> int:
        return len(self.changed) if self.total is None else self.total

    def files(self) -> Iterator[ChangedFile]:
        self.listed.update(file.path for file in self.changed)
        yield from self.changed
        if self.breaks:
            raise self.breaks

    def set_status(self, state: str, description: str, target_url: str | None = None) -> None:
        if self.refuses_status and self.statuses:
            raise self.refuses_status
        self.statuses.append((state, description, target_url))

    @contextmanager
    def open_archive(self) -> Iterator[BinaryIO]:
        self.downloads += 1
        if self.breaks:
            raise self.breaks
        yield io.BytesIO(self.archive)

    def shows(self, state: str, description: str, target_url: str | None = None) -> bool:
        return bool(self.statuses) and self.statuses[-1] == (state, description, target_url)

    @property
    def states(self) -> list[str]:
        return [state for state, _, _ in self.statuses]


@dataclass
class FakeStore:
    """A bucket whose objects are written once."""

    objects: dict[str, bytes] = field(default_factory=dict)

    def put(self, key: str, body: BinaryIO, *, sha256: str, content_type: str) -> StoredObject:
        assert content_type.startswith("application/")
        body.seek(0)
        content = body.read()
        assert hashlib.sha256(content).hexdigest() == sha256
        created = key not in self.objects
        standing = self.objects.setdefault(key, content)
        return StoredObject(hashlib.sha256(standing).hexdigest(), len(standing), created=created)

    def read(self, key: str, max_bytes: int) -> bytes | None:
        content = self.objects.get(key)
        return content if content is not None and len(content) <= max_bytes else None

    def link(self, key: str) -> str:
        return f"https://artifacts.example/{key}"


@dataclass
class FakeWork:
    """One running piece of work; ``stops`` is raised by the checkpoint of that number and all after it."""

    github: FakeGitHub = field(default_factory=FakeGitHub)
    artifacts: FakeStore = field(default_factory=FakeStore)
    stops: tuple[int, Exception] | None = None
    findings: Findings = field(default_factory=Findings)
    checkpoints: int = 0

    policy: Any = None

    def complete(self, result: Result) -> Result:
        return with_findings(result, self.findings)

    def checkpoint(self) -> None:
        self.checkpoints += 1
        if self.stops and self.checkpoints >= self.stops[0]:
            raise self.stops[1]


@dataclass
class FakeClaim:
    """A claim that is held until ``lost_at`` updates were made; records what was said of the work."""

    phase: str = "working"
    result: Any = None
    pending_shown: bool = False
    is_taken_over: bool = False
    check_run: int | None = None
    lost_at: int | None = None
    said: list[str] = field(default_factory=list)

    def _say(self, word: str) -> None:
        if self.lost_at is not None and len(self.said) >= self.lost_at:
            raise WorkInProgress("lost")
        self.said.append(word)

    @contextmanager
    def writing(self) -> Iterator[None]:
        self._say("writing")
        self.pending_shown = True
        yield

    def written(self) -> None:
        self._say("written")

    def decide(self, result: Any, duration_ms: int) -> StoredResult:
        self._say("decided")
        stored = StoredResult.of(result, duration_ms)
        self.result, self.phase = stored, "decided"
        return stored

    def end(self, phase: str, *, pending_shown: bool) -> None:
        self._say(phase)
        self.phase, self.pending_shown = phase, pending_shown


def member(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """An entry of an archive. ``fields`` are TarInfo's."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for name_, value in fields.items():
        setattr(info, name_, value)
    return info, content


def a_tar(*members: tuple[tarfile.TarInfo, bytes], **options: Any) -> bytes:
    """An uncompressed archive. ``options`` are tarfile.open's."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", errors="surrogateescape", **options) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return output.getvalue()


def an_archive(files: dict[str, bytes], top: str = "octo-org-hello-aaaaaaa") -> bytes:
    """A gzip-compressed archive of these files below one top directory."""
    members = [member(f"{top}/{path}", content) for path, content in files.items()]
    return gzip.compress(a_tar(member(top, type=tarfile.DIRTYPE), *members), mtime=0)
