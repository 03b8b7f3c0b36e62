"""What a pull request shows of a piece of work: pending, then the result, each written once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pullrequest.claim import Claim
    from pullrequest.github import PullRequestClient, State
    from pullrequest.result import Result
    from shared.job import Conclusion


STATES: dict[Conclusion, State] = {
    "success": "success",
    "neutral": "success",
    "failure": "failure",
    "cancelled": "error",
}


def show_result(github: PullRequestClient, claim: Claim, result: Result) -> None:
    """Shows the result of work that is done, and ends the claim. Raises what ``show`` does."""
    show(github, claim, STATES[result.conclusion], result.summary, result.details_url)
    claim.end("reported", pending_shown=False)


def show(
    github: PullRequestClient, claim: Claim, state: State, description: str, target_url: str | None = None
) -> None:
    """Sets the commit status, unless an earlier holder of the claim has set the same one already.

    Raises:
        WorkInProgress: somebody else has taken the work over; nothing is written.
        WorkError: GitHub did not take it.
    """
    if claim.is_taken_over and github.shows(state, description, target_url):
        return

    def write() -> None:
        # Each try is announced anew: an announcement lasts for one write, and not for pauses between several.
        with claim.writing():
            github.set_status(state, description, target_url)

    github.patiently(write)
