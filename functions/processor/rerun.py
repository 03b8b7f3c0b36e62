"""*Re-run all checks*: each check run of a suite is requested again, as its own button would."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pullrequest.result import Result
from pullrequest.text import counted
from shared.contract import InvalidContract
from shared.external_id import ExternalId

if TYPE_CHECKING:
    from pullrequest.github import CheckRun, PullRequestClient


def rerequest_all(github: PullRequestClient) -> Result:
    """Asks GitHub for each run of ours that is complete. It sends a delivery for each, which names its pull request.

    What runs already is left alone: another attempt asks for none a second time whose work has begun.

    Raises:
        WorkError: GitHub did not take it.
    """
    wanted = [run for run in github.runs_of_suite() if run.conclusion is not None and _is_ours(run)]
    for run in wanted:
        github.patiently(partial(github.rerequest, run.id))
    summary = f"{counted(len(wanted), 'check run')} requested again"
    return Result(conclusion="success" if wanted else "neutral", summary=summary)


def _is_ours(run: CheckRun) -> bool:
    try:
        ExternalId.read_json(run.external_id or "")
    except InvalidContract:
        return False
    return True
