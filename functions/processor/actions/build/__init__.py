"""The source bundle: the repository at the head SHA, checked, packed reproducibly, and stored with a manifest."""

from __future__ import annotations

import tempfile
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from processor.action_policy import ActionPolicy
from processor.actions.build import bundle
from processor.actions.build.archive import ArchiveRefused, Limits, pack, read_archive
from processor.actions.build.syntax import TOO_LARGE, NotChecked, check, language, limit
from processor.actions.build.verdict import judge
from pullrequest.finding import Level
from pullrequest.markdown import table
from pullrequest.result import Result
from pullrequest.text import counted, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from processor.actions.build.archive import File, Tree
    from processor.actions.build.syntax import SyntaxProblem
    from processor.work import Work
    from shared.contract import Contract
    from shared.job import Job


class Policy(ActionPolicy, frozen=True, kw_only=True):
    """What the repository's policy says of the build's findings."""

    syntax_error: Annotated[
        Level, Meta(description="A file that the pull request made unreadable for its language.")
    ] = "failure"
    unsafe_path: Annotated[
        Level, Meta(description="A path of the pull request's that is left out of the bundle because it is unsafe.")
    ] = "failure"
    left_out: Annotated[
        Level, Meta(description="What else of it is left out: links that lead out of the tree, odd names.")
    ] = "notice"


TRIGGERS = {"pull_request": ("build",)}
PENDING = "building the source bundle"

LIMITS = Limits().by_name()
"""What a refusal may be for; a stored refusal counts for as long as its limit is the same."""

MAX_LISTED = 20
"""Problems that the outcome lists; the manifest has more of them."""


def run(job: Job, work: Work) -> Result:
    """Builds the bundle of the job's head SHA, unless it is stored already.

    Raises:
        WorkError: the archive could not be read, or the bundle not be stored.
    """
    manifest = bundle.find(work.artifacts, job)
    if manifest is None:
        try:
            manifest = _make(job, work)
        except ArchiveRefused as refusal:
            return Result(
                conclusion="failure",
                summary=f"the archive is refused: {refusal}",
                refused_by={refusal.limit: refusal.value},
            )
    return _result(manifest, job, work)


def _make(job: Job, work: Work) -> bundle.Manifest:
    # Unnamed files: nothing of this attempt is left in the execution environment, however it ends.
    with tempfile.TemporaryFile() as spool, tempfile.TemporaryFile() as packed, tempfile.TemporaryFile() as document:
        with work.github.open_archive() as stream:
            tree = read_archive(stream, spool, checkpoint=work.checkpoint)
        problems, problem_count, not_checked = _check(tree, work)
        digest = pack(tree, packed, work.checkpoint)
        work.checkpoint()
        key = bundle.bundle_key(job)
        stored = work.artifacts.put(key, packed, sha256=digest.sha256, content_type="application/gzip")
        manifest = bundle.Manifest(
            repository=job.repository.full_name,
            sha=job.pull_request.head.sha,
            # Of what stands in the bucket: an earlier attempt may have packed it with another version of zlib.
            bundle=bundle.BundleObject(key=key, sha256=stored.sha256, size=stored.size),
            counts=bundle.Counts(
                files=len(tree.files),
                symlinks=len(tree.symlinks),
                left_out=tree.left_out_count,
                problems=problem_count,
                not_checked=dict(sorted(not_checked.items())),
            ),
            problems=problems,
            left_out=[bundle.LeftOutEntry(path=entry.path, reason=entry.reason) for entry in tree.left_out],
        )
        digest = bundle.write_manifest(manifest, tree, document, work.checkpoint)
        work.artifacts.put(bundle.manifest_key(job), document, sha256=digest.sha256, content_type="application/json")
    return manifest


def _check(tree: Tree, work: Work) -> tuple[list[bundle.FileProblem], int, Counter[str]]:
    """The problems to list, how many there are, and by reason how many files were not checked."""
    problems: list[bundle.FileProblem] = []
    count, not_checked = 0, Counter[str]()
    for file in tree.files:
        if language(file.path) is None:
            continue
        work.checkpoint()
        try:
            problem = _problem(tree, file)
        except NotChecked as reason:
            not_checked[str(reason)] += 1
            continue
        if problem is not None:
            count += 1
            if len(problems) < bundle.MAX_LISTED_PROBLEMS:
                problems.append(bundle.FileProblem(path=file.path, kind=problem.kind, line=problem.line))
    return problems, count, not_checked


def _problem(tree: Tree, file: File) -> SyntaxProblem | None:
    if file.size > limit(file.path):
        raise NotChecked(TOO_LARGE)
    return check(file.path, tree.read(file))


def _result(manifest: bundle.Manifest, job: Job, work: Work) -> Result:
    verdict = judge(manifest, work)
    counts, already_there = manifest.counts, verdict.already_there
    not_checked = Counter(counts.not_checked) + verdict.not_checked
    told = [
        counted(verdict.problems, "syntax error") if verdict.problems else "",
        f"{counted(verdict.unsafe, 'unsafe path')} left out" if verdict.unsafe else "",
    ]
    parts = [f"bundle of {counted(counts.files, 'file')}", ", ".join(filter(None, told)) or "no problems"]
    if already_there:
        parts.append(f"{already_there:,} already there")
    if not_checked:
        parts.append(f"{counted(not_checked.total(), 'file')} not checked")
    return Result(
        conclusion="failure" if work.findings.has_failures else "success",
        summary="; ".join(parts),
        details_url=work.artifacts.link(manifest.bundle.key),
        text=_text(manifest, already_there, not_checked),
        artifacts={
            "bundle": manifest.bundle.plain(),
            "manifest": bundle.manifest_key(job),
            "files": counts.files,
            "symlinks": counts.symlinks,
            "already_there": already_there,
            "not_checked": dict(not_checked),
            "problems": _listing(manifest.problems, counts.problems),
            "left_out": _listing(manifest.left_out, counts.left_out),
        },
    )


def _text(manifest: bundle.Manifest, already_there: int, not_checked: Counter[str]) -> str:
    counts = manifest.counts
    rows = [
        ("files", f"{counts.files:,}"),
        ("symbolic links", f"{counts.symlinks:,}"),
        ("left out", f"{counts.left_out:,}"),
        ("syntax errors that the pull request did not make", f"{already_there:,}"),
        *((f"not checked: {reason}", f"{count:,}") for reason, count in sorted(not_checked.items())),
    ]
    digest = f"The bundle has {manifest.bundle.size:,} bytes, SHA-256 `{manifest.bundle.sha256}`."
    return f"{table(['in the repository at this commit', 'count'], rows)}\n\n{digest}"


def _listing(items: Sequence[Contract], count: int) -> dict[str, Any]:
    listed = [item.plain() for item in items[:MAX_LISTED]]
    for item in listed:
        item["path"] = printable(item["path"], 120)
    return {"count": count, "items": listed, "left_out": count - len(listed)}
