"""`make run`: two deliveries through the whole flow, and a report of what happened at each hop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from local.flow import Flow, deliver, follow, log_lines
from local.github_control import GitHubControl, brief
from local.stack import LocalStack
from local.waterfall import waterfall

if TYPE_CHECKING:
    from local.progress import Progress

ACTIONS = ("synchronize", "build")
FILES: dict[str, str | None] = {
    ".github/workflows/pages.yml": "on: push\njobs: {}\n",
    # A name that macOS gives, and that no bundle takes.
    "Icon\r": "",
    "assets/flow.png": "\0" * 64,
    "src/hello/languages.py": '"""Says hello in more languages."""\n\nHELLO = {"de": "Hallo", "fr": "Bonjour"}\n',
}
"""What the pull request of a run brings: something to report, something to note, nothing that fails."""


def run(directory: Path, progress: Progress) -> int:
    """Starts the stack, delivers, reports, stops.

    Returns:
        The exit code: 0 when every execution succeeded with the outcome that it should have.
    """
    console = progress.console
    shown = directory.relative_to(Path.cwd()) if directory.is_relative_to(Path.cwd()) else directory
    with LocalStack(directory, progress) as stack:
        github = GitHubControl(stack.info.github_url)
        pull_request = github.open_pull_request(FILES)
        flows = []
        for action in ACTIONS:
            with progress.step(f"deliver {action} and wait for its execution"):
                flows.append(follow(deliver(stack.info, action, pull_request), stack.info, stack.traces))
        posted, runs = github.statuses(), github.check_runs()
        deliveries = [flow.to_json() | {"check_runs": _check_runs(flow, runs)} for flow in flows]
        (directory / "last-run.json").write_text(json.dumps({"deliveries": deliveries}, indent=2) + "\n")
        problems = []
        for flow in flows:
            _show(flow, progress)
            if problem := _problem(flow, posted):
                problems.append(problem)
                hop = flow.failed_hop() or "processor"
                console.print(f"[red]✗ {escape(problem)}[/]\n[bold]Log of {hop}[/]")
                for line in log_lines(stack.info, hop):
                    console.print(line, markup=False, soft_wrap=True)
        _show_report(posted, runs, progress)
        page = directory / "pull-request.html"
        page.write_bytes(github.page(pull_request))
    console.print(
        f"\n[bold]Look further[/]\n  {shown / 'last-run.json'}   hops, outcomes and trace ids"
        f"\n  {shown / 'pull-request.html'}  what the pull request shows: checks, and annotations in its diff"
        f"\n  {shown / 'traces.jsonl'}    every segment that the X-Ray SDK sent"
        f"\n  {shown / 'engine.log'}      the embedded AWS; sam.log and github.log are beside it"
        "\n  make up                the same stack, left running; make trigger ACTION=build sends to it",
        soft_wrap=True,
    )
    if problems:
        console.print(f"\n[red]{len(problems)} of {len(flows)} deliveries failed[/]")
        return 1
    console.print(f"\n[green]{len(flows)} of {len(flows)} executions succeeded[/]")
    return 0


def _problem(flow: Flow, posted: list[dict[str, str]]) -> str | None:
    """What is wrong with the flow, or None."""
    if flow.http_status != 202:
        return f"{flow.action}: the webhook answered {flow.http_status} {flow.answer}"
    if flow.status != "SUCCEEDED":
        return f"{flow.action}: execution {flow.status} at the {flow.failed_hop()}: {flow.error} {flow.cause or ''}"
    output = flow.output or {}
    if (output.get("action"), output.get("delivery_id")) != (flow.action, flow.delivery_id):
        return f"{flow.action}: the outcome belongs to another job: {output}"
    if output.get("conclusion") != "success":
        return f"{flow.action}: concluded {output.get('conclusion')}: {output.get('summary')}"
    states = [one["state"] for one in posted if one["context"] == f"pullback/{flow.action}"]
    if states[-2:] != ["pending", "success"]:
        return f"{flow.action}: the pull request shows {states}, not pending, then success"
    if len(flow.trace_ids) != 1:
        return f"{flow.action}: {len(flow.trace_ids)} traces in place of one"
    return None


def _check_runs(flow: Flow, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The flow's check runs: name, conclusion, and how many annotations."""
    return [brief(run) for run in runs if run["name"] == f"pullback/{flow.action}"]


def _show(flow: Flow, progress: Progress) -> None:
    console = progress.console
    console.print(f"\n[bold]{flow.action}[/]  delivery {flow.delivery_id}")
    console.print(f"  webhook answered {flow.http_status} {flow.answer.get('result')} in {flow.ack_ms:.0f} ms")
    table = Table(box=None, padding=(0, 2), show_header=False)
    started = min((hop["start"] for hop in flow.hops), default=0)
    for hop in flow.hops:
        table.add_row("  " + hop["name"], f"at {hop['start'] - started} ms", f"took {hop['end'] - hop['start']} ms")
    console.print(table)
    output = flow.output or {}
    console.print(f"  execution {flow.status}: {output.get('conclusion')} — {escape(str(output.get('summary')))}")
    if output.get("details_url"):
        console.print(f"  details {output['details_url']}", soft_wrap=True)
    console.print(f"  trace {', '.join(flow.trace_ids)}")
    console.print(waterfall(flow.segments))


def _show_report(posted: list[dict[str, str]], runs: list[dict[str, Any]], progress: Progress) -> None:
    progress.console.print("\n[bold]On the pull request[/]")
    for status in posted:
        progress.console.print(
            f"  {status['sha'][:7]}  {status['context']:22} {status['state']:8} {escape(status['description'] or '')}"
        )
    for run in runs:
        count = len(run["annotations"])
        shown = f"{run['name']} {run['conclusion'] or run['status']}, {count} annotation{'' if count == 1 else 's'}"
        progress.console.print(f"  check run {escape(shown)}")
        for one in run["annotations"]:
            where = f"{one['path']!r}:{one['start_line']}"
            progress.console.print(f"  {one['annotation_level']:8} {escape(where):32} {escape(one['message'])}")
