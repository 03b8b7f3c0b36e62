"""What of a tree's problems the pull request has made: what its base has too is counted, and blames nobody."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from processor.actions.build.archive import HARMLESS
from processor.actions.build.syntax import NotChecked, check
from pullrequest.github import MAX_FILES, NoPlainFile
from pullrequest.text import printable

if TYPE_CHECKING:
    from processor.actions.build.bundle import Manifest
    from processor.work import Work
    from pullrequest.changed_file import ChangedFile

MAX_COMPARED = 100
"""Files that are read at the base, one request each, to see whether they were as bad before."""

COULD_NOT_COMPARE = "it cannot be read at the base"
TOO_MANY = f"more than {MAX_COMPARED} changed files cannot be read"
BEYOND = f"beyond the first {MAX_FILES:,} changed files"


@dataclass
class Verdict:
    """What is to be said of the pull request; the findings themselves are in its work."""

    problems: int = 0
    """Syntax errors that it made."""
    unsafe: int = 0
    already_there: int = 0
    not_checked: Counter[str] = field(default_factory=Counter)


def judge(manifest: Manifest, work: Work) -> Verdict:
    """Tells whose each problem is, and adds those of the pull request to the work's findings.

    The manifest is the commit's, whichever pull request it was made for: the verdict is this one's, against its base.

    Raises:
        WorkError: GitHub did not list the files, or not give one.
    """
    verdict = Verdict()
    if not manifest.problems and not manifest.left_out:
        return verdict
    changed = {file.path: file for file in work.github.files()}
    is_whole = work.github.changed_files() <= len(changed)
    compared = 0
    for problem in manifest.problems:
        work.checkpoint()
        file = changed.get(problem.path)
        if file is None:
            if is_whole:
                verdict.already_there += 1
            else:
                verdict.not_checked[BEYOND] += 1
            continue
        compared += 1
        reason = TOO_MANY if compared > MAX_COMPARED else _whose(file, work)
        if reason == _MADE_HERE:
            verdict.problems += 1
            message = f"{problem.kind} cannot read this file" + (" from this line on" if problem.line else "")
            work.findings.add(work.policy.syntax_error, problem.path, message, line=problem.line)
        elif reason == _ALREADY_THERE:
            verdict.already_there += 1
        else:
            verdict.not_checked[reason] += 1
    # A tree with so many is judged by those that are listed.
    verdict.already_there += manifest.counts.problems - len(manifest.problems)
    shown = {printable(path, 256): path for path in changed}
    for entry in manifest.left_out:
        # Of a path that is unsafe the archive's top directory is not known to be its beginning.
        path = shown.get(entry.path) or shown.get(entry.path.partition("/")[2])
        if path is None:
            continue
        is_harmless = entry.reason in HARMLESS
        verdict.unsafe += not is_harmless
        level = work.policy.left_out if is_harmless else work.policy.unsafe_path
        work.findings.add(level, path, f"left out of the bundle: {entry.reason}", line=1)
    return verdict


_MADE_HERE = "made here"
_ALREADY_THERE = "already there"


def _whose(file: ChangedFile, work: Work) -> str:
    """Whether the pull request has made a file unreadable, or why that cannot be told."""
    # Also of a file that is added: the base may have got one of that name meanwhile.
    path = file.previous_path or file.path
    try:
        before = work.github.base_file(path)
        if before is None:
            return _MADE_HERE
        return _MADE_HERE if check(path, before) is None else _ALREADY_THERE
    except (NoPlainFile, NotChecked):
        return COULD_NOT_COMPARE
