"""The check run: what a GitHub App can show, with a report and with findings on the lines that they are about.

It is created in progress and completed once. Findings become annotations, which GitHub adds up over requests of at most
50: so each request begins where the annotations that GitHub has end, and nothing is said twice, however often the
work changes hands. docs.github.com/rest/checks/runs
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import requests

from pullrequest.errors import GitHubRefused
from pullrequest.markdown import code, cut, table
from pullrequest.text import counted, one_line

if TYPE_CHECKING:
    from pullrequest.claim import Claim
    from pullrequest.display import Display
    from pullrequest.finding import Finding
    from pullrequest.github import CheckRun, PullRequestClient

MAX_ANNOTATIONS = 50
"""Annotations that GitHub takes in one request."""

MAX_TITLE = 200
MAX_SUMMARY_BYTES = 60_000
"""GitHub takes 65,535 characters."""

MAX_LISTED = 50
"""Findings that are listed in the text where GitHub does not take annotations."""


def show_check_run(github: PullRequestClient, claim: Claim, display: Display) -> None:
    """Creates or completes the check run, unless an earlier holder of the claim has done so already.

    Raises:
        WorkInProgress: somebody else has taken the work over; nothing is written.
        GitHubRefused: with status 403 where the App may not write checks.
        WorkError: GitHub did not take it.
    """
    seen = _standing(github, claim, display)
    if display.state == "pending":
        if seen is None:
            _send(github, claim, {"output": output(display, ())})
        return
    if seen is not None and seen.conclusion is not None:
        # Completed by an earlier holder: with the same result, which was stored before.
        return
    try:
        _complete(github, claim, display, done=seen.annotations if seen else 0)
    except GitHubRefused as refusal:
        if refusal.status != requests.codes.not_found:
            raise
        # What was created is gone.
        claim.check_run = None
        _complete(github, claim, display, done=0)


def _standing(github: PullRequestClient, claim: Claim, display: Display) -> CheckRun | None:
    """The check run that an earlier holder of the claim may have left. A first holder knows what it has written."""
    if not claim.is_taken_over:
        return None
    if claim.check_run is not None:
        return github.check_run(claim.check_run)
    # Created, and the answer was lost; or never created.
    found = github.find_check_run() if claim.pending_shown else None
    if found is None or (found.conclusion is not None and (found.conclusion, found.title) != _told(display)):
        # One that is complete with something else is of another time that the work was done.
        return None
    claim.check_run = found.id
    return found


def _told(display: Display) -> tuple[str, str]:
    return display.state, _title(display)


def _complete(github: PullRequestClient, claim: Claim, display: Display, *, done: int) -> None:
    """Completes it with the most that GitHub takes: a result without its annotations is better than none."""
    for attempt in (_in_batches, _without_annotations, _bare):
        try:
            attempt(github, claim, display, done)
        except GitHubRefused as refusal:
            if refusal.status != requests.codes.unprocessable or attempt is _bare:
                raise
            github.told_less(attempt.__name__.lstrip("_"))
        else:
            return


def _in_batches(github: PullRequestClient, claim: Claim, display: Display, done: int) -> None:
    left = display.findings[done:]
    while len(left) > MAX_ANNOTATIONS:
        _send(github, claim, {"output": output(display, left[:MAX_ANNOTATIONS])})
        left = left[MAX_ANNOTATIONS:]
    _send(github, claim, completion(display, left))


def _without_annotations(github: PullRequestClient, claim: Claim, display: Display, _: int) -> None:
    rows = [
        [code(one.path), one.line or "", one.severity, code(one.message, 300)] for one in display.findings[:MAX_LISTED]
    ]
    findings = table(["file", "line", "severity", "finding"], rows) if rows else ""
    text = "\n\n".join(filter(None, (display.text, findings)))
    _send(github, claim, completion(replace(display, text=text), ()))


def _bare(github: PullRequestClient, claim: Claim, display: Display, _: int) -> None:
    _send(github, claim, completion(replace(display, text="", details_url=None, buttons=()), ()))


def _send(github: PullRequestClient, claim: Claim, body: dict[str, Any]) -> None:
    """Changes the check run; creates it where there is none yet."""

    def write() -> None:
        # Each try is announced anew: an announcement lasts for one write, and not for pauses between several.
        with claim.writing():
            if claim.check_run is None:
                claim.check_run = github.create_check_run({"status": "in_progress", **body})
            else:
                github.update_check_run(claim.check_run, body)

    github.patiently(write)


def completion(display: Display, findings: tuple[Finding, ...]) -> dict[str, Any]:
    """The body of the request that completes a run."""
    body: dict[str, Any] = {
        "status": "completed",
        "conclusion": display.state,
        "output": output(display, findings),
        "actions": [
            {"label": one.label, "description": one.description, "identifier": one.identifier}
            for one in display.buttons
        ],
    }
    if display.details_url:
        body["details_url"] = display.details_url
    return body


def output(display: Display, findings: tuple[Finding, ...]) -> dict[str, Any]:
    """What a run tells: title, Markdown, and these findings besides those that it has."""
    title = one_line(display.title)[:MAX_TITLE]
    more = (
        f"{counted(display.findings_left_out, 'finding')} more, which no line shows."
        if display.findings_left_out
        else ""
    )
    summary = "\n\n".join(filter(None, (title, display.text, more)))
    return {
        "title": title,
        "summary": cut(summary, MAX_SUMMARY_BYTES),
        "annotations": [
            {
                "path": one.path,
                "start_line": one.line or 1,
                "end_line": one.line or 1,
                "annotation_level": one.severity,
                "message": one.message,
            }
            for one in findings
        ],
    }


def _title(display: Display) -> str:
    return one_line(display.title)[:MAX_TITLE]
