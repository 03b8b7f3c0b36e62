"""Pull requests from forks: their authors need no right to anything, so nothing of theirs is stored or built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pullrequest.display import Button, Display
from pullrequest.markdown import code

if TYPE_CHECKING:
    from processor.work import Action
    from pullrequest.github import PullRequestClient
    from shared.job import Job

Forks = Literal["report", "allow", "approve"]
"""What the policy says: only reports; everything; everything once somebody with write access approved the commit."""

APPROVE = Button("Approve", "Do the work for this very commit", "approve")
MAY_APPROVE = frozenset({"admin", "write"})
"""GitHub's words for who may push: docs.github.com/rest/collaborators, "Get repository permissions for a user"."""

_NOT_DONE = """The pull request comes from a fork. Nothing of it is stored or built here.

The base branch's `.github/pullback.toml` may say otherwise: `forks = "approve"` or `forks = "allow"`."""
_TO_APPROVE = """The pull request comes from a fork. Look at its changes, then press *Approve*: the work is done for
this commit alone. A later push needs another approval. Only who may push to this repository can approve."""


def held_back(job: Job, action: Action, forks: Forks, github: PullRequestClient) -> Display | None:
    """What is shown in place of the work; None where it is to be done.

    Raises:
        WorkError: GitHub was not to be asked.
    """
    if forks == "allow" or getattr(action, "READS_ONLY", False) or not github.is_fork():
        return None
    if forks == "report":
        return Display("neutral", "not done for a pull request from a fork", text=_NOT_DONE)
    title = "waits for approval: the pull request comes from a fork"
    text = _TO_APPROVE
    if job.requested_action is not None and job.requested_action.identifier == APPROVE.identifier:
        if github.permission_of(job.sender.login) in MAY_APPROVE:
            return None
        text = f"{code(job.sender.login)} may not approve.\n\n{text}"
    return Display("action_required", title, text=text, buttons=(APPROVE,))
