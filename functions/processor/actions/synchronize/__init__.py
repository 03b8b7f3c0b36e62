"""The pull-request report: how large the change is, which sensitive paths it touches, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, get_args

from msgspec import Meta

from processor.action_policy import ActionPolicy
from processor.actions.synchronize.diff import MAX_ADDED_LINES, MAX_LINE_CHARACTERS, Kind, examine
from pullrequest.finding import Level
from pullrequest.markdown import code, table
from pullrequest.result import Result
from pullrequest.text import counted

if TYPE_CHECKING:
    from processor.work import Work
    from shared.job import Conclusion, Job


class Policy(ActionPolicy, frozen=True, kw_only=True):
    """What the repository's policy says of the report's findings."""

    conflict_marker: Annotated[Level, Meta(description="An added conflict marker of git's.")] = "failure"
    over_large: Annotated[Level, Meta(description="More added lines than `max_added_lines`, or a longer one.")] = (
        "failure"
    )
    binary_addition: Annotated[Level, Meta(description="A new binary file.")] = "notice"
    no_diff: Annotated[Level, Meta(description="A new text file of which GitHub shows no diff.")] = "notice"
    max_added_lines: Annotated[int, Meta(ge=1, le=1_000_000, description="Added lines of one file.")] = MAX_ADDED_LINES
    max_line_characters: Annotated[int, Meta(ge=1, le=1_000_000, description="Characters of one added line.")] = (
        MAX_LINE_CHARACTERS
    )


TRIGGERS = {"pull_request": ("opened", "reopened", "synchronize", "edited.base")}
READS_ONLY = True
PENDING = "reading the changes"


def run(job: Job, work: Work) -> Result:
    """Reports on the changes of the job's pull request.

    Raises:
        WorkError: the files could not be read.
    """
    changed = work.github.changed_files()
    policy = work.policy
    levels: dict[str, Level] = {kind: getattr(policy, kind) for kind in get_args(Kind)}
    report = examine(
        work.github.files(),
        work.checkpoint,
        lambda kind, path, message, line: work.findings.add(levels[kind], path, message, line=line),
        max_added_lines=policy.max_added_lines,
        max_line_characters=policy.max_line_characters,
    )
    artifacts = {**report.to_dict(), "changed_files": changed, "files_left_out": max(0, changed - report.files)}
    if changed == 0 and report.files == 0:
        return Result(conclusion="neutral", summary="no changed files", artifacts=artifacts)
    summary = report.summary()
    if report.files < changed:
        # GitHub lists the first 3,000 only.
        summary = f"first {report.files:,} of {counted(changed, 'file')} read; {summary}"
    conclusion: Conclusion = "failure" if work.findings.has_failures else "success"
    return Result(conclusion=conclusion, summary=summary, text=_text(artifacts), artifacts=artifacts)


def _text(artifacts: dict[str, Any]) -> str:
    """The report's tables."""
    folders = [
        (code(one["path"]), one["files"], f"+{one['additions']:,}", f"\N{MINUS SIGN}{one['deletions']:,}")
        for one in artifacts["folders"]["items"]
    ]
    parts = [table(["folder", "files", "added", "removed"], folders)]
    for heading, listings in (("Sensitive paths", artifacts["sensitive"]), ("Told", artifacts["problems"])):
        rows = [
            (kind, code(item["path"]), item.get("line", ""))
            for kind, listing in listings.items()
            for item in listing["items"]
        ]
        if rows:
            parts.append(f"### {heading}\n\n{table(['what', 'file', 'line'], rows)}")
    return "\n\n".join(parts)
