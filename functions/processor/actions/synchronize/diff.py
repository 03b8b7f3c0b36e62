"""What a pull request changes: sizes, sensitive paths and problems, from GitHub's list of changed files.

Pure: files in, report out. Everything in a report is bounded, however large the pull request is.
"""

from __future__ import annotations

import mimetypes
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchSet

from pullrequest.text import counted, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pullrequest.changed_file import ChangedFile

MAX_ADDED_LINES = 5_000
"""Added lines of one file above which nobody reviews it line by line; the policy may set another number."""

MAX_WITHHELD_LINES = 500
"""Added lines of a file whose patch GitHub withholds. GitHub withholds the patches of large files, and of all further
files of a large pull request; the bound keeps small files of the second kind out of the problems."""

MAX_LINE_CHARACTERS = 5_000
"""Length of one added line: longer ones are minified or generated, and hide what they do. So for the policy."""

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
_OURS, _MIDDLE, _THEIRS = "<" * 7, "=" * 7, ">" * 7

_TEXT_KINDS = frozenset(
    {
        "application/javascript",
        "application/json",
        "application/sql",
        "application/toml",
        "application/x-sh",
        "application/xml",
        "application/yaml",
        "image/svg+xml",
    }
)

Kind = Literal["conflict_marker", "over_large", "binary_addition", "no_diff"]
"""Of a finding: what the policy calls it."""


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
    not_shown: Listing = field(default_factory=Listing)
    """Text files without a patch, such as those that .gitattributes calls ``-diff``."""
    unreadable: Listing = field(default_factory=Listing)
    """Files whose patch could not be read to its end. Not a problem of the file."""

    @property
    def problems(self) -> dict[str, Listing]:
        """What is told besides sizes and paths, by heading, without the empty ones."""
        headings = {
            "conflict markers": self.conflict_markers,
            "over-large additions": self.over_large,
            "binary additions": self.binary,
            "no diff shown": self.not_shown,
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


def examine(
    files: Iterable[ChangedFile],
    checkpoint: Callable[[], None] = lambda: None,
    tell: Callable[[Kind, str, str, int | None], None] = lambda *_: None,
    *,
    max_added_lines: int = MAX_ADDED_LINES,
    max_line_characters: int = MAX_LINE_CHARACTERS,
) -> Report:
    """Examines all files.

    Args:
        files: as GitHub lists them.
        checkpoint: called before each of them, and may raise.
        tell: hears of each finding: its kind, the path, our words, the line.
        max_added_lines: see MAX_ADDED_LINES.
        max_line_characters: see MAX_LINE_CHARACTERS.
    """
    report = Report()
    for file in files:
        checkpoint()
        _measure(file, report)
        for kind in sensitive_kinds(file):
            report.sensitive.setdefault(kind, Listing()).add(file.path)
        if file.patch is not None:
            _examine_patch(file, file.patch, report, tell, max_added_lines, max_line_characters)
        elif is_lock_file(file.path) or is_empty(file):
            continue
        elif is_binary_addition(file):
            report.binary.add(file.path)
            tell("binary_addition", file.path, "a new binary file", 1)
        elif file.additions > MAX_WITHHELD_LINES:
            report.over_large.add(file.path, added_lines=file.additions, reason="GitHub withholds the patch")
            tell("over_large", file.path, f"{file.additions:,} added lines, which GitHub does not show", 1)
        elif file.status == "added":
            report.not_shown.add(file.path)
            tell("no_diff", file.path, "GitHub shows no diff of this file", 1)
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


def is_empty(file: ChangedFile) -> bool:
    """Whether the file is new and has nothing in it. GitHub gives an empty file's blob, or none at all."""
    return file.status == "added" and not file.additions and (file.blob_sha is None or file.blob_sha in EMPTY_BLOBS)


def is_binary_addition(file: ChangedFile) -> bool:
    """Whether the file is new and, by its name, binary.

    GitHub does not say "binary": it gives no patch and counts no lines, which it does for text as well that
    .gitattributes calls ``-diff``. A name that promises text is therefore believed.
    """
    without_lines = file.patch is None and file.additions == 0 and file.deletions == 0
    kind, _ = mimetypes.guess_type(file.path, strict=False)
    is_text = kind is not None and (kind.startswith("text/") or kind in _TEXT_KINDS)
    return file.status == "added" and without_lines and not is_text


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


def _examine_patch(
    file: ChangedFile,
    patch: str,
    report: Report,
    tell: Callable[[Kind, str, str, int | None], None],
    max_added_lines: int,
    max_line_characters: int,
) -> None:
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
    # Seven equals signs alone underline a heading, and a mail quotes with signs of its own (">>>>>>> quoted").
    if _OURS in markers or (_MIDDLE in markers and _THEIRS in markers):
        report.conflict_markers.add(file.path, line=first_marker, markers=markers.total())
        tell("conflict_marker", file.path, f"{counted(markers.total(), 'conflict marker')} from here on", first_marker)
    if is_lock_file(file.path):
        return
    if file.additions > max_added_lines:
        report.over_large.add(file.path, added_lines=file.additions, reason="many added lines")
        tell("over_large", file.path, f"{file.additions:,} added lines", 1)
    elif longest > max_line_characters:
        report.over_large.add(file.path, line=longest_at, characters=longest, reason="long line")
        tell("over_large", file.path, f"a line of {longest:,} characters", longest_at)
