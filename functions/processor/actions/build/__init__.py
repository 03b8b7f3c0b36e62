"""The source bundle: the repository at the head SHA, checked, packed reproducibly, and stored with a manifest."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

from processor.actions.build import bundle
from processor.actions.build.archive import ArchiveRefused, Limits, pack, read_archive
from processor.actions.build.syntax import NotChecked, check, language, limit
from pullrequest.result import Result
from pullrequest.text import counted, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from processor.actions.build.archive import File, Tree
    from processor.actions.build.syntax import SyntaxProblem
    from processor.work import Work
    from shared.contract import Contract
    from shared.job import Job

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
                not_checked=not_checked,
            ),
            problems=problems,
            left_out=[bundle.LeftOutEntry(path=entry.path, reason=entry.reason) for entry in tree.left_out],
        )
        digest = bundle.write_manifest(manifest, tree, document, work.checkpoint)
        work.artifacts.put(bundle.manifest_key(job), document, sha256=digest.sha256, content_type="application/json")
    return manifest


def _check(tree: Tree, work: Work) -> tuple[list[bundle.FileProblem], int, int]:
    """The problems to list, how many there are, and how many files were not checked."""
    problems: list[bundle.FileProblem] = []
    count = not_checked = 0
    for file in tree.files:
        if language(file.path) is None:
            continue
        work.checkpoint()
        try:
            problem = _problem(tree, file)
        except NotChecked:
            not_checked += 1
            continue
        if problem is not None:
            count += 1
            if len(problems) < bundle.MAX_LISTED_PROBLEMS:
                problems.append(bundle.FileProblem(path=file.path, kind=problem.kind, line=problem.line))
    return problems, count, not_checked


def _problem(tree: Tree, file: File) -> SyntaxProblem | None:
    if file.size > limit(file.path):
        raise NotChecked
    return check(file.path, tree.read(file))


def _result(manifest: bundle.Manifest, job: Job, work: Work) -> Result:
    counts = manifest.counts
    findings = [
        counted(counts.problems, "syntax error") if counts.problems else "",
        f"{counted(counts.left_out, 'unsafe path')} left out" if counts.left_out else "",
    ]
    parts = [f"bundle of {counted(counts.files, 'file')}", ", ".join(filter(None, findings)) or "no problems"]
    if counts.not_checked:
        parts.append(f"{counted(counts.not_checked, 'file')} not checked")
    return Result(
        conclusion="failure" if any(findings) else "success",
        summary="; ".join(parts),
        details_url=work.artifacts.link(manifest.bundle.key),
        artifacts={
            "bundle": manifest.bundle.plain(),
            "manifest": bundle.manifest_key(job),
            "files": counts.files,
            "symlinks": counts.symlinks,
            "not_checked": counts.not_checked,
            "problems": _listing(manifest.problems, counts.problems),
            "left_out": _listing(manifest.left_out, counts.left_out),
        },
    )


def _listing(items: Sequence[Contract], count: int) -> dict[str, Any]:
    listed = [item.plain() for item in items[:MAX_LISTED]]
    for item in listed:
        item["path"] = printable(item["path"], 120)
    return {"count": count, "items": listed, "left_out": count - len(listed)}
