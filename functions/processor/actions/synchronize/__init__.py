"""The pull-request report: how large the change is, which sensitive paths it touches, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from processor.actions.synchronize.diff import examine
from pullrequest.result import Result
from pullrequest.text import counted

if TYPE_CHECKING:
    from processor.work import Work
    from shared.job import Job

TRIGGERS = {"pull_request": ("opened", "reopened", "synchronize", "edited.base")}
READS_ONLY = True
PENDING = "reading the changes"


def run(job: Job, work: Work) -> Result:
    """Reports on the changes of the job's pull request.

    Raises:
        WorkError: the files could not be read.
    """
    changed = work.github.changed_files()
    report = examine(work.github.files(), work.checkpoint)
    artifacts = {**report.to_dict(), "changed_files": changed, "files_left_out": max(0, changed - report.files)}
    if changed == 0 and report.files == 0:
        return Result(conclusion="neutral", summary="no changed files", artifacts=artifacts)
    summary = report.summary()
    if report.files < changed:
        # GitHub lists the first 3,000 only.
        summary = f"first {report.files:,} of {counted(changed, 'file')} read; {summary}"
    return Result(conclusion="failure" if report.problems else "success", summary=summary, artifacts=artifacts)
