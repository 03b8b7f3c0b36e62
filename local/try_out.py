"""`make try`: somebody's own repository as a pull request through the whole stack, and what that would show."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table

from local.flow import deliver, follow
from local.github.foreign import NUMBER, NoRepositoryError, serve
from local.github_control import GitHubControl, brief
from local.stack import LocalStack

if TYPE_CHECKING:
    from rich.console import Console

    from local.progress import Progress

SECONDS = 600.0
SHOWN = 40
"""Findings that the terminal shows; the page and the JSON have all that GitHub would have."""


def try_out(
    directory: Path,
    progress: Progress,
    source: Path,
    *,
    base: str | None,
    head: str | None,
    action: str,
    as_json: bool,
) -> int:
    """Serves the repository, runs the action, prints what the pull request would show.

    Args:
        directory: for the stack's files and the result.
        progress: hears of each step.
        source: the repository; nothing is written into it.
        base: see ``local.github.foreign.serve``; so for head.
        action: what to run.
        as_json: whether to write ``try.json``, too.

    Returns:
        The exit code: 0 when the work was done, whatever it concluded; 1 when it could not be done; 2 when what was
        named is no repository.
    """
    console = progress.console
    page, result = directory / "try.html", directory / "try.json"
    for former in (page, result):
        # What could not be tried has nothing to show.
        former.unlink(missing_ok=True)
    try:
        stack = LocalStack(directory, progress, repository=partial(serve, source, base=base, head=head))
        with stack:
            github = GitHubControl(stack.info.github_url)
            name = f"{_name(source.resolve().parent.name, 'local')}/{_name(source.resolve().name, 'repository')}"
            github.rename(name)
            pull_request = github.pull_request(NUMBER)
            with progress.step(f"deliver {action} for {pull_request.head_ref} on {pull_request.base_ref}"):
                flow = follow(deliver(stack.info, action, pull_request), stack.info, stack.traces, SECONDS)
            runs = [run for run in github.check_runs() if run["sha"] == pull_request.head_sha]
            statuses = [one for one in github.statuses() if one["kind"] == "status"]
            page.write_bytes(github.page(pull_request))
    except NoRepositoryError as error:
        console.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        return 2
    for run in runs:
        _show(run, console)
    console.print(f"\n  {_shown(page)}   the pull request's page")
    if as_json:
        result.write_text(json.dumps(_result(flow.output, runs, statuses), indent=2, ensure_ascii=False) + "\n")
        console.print(f"  {_shown(result)}   the same as JSON")
    if flow.status != "SUCCEEDED":
        console.print(f"\n[red]the work could not be done:[/] {escape(str(flow.error))}")
        return 1
    return 0


def _show(run: dict[str, Any], console: Console) -> None:
    console.print(f"\n[bold]{escape(run['name'])}[/]  {run['conclusion'] or run['status']}")
    console.print(Markdown(run["summary"] or ""))
    if not run["annotations"]:
        return
    table = Table("severity", "file", "line", "finding", box=None, padding=(0, 2))
    for one in run["annotations"][:SHOWN]:
        table.add_row(one["annotation_level"], escape(one["path"]), str(one["start_line"]), escape(one["message"]))
    console.print(table)
    if len(run["annotations"]) > SHOWN:
        console.print(f"  … {len(run['annotations']) - SHOWN} more")


def _result(output: dict[str, Any] | None, runs: list[dict[str, Any]], statuses: list[dict[str, Any]]) -> Any:
    artifacts = (output or {}).get("artifacts", {})
    findings = [
        {
            "severity": one["annotation_level"],
            "path": one["path"],
            "line": one["start_line"],
            "message": one["message"],
        }
        for run in runs
        for one in run["annotations"]
    ]
    return {
        "conclusion": (output or {}).get("conclusion"),
        "summary": (output or {}).get("summary"),
        "findings": findings,
        "counts": {
            "findings": dict(Counter(one["severity"] for one in findings)),
            "already_there": artifacts.get("already_there", 0),
            "not_checked": artifacts.get("not_checked", {}),
        },
        "check_runs": [brief(run) for run in runs],
        "statuses": [{name: one[name] for name in ("context", "state", "description")} for one in statuses],
    }


def _name(text: str, otherwise: str) -> str:
    """The text as a part of a repository's name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text.removesuffix(".git")).strip(".-")[:100] or otherwise


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
