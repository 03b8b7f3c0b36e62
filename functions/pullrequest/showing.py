"""What a pull request shows of a piece of work: pending, then the result, each written once.

With a GitHub App it is a check run (``pullrequest.checks``); with a plain token, or where the App may not write checks,
a commit status (``pullrequest.statuses``). Both keep to the claim: the holder announces each write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import requests

from pullrequest.checks import show_check_run
from pullrequest.display import Display
from pullrequest.errors import GitHubRefused
from pullrequest.statuses import show_status

if TYPE_CHECKING:
    from pullrequest.claim import Claim
    from pullrequest.github import PullRequestClient
    from pullrequest.result import StoredResult


def show_result(github: PullRequestClient, claim: Claim, result: StoredResult) -> None:
    """Shows the result of work that is done, and ends the claim. Raises what ``show`` does."""
    show(
        github,
        claim,
        Display(
            result.conclusion,
            result.summary,
            result.details_url,
            text=result.text,
            findings=result.findings,
            findings_left_out=result.findings_left_out,
        ),
    )
    claim.end("reported", pending_shown=False)


def show(github: PullRequestClient, claim: Claim, display: Display) -> None:
    """Shows it, unless an earlier holder of the claim has shown the same already.

    Raises:
        WorkInProgress: somebody else has taken the work over; nothing is written.
        WorkError: GitHub did not take it.
    """
    if github.writes_checks:
        try:
            show_check_run(github, claim, display)
        except GitHubRefused as refusal:
            if refusal.status != requests.codes.forbidden:
                raise
            github.give_up_checks()
        else:
            return
    show_status(github, claim, display)
