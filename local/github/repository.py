"""The git repository behind the local GitHub: real objects, real diffs, no git command.

One bare repository and one JSON file with what git does not know about pull requests. Every operation opens the
repository anew, because libgit2's handles must not be shared between threads and opening one is cheap.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO

import pygit2
from pygit2.enums import FileMode

from local.github import archive, diff, sample
from local.github.model import ChangedFile, Commit, File, FileContent, PullRequest, timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# A minute between two commits of a branch: history reads well and the SHAs stay the same on every machine.
COMMIT_INTERVAL = 60
REPOSITORY = "repository.git"
RECORDS = "pull_requests.json"


class UnknownRefError(LookupError):
    """No branch, pull request or commit of that name."""


@dataclass(frozen=True, slots=True)
class Record:
    """What git does not know about a pull request."""

    number: int
    title: str
    head_ref: str
    base_ref: str
    base_sha: str
    fork: str | None = None
    is_draft: bool = False
    is_closed: bool = False


class _PullRequests(Mapping[int, PullRequest]):
    """Pull requests by number, as they were when this was made; a head is looked up when it is asked for.

    Every request to the API wants one of them, of which a load drill opens a thousand.
    """

    def __init__(self, records: Mapping[int, Record], read: Callable[[Record], PullRequest]) -> None:
        self._records = records
        self._read = read

    def __getitem__(self, number: int) -> PullRequest:
        return self._read(self._records[number])

    def __iter__(self) -> Iterator[int]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)


class GitRepository:
    """The repository and its pull requests, in a directory.

    The directory is filled with the sample repository at first use and reused from then on, by one object at a time:
    the records are read once.
    """

    default_branch = sample.BASE_REF

    def __init__(self, directory: Path) -> None:
        self._git = directory / REPOSITORY
        self._records_file = directory / RECORDS
        self._write_lock = threading.RLock()
        directory.mkdir(parents=True, exist_ok=True)
        # Replaced, never changed, so that readers need no lock.
        self._records: Mapping[int, Record] = {}
        self.full_name = sample.FULL_NAME
        """``owner/name``, as it is now."""
        self.former_names: frozenset[str] = frozenset()
        """What it was called before. Names live as long as the object, unlike the repository."""
        self._served_since = time.time()
        self._changed_at: dict[int, float] = {}
        self._before: dict[int, PullRequest] = {}
        if self._records_file.exists():
            self._records = self._load()
        else:
            self._create()

    def pull_requests(self) -> Mapping[int, PullRequest]:
        """All pull requests by number, each with its head at the time when it is looked up."""
        repo = self._open()

        def read(record: Record) -> PullRequest:
            head = repo.branches[record.head_ref].peel(pygit2.Commit)
            return PullRequest(
                full_name=self.full_name,
                number=record.number,
                title=record.title,
                head_sha=str(head.id),
                head_ref=record.head_ref,
                base_sha=record.base_sha,
                base_ref=record.base_ref,
                installation_id=sample.INSTALLATION_ID,
                sender=sample.SENDER,
                # A push here is one commit on top of the head.
                before_sha=str(head.parent_ids[0]) if head.parent_ids else None,
                updated_at=timestamp(self._changed_at.get(record.number, self._served_since)),
                fork=record.fork,
                is_draft=record.is_draft,
                is_closed=record.is_closed,
            )

        return _PullRequests(self._records, read)

    def open_pull_request(self, files: Mapping[str, FileContent], *, title: str) -> PullRequest:
        """Open the next pull request: one commit with these files on a new branch off the default branch."""
        with self._write_lock:
            number = max(self._records, default=0) + 1
            head_ref = f"change-{number}"
            repo = self._open()
            base = str(repo.branches[self.default_branch].target)
            self._commit(repo, head_ref, parent=base, files=files, message=title)
            record = Record(number, title, head_ref, self.default_branch, base)
            self._changed_at[number] = time.time()
            self._save({**self._records, number: record})
            return self.pull_requests()[number]

    def before(self, number: int) -> PullRequest:
        """A pull request as it was before its newest change: another head or base, and an earlier time of change.

        Raises:
            KeyError: when there is no such pull request.
        """
        pull_request = self.pull_requests()[number]
        if number in self._before:
            return self._before[number]
        # Not changed since it was opened, or since this object was made.
        assert pull_request.before_sha is not None  # noqa: S101 - read from git
        # GitHub's times have whole seconds, and an earlier one is to be seen as such.
        earlier = timestamp(self._changed_at.get(number, self._served_since) - 1)
        return replace(pull_request, head_sha=pull_request.before_sha, updated_at=earlier)

    def rename(self, full_name: str) -> None:
        """Gives the repository another ``owner/name``; it can be asked for by its former ones."""
        with self._write_lock:
            self.former_names = (self.former_names | {self.full_name}) - {full_name}
            self.full_name = full_name

    def change_base(self, number: int, ref: str) -> PullRequest:
        """Changes a pull request's base to another branch, which is made when there is none of that name.

        Returns:
            The pull request as it was before.

        Raises:
            KeyError: when there is no such pull request.
        """
        with self._write_lock:
            before = self.pull_requests()[number]
            repo = self._open()
            if ref not in repo.branches.local:
                files: dict[str, FileContent] = {f"branches/{ref}.md": f"# {ref}\n".encode()}
                self._commit(repo, ref, parent=before.base_sha, files=files, message=f"Begin {ref}")
            base = str(repo.branches.local[ref].target)
            record = replace(self._records[number], base_ref=ref, base_sha=base)
            self._change(before)
            self._save({**self._records, number: record})
            return before

    def mark(self, number: int, **fields: Any) -> PullRequest:
        """Sets what git does not know of a pull request: ``fork``, ``is_draft``, ``is_closed``.

        Returns:
            The pull request as it is now.

        Raises:
            KeyError: when there is no such pull request.
        """
        with self._write_lock:
            self._save({**self._records, number: replace(self._records[number], **fields)})
            self._changed_at[number] = time.time()
            return self.pull_requests()[number]

    def with_commit(self, sha: str) -> list[PullRequest]:
        """The open pull requests of the repository's own branches to which a commit belongs, as head or before it."""
        repo = self._open()

        def has(tip: str) -> bool:
            return tip == sha or repo.descendant_of(pygit2.Oid(hex=tip), pygit2.Oid(hex=sha))

        return [
            pull
            for pull in self.pull_requests().values()
            if pull.fork is None and not pull.is_closed and has(pull.head_sha) and not has(pull.base_sha)
        ]

    def _change(self, before: PullRequest) -> None:
        """Remembers what a pull request was, just before it changes."""
        earlier = timestamp(min(time.time() - 1, self._changed_at.get(before.number, self._served_since)))
        self._before[before.number] = replace(before, updated_at=earlier)
        self._changed_at[before.number] = time.time()

    def push(self, number: int, files: Mapping[str, FileContent] | None = None) -> str:
        """Add a commit to a pull request's branch; without files, a line of the changelog.

        Returns:
            The new head's SHA.

        Raises:
            KeyError: when there is no such pull request.
        """
        with self._write_lock:
            pull_request = self.pull_requests()[number]
            repo = self._open()
            if files is None:
                files = sample.pushed_files(self.read(pull_request.head_sha, "CHANGELOG.md"))
            self._change(pull_request)
            return self._commit(
                repo,
                pull_request.head_ref,
                parent=pull_request.head_sha,
                files=files,
                message=f"Update {', '.join(list(files)[:3])}",
            )

    def read(self, ref: str, path: str) -> bytes:
        """A file's content at a commit.

        Raises:
            KeyError: when there is no such file.
        """
        repo = self._open()
        blob = self._resolve(repo, ref).tree[path]
        if not isinstance(blob, pygit2.Blob):
            raise KeyError(path)
        return blob.data

    def commit(self, ref: str) -> Commit:
        """The commit that a SHA (also shortened), a branch, ``heads/x`` or ``pull/7/head`` names.

        Raises:
            UnknownRefError: when there is none.
        """
        commit = self._resolve(self._open(), ref)
        return Commit(
            sha=str(commit.id),
            tree=str(commit.tree.id),
            parents=tuple(str(parent) for parent in commit.parent_ids),
            message=commit.message,
            author=commit.author.name,
            email=commit.author.email,
            time=commit.commit_time,
        )

    def changed_files(self, base: str, head: str) -> tuple[ChangedFile, ...]:
        """The diff of a pull request: from where it left its base to its head, as GitHub shows it."""
        return diff.changed_files(str(self._git), base, head)

    def diff(self, base: str, head: str) -> bytes:
        """The same diff as text."""
        return diff.text(str(self._git), base, head)

    def commit_count(self, base: str, head: str) -> int:
        """How many commits a pull request has."""
        repo = self._open()
        walker = repo.walk(pygit2.Oid(hex=head))
        walker.hide(pygit2.Oid(hex=base))
        return sum(1 for _ in walker)

    def write_archive(self, sha: str, target: BinaryIO) -> None:
        """Write the gzip tar that GitHub's codeload answers with: ``git archive`` with one top directory.

        The same commit gives the same bytes.
        """
        commit = self._resolve(self._open(), sha)
        archive.write(target, commit, top=f"{self.full_name.replace('/', '-')}-{str(commit.id)[:7]}")

    def _open(self) -> pygit2.Repository:
        return pygit2.Repository(str(self._git))

    def _create(self) -> None:
        # The records are written last, so a directory without them holds at most a half-made repository.
        shutil.rmtree(self._git, ignore_errors=True)
        repo = pygit2.init_repository(str(self._git), bare=True, initial_head=sample.BASE_REF)
        base = self._commit(repo, sample.BASE_REF, parent=None, files=sample.base_files(), message="Say hello")
        parent = base
        for message, files in sample.pull_request_commits():
            parent = self._commit(repo, sample.HEAD_REF, parent=parent, files=files, message=message)
        record = Record(sample.NUMBER, sample.TITLE, sample.HEAD_REF, sample.BASE_REF, base)
        self._save({record.number: record})

    def _load(self) -> dict[int, Record]:
        records = (Record(**record) for record in json.loads(self._records_file.read_text(encoding="utf-8")))
        return {record.number: record for record in records}

    def _save(self, records: dict[int, Record]) -> None:
        scratch = self._records_file.with_suffix(".tmp")
        lines = ",\n".join(map(_line, records.values()))
        scratch.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        scratch.replace(self._records_file)
        self._records = records

    @staticmethod
    def _commit(
        repo: pygit2.Repository,
        branch: str,
        *,
        parent: str | None,
        files: Mapping[str, FileContent],
        message: str,
    ) -> str:
        index = pygit2.Index()
        committed_at = sample.FIRST_COMMIT_TIME
        if parent is not None:
            previous = repo[parent].peel(pygit2.Commit)
            index.read_tree(previous.tree)
            committed_at = previous.commit_time + COMMIT_INTERVAL
        for path, content in files.items():
            if content is None:
                index.remove(path)
            else:
                blob = repo.create_blob(content.data if isinstance(content, File) else content)
                index.add(pygit2.IndexEntry(path, blob, _mode(index, path, content)))
        who = pygit2.Signature(sample.AUTHOR, sample.AUTHOR_EMAIL, committed_at, 0)
        parents = [] if parent is None else [pygit2.Oid(hex=parent)]
        sha = repo.create_commit(None, who, who, message + "\n", index.write_tree(repo), parents)
        repo.references.create(f"refs/heads/{branch}", sha, force=True)
        return str(sha)

    def _resolve(self, repo: pygit2.Repository, ref: str) -> pygit2.Commit:
        ref = ref.removeprefix("refs/")
        branch = ref.removeprefix("heads/")
        if pull := re.fullmatch(r"pull/([0-9]{1,9})/head", ref):
            pull_request = self.pull_requests().get(int(pull[1]))
            if pull_request is None:
                raise UnknownRefError(ref)
            ref = pull_request.head_sha
        try:
            if branch in repo.branches.local:
                return repo.branches.local[branch].peel(pygit2.Commit)
            # A ref is a name or a SHA here, never one of git's revision expressions (HEAD~1, :/text).
            if not set(ref) <= set("0123456789abcdef") or len(ref) < 7:
                raise UnknownRefError(ref)
            return repo[ref].peel(pygit2.Commit)
        except (KeyError, ValueError, pygit2.GitError) as error:
            raise UnknownRefError(ref) from error


@cache
def _line(record: Record) -> str:
    # The file is written whole at each change; a thousand records made to JSON again would be most of that.
    return json.dumps(asdict(record))


def _mode(index: pygit2.Index, path: str, content: bytes | File) -> FileMode:
    if not isinstance(content, File):
        return index[path].mode if path in index else FileMode.BLOB
    if content.symlink:
        return FileMode.LINK
    return FileMode.BLOB_EXECUTABLE if content.executable else FileMode.BLOB
