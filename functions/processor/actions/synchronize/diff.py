"""What a pull request changes: sizes, sensitive paths and problems, from GitHub's list of changed files.

Pure: files in, report out. Everything in a report is bounded, however large the pull request is.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchSet

from pullrequest.text import counted, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pullrequest.changed_file import ChangedFile

MAX_ADDED_LINES = 5_000
"""Added lines of one file above which nobody reviews it line by line."""

MAX_WITHHELD_LINES = 500
"""Added lines of a file whose patch GitHub withholds. GitHub withholds the patches of large files, and of all further
files of a large pull request; the bound keeps small files of the second kind out of the problems."""

MAX_LINE_CHARACTERS = 5_000
"""Length of one added line: longer ones are minified or generated, and hide what they do."""

MAX_LISTED = 15
"""Paths listed under one heading; the rest is counted. With MAX_PATH_BYTES it keeps a report of any pull request
below 48 KiB of JSON, three quarters of what an outcome's artifacts may have."""

MAX_PATH_BYTES = 120
"""Bytes of a path that are shown: GitHub's paths can have thousands."""

EMPTY_BLOBS = frozenset(
    {
        "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
        "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
    }
)
"""Git's ids of the empty file, in SHA-1 and SHA-256."""

LOCK_FILES = frozenset(
    {
        "bun.lock",
        "cargo.lock",
        "composer.lock",
        "flake.lock",
        "gemfile.lock",
        "go.sum",
        "gradle.lockfile",
        "npm-shrinkwrap.json",
        "package-lock.json",
        "packages.lock.json",
        "pdm.lock",
        "pipfile.lock",
        "pnpm-lock.yaml",
        "poetry.lock",
        "pubspec.lock",
        "uv.lock",
        "yarn.lock",
    }
)

# Kind -> what a path of this kind looks like; matched against the whole path in lower case.
SENSITIVE = {
    "workflow": re.compile(r"\.github/(workflows|actions)/.+|(.+/)?action\.ya?ml"),
    "infrastructure": re.compile(
        r"(.+/)?(template|samconfig|serverless|pulumi|docker-compose[^/]*|compose)\.(ya?ml|toml)"
        r"|.+\.(tf|tfvars|hcl|bicep|asl\.json)"
        r"|(.+/)?(dockerfile|containerfile)(\.[^/]*)?|.+\.dockerfile"
        r"|(.+/)?cdk\.json"
        r"|(.+/)?(k8s|kubernetes|helm|charts|terraform|cloudformation|cdk)/.+"
    ),
    "code owners": re.compile(r"(\.github/|docs/)?codeowners"),
    "lock file": re.compile(r"(?:.+/)?(?:" + "|".join(map(re.escape, sorted(LOCK_FILES))) + ")"),
}

# Git writes seven characters and then a blank or the end of the line.
_CONFLICT_MARKER = re.compile(r"(<{7}|>{7}|\|{7})(?: |\r?$)|(={7})\r?$")
_CONFLICT_ENDS = frozenset({"<" * 7, ">" * 7})

Item = TypeVar("Item")


@dataclass(slots=True)
class Listing:
    """The first items under a heading, and how many there were."""

    count: int = 0
    items: list[dict[str, Any]] = field(default_factory=list)

    def add(self, path: str, **details: int | str) -> None:
        self.count += 1
        if len(self.items) < MAX_LISTED:
            self.items.append({"path": printable(path, MAX_PATH_BYTES), **details})

    def to_dict(self) -> dict[str, Any]:
        return {"count": self.count, "items": self.items, "left_out": self.count - len(self.items)}


@dataclass(slots=True)
class Folder:
    """Size of the changes below one top-level folder."""

    files: int = 0
    additions: int = 0
    deletions: int = 0


@dataclass(slots=True)
class Report:
    """What was found in all files."""

    files: int = 0
    additions: int = 0
    deletions: int = 0
    folders: dict[str, Folder] = field(default_factory=dict)
    sensitive: dict[str, Listing] = field(default_factory=dict)
    conflict_markers: Listing = field(default_factory=Listing)
    over_large: Listing = field(default_factory=Listing)
    binary: Listing = field(default_factory=Listing)
    unreadable: Listing = field(default_factory=Listing)
    """Files whose patch could not be read to its end. Not a problem of the file."""

    @property
    def problems(self) -> dict[str, Listing]:
        """The headings that make a pull request fail, without the empty ones."""
        headings = {
            "conflict markers": self.conflict_markers,
            "over-large additions": self.over_large,
            "binary additions": self.binary,
        }
        return {name: listing for name, listing in headings.items() if listing.count}

    def summary(self) -> str:
        """One line of our own words and numbers, such as "12 files, +340 -25; workflow touched; no problems"."""
        parts = [f"{counted(self.files, 'file')}, +{self.additions} \N{MINUS SIGN}{self.deletions}"]
        if self.sensitive:
            parts.append(f"{', '.join(self.sensitive)} touched")
        problems = [f"{name} in {counted(found.count, 'file')}" for name, found in self.problems.items()]
        parts.append(", ".join(problems) or "no problems")
        if self.unreadable.count:
            parts.append(f"{counted(self.unreadable.count, 'file')} not read")
        return "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON, below 48 KiB. Equal reports give equal bytes."""
        largest = sorted(self.folders.items(), key=lambda item: (-item[1].additions - item[1].deletions, item[0]))
        return {
            "files": self.files,
            "additions": self.additions,
            "deletions": self.deletions,
            "folders": {
                "count": len(largest),
                "items": [
                    {
                        "path": printable(name, MAX_PATH_BYTES),
                        "files": folder.files,
                        "additions": folder.additions,
                        "deletions": folder.deletions,
                    }
                    for name, folder in largest[:MAX_LISTED]
                ],
                "left_out": max(0, len(largest) - MAX_LISTED),
            },
            "sensitive": {kind: listing.to_dict() for kind, listing in self.sensitive.items()},
            "problems": {name: listing.to_dict() for name, listing in self.problems.items()},
            "unreadable": self.unreadable.to_dict(),
        }


def examine(files: Iterable[ChangedFile], checkpoint: Callable[[], None] = lambda: None) -> Report:
    """Examines all files; ``checkpoint`` is called before each of them, and may raise."""
    report = Report()
    for file in files:
        checkpoint()
        _measure(file, report)
        for kind in sensitive_kinds(file):
            report.sensitive.setdefault(kind, Listing()).add(file.path)
        if file.patch is not None:
            _examine_patch(file, file.patch, report)
        elif is_binary_addition(file):
            report.binary.add(file.path)
        elif file.additions > MAX_WITHHELD_LINES and not is_lock_file(file.path):
            report.over_large.add(file.path, added_lines=file.additions, reason="GitHub withholds the patch")
        elif file.additions:
            report.unreadable.add(file.path)
    # In a fixed order, whatever the order of the files.
    report.sensitive = {kind: report.sensitive[kind] for kind in SENSITIVE if kind in report.sensitive}
    return report


def sensitive_kinds(file: ChangedFile) -> list[str]:
    """The kinds of sensitive path that this change touches; moving a file away touches its old place."""
    paths = [path.lower() for path in (file.path, file.previous_path) if path]
    return [kind for kind, pattern in SENSITIVE.items() if any(pattern.fullmatch(path) for path in paths)]


def is_lock_file(path: str) -> bool:
    """Whether the file is written by a package manager: large by nature, and reviewed by other means."""
    return PurePosixPath(path).name.lower() in LOCK_FILES


def is_binary_addition(file: ChangedFile) -> bool:
    """Whether the file is new and binary.

    GitHub does not say "binary": it gives no patch and counts no lines, which it does for a new empty file too.
    """
    without_lines = file.patch is None and file.additions == 0 and file.deletions == 0
    return file.status == "added" and without_lines and file.blob_sha not in EMPTY_BLOBS


def added_lines(patch: str) -> Iterator[tuple[int, str]]:
    """Number in the new file, and text, of each added line.

    Args:
        patch: hunks without file headers, as GitHub gives them.

    Raises:
        UnidiffParseError, ValueError: they are not well-formed.
    """
    # Headers of our own: the file's name could break out of them.
    for patched in PatchSet(f"--- a/file\n+++ b/file\n{patch}\n"):
        for hunk in patched:
            for line in hunk:
                if line.is_added:
                    yield line.target_line_no or 0, line.value.removesuffix("\n")


def _measure(file: ChangedFile, report: Report) -> None:
    top, slash, _ = file.path.partition("/")
    folder = report.folders.setdefault(f"{top}/" if slash else ".", Folder())
    for total in (report, folder):
        total.files += 1
        total.additions += file.additions
        total.deletions += file.deletions


def _examine_patch(file: ChangedFile, patch: str, report: Report) -> None:
    markers: Counter[str] = Counter()
    lines = first_marker = longest = longest_at = 0
    try:
        for number, line in added_lines(patch):
            lines += 1
            if found := _CONFLICT_MARKER.match(line):
                markers[found[1] or found[2]] += 1
                first_marker = first_marker or number
            if len(line) > longest:
                longest, longest_at = len(line), number
    except (UnidiffParseError, ValueError):
        # What was read up to there still counts. The message quotes the patch.
        pass
    if lines < file.additions:
        report.unreadable.add(file.path)
    # A line of seven equals signs alone underlines a heading in Markdown and RST.
    if markers.keys() & _CONFLICT_ENDS:
        report.conflict_markers.add(file.path, line=first_marker, markers=markers.total())
    if file.additions > MAX_ADDED_LINES and not is_lock_file(file.path):
        report.over_large.add(file.path, added_lines=file.additions, reason="many added lines")
    elif longest > MAX_LINE_CHARACTERS and not is_lock_file(file.path):
        report.over_large.add(file.path, line=longest_at, characters=longest, reason="long line")
