"""What all actions share: the commit status around the work, and the end of work that is superseded."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from processor.errors import TaskClosed, WorkError
from processor.work import Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from processor.github import State
    from processor.work import Work
    from shared.job import Conclusion, Job

_STATES: dict[Conclusion, State] = {"success": "success", "neutral": "success", "failure": "failure"}


def with_status(job: Job, work: Work, pending: str, examine: Callable[[], Result]) -> Result:
    """Does the work between a pending commit status and one that tells the result.

    Work for a SHA that is not the pull request's head is superseded: it concludes ``cancelled``. When that shows
    before the work, no status is posted at all; when it shows after, the pending one is closed.

    Args:
        job: the job.
        work: its running work.
        pending: description of the pending status.
        examine: the work itself.

    Raises:
        Exception: whatever the work raises, after the pending status is closed as well as that goes.
    """
    newest = work.github.head_sha()
    if newest != job.pull_request.head.sha:
        return _superseded(newest)
    # A dead attempt must not put "pending" over the result of the one that came after it.
    work.checkpoint()
    work.github.set_status("pending", pending)
    try:
        result = examine()
        newest = work.github.head_sha()
        # The last moment to notice that another attempt is at work: its status must not be overwritten.
        work.checkpoint()
        if newest != job.pull_request.head.sha:
            result = _superseded(newest)
            work.github.set_status("error", result.summary)
        else:
            work.github.set_status(_STATES[result.conclusion], result.summary, result.details_url)
    except TaskClosed:
        # The commit's status belongs to the attempt that came after this one, if there is one.
        raise
    except Exception as error:
        with suppress(WorkError):
            work.github.set_status("error", f"not finished: {type(error).__name__}")
        raise
    return result


def _superseded(newest: str) -> Result:
    return Result(conclusion="cancelled", summary=f"superseded by {newest[:7]}")
