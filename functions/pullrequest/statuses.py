"""The commit status: what a plain token can show, a state and one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pullrequest.claim import Claim
    from pullrequest.display import Display, State
    from pullrequest.github import PullRequestClient, StatusState

STATES: dict[State, StatusState] = {
    "pending": "pending",
    "success": "success",
    "neutral": "success",
    "skipped": "success",
    "failure": "failure",
    "cancelled": "error",
    "timed_out": "error",
    "action_required": "failure",
}


def show_status(github: PullRequestClient, claim: Claim, display: Display) -> None:
    """Sets the commit status, unless an earlier holder of the claim has set the same one already.

    Raises:
        WorkInProgress: somebody else has taken the work over; nothing is written.
        WorkError: GitHub did not take it.
    """
    state = STATES[display.state]
    if claim.is_taken_over and github.shows(state, display.title, display.details_url):
        return

    def write() -> None:
        # Each try is announced anew: an announcement lasts for one write, and not for pauses between several.
        with claim.writing():
            github.set_status(state, display.title, display.details_url)

    github.patiently(write)
