"""`make pictures`: the pictures of the README, from the pages that the last runs wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.stack import PROJECT
from ops.dashboard import browser
from ops.replay.show import line

if TYPE_CHECKING:
    from pathlib import Path

    from local.progress import Progress

IMAGES = PROJECT / "docs" / "images"
DASHBOARD_SIZE = (1600, 1418)
"""Pixels: the rows that tell whether it works, and where an incident shows first."""
TRACE_SIZE = (1400, 1060)
PULL_REQUEST_SIZE = (1180, 1240)


def pictures(directory: Path, progress: Progress, images: Path = IMAGES) -> int:
    """Takes a picture of the dashboard, of the trace that was shown last, and of the last run's pull request.

    Args:
        directory: where the pages are.
        progress: hears of each step.
        images: where the pictures go.

    Returns:
        The exit code: 0 taken; 1 when a page is missing, or there is no browser.
    """
    dashboard = directory / "dashboard.html"
    traces = sorted(directory.glob("trace-*.html"), key=lambda page: page.stat().st_mtime)
    pull_request = directory / "pull-request.html"
    if not dashboard.exists() or not traces or not pull_request.exists():
        told = "error: `make run`, `make dashboard` and `make trace` write the pages; run them first"
        line(progress.console, told, "red")
        return 1
    images.mkdir(parents=True, exist_ok=True)
    for page, name, (width, height) in (
        (dashboard, "dashboard.png", DASHBOARD_SIZE),
        (traces[-1], "trace.png", TRACE_SIZE),
        (pull_request, "pull-request.png", PULL_REQUEST_SIZE),
    ):
        with progress.step(f"take {name} of {page.name}"):
            browser.screenshot(page, images / name, width=width, height=height)
    return 0
