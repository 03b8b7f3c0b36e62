"""`make trace` on what the deployed stack leaves: a delivery that went through, and one that was tried twice."""

from __future__ import annotations

import io
import uuid
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from local import traces
from local.progress import Progress
from local.story import story
from ops.trace.command import trace

if TYPE_CHECKING:
    from pathlib import Path

    from local.flow import Flow
    from local.story import Row
    from tests.e2e.conftest import Deployed


def shown(deployed: Deployed, delivery: str | None, out: Path) -> str:
    """What the command prints; it writes the page to ``out``."""
    printed = io.StringIO()
    progress = Progress(Console(file=printed, highlight=False))
    progress.console.width = 160
    assert trace(deployed.stack.directory, progress, delivery, None, out) == 0, printed.getvalue()
    return printed.getvalue()


def functions(deployed: Deployed, delivery: str) -> list[Row]:
    """The rows of its functions."""
    told = story(traces.of_delivery(traces.read_all(deployed.stack.traces), delivery))
    return [row for one in told for row in one.rows if row.segment.service]


def test_a_delivery_that_went_through(deployed: Deployed, synchronize: Flow, tmp_path: Path) -> None:
    # One of its own: other tests invoke the functions with the job of ``synchronize``, which warms them here.
    done = deployed.run("synchronize", deployed.github.open_pull_request({"shown.txt": f"{uuid.uuid4()}\n"}))
    printed = shown(deployed, done.delivery_id, tmp_path / "page.html")
    rows = functions(deployed, done.delivery_id)
    assert [(row.label, row.attempt, row.outcome) for row in rows] == [
        ("webhook", None, None),
        ("task", None, None),
        ("processor", None, "success"),
    ]
    assert "attempt 1" not in printed
    assert done.trace_ids[0] in printed
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert f"<title>Trace of {done.delivery_id}</title>" in page
    assert all(one.id in page for one in done.segments)


def test_each_call_to_github_is_in_the_trace(deployed: Deployed) -> None:
    """With method, path template and status; nothing that tells of a query, a credential or a repository."""
    before = len(deployed.github.requests())
    done = deployed.run("synchronize", deployed.github.open_pull_request({"calls.txt": f"{uuid.uuid4()}\n"}))
    calls = [one for one in done.segments if one.name == "GitHub"]
    assert {one.operation for one in calls} >= {
        "GET /repos/{owner}/{repo}/pulls/{number}",
        "GET /repos/{owner}/{repo}/pulls/{number}/files",
        "POST /repos/{owner}/{repo}/check-runs",
        "PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}",
    }
    assert {one.status for one in calls if (one.operation or "").startswith("POST")} == {201}
    # The repository has no policy.
    policy = "GET /repos/{owner}/{repo}/contents/{path}"
    assert {one.status for one in calls if one.operation == policy} == {404}
    assert {one.status for one in calls if (one.operation or "").startswith("GET") and one.operation != policy} == {200}
    assert len(calls) <= len(deployed.github.requests()) - before
    processor = next(one for one in done.segments if one.service == "processor")
    assert all(processor.start <= one.start <= one.end <= processor.end for one in calls)


def test_a_retry_is_shown_as_one(deployed: Deployed, retried: Flow, tmp_path: Path) -> None:
    assert len(retried.trace_ids) == 1
    printed = shown(deployed, retried.delivery_id, tmp_path / "page.html")
    webhook, *attempts = functions(deployed, retried.delivery_id)
    assert webhook.label == "webhook"
    assert [(row.label, row.attempt, row.attempts) for row in attempts] == [
        ("task", 1, 2),
        ("processor", 1, 2),
        ("task", 2, 2),
        ("processor", 2, 2),
    ]
    _, failed, again, done = attempts
    assert (failed.kind, (failed.outcome or "").split(":")[0]) == ("fault", "failed")
    assert (done.kind, done.outcome) == ("function", "success")
    assert again.waited == pytest.approx(again.segment.start - failed.end)
    assert printed.index("attempt 1/2") < printed.index("attempt 2/2")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("attempt 1/2") == page.count("attempt 2/2") == 2


def test_without_a_delivery_it_is_the_newest(deployed: Deployed, tmp_path: Path) -> None:
    newest = deployed.run("build")
    assert shown(deployed, None, tmp_path / "page.html").startswith(f"Delivery {newest.delivery_id}")
