"""Does a piece of work once, and shows it on the pull request: pending, then the result."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from msgspec import structs

from processor.errors import OutcomeTooLarge, Overtaken
from pullrequest.display import Display
from pullrequest.errors import WorkError
from pullrequest.result import Result, StoredResult
from pullrequest.showing import show, show_result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from processor.work import Action, Work
    from pullrequest.claim import Claim
    from pullrequest.finding import Findings
    from pullrequest.github import PullRequestClient
    from shared.job import Job

OVERTAKEN = "The work was stopped. A newer push has work of its own; a pull request that is opened again, too."
RESULT_MAX_BYTES = 64 * 1024
"""Far below Step Functions' 256 KiB: the result is also stored in the table, twice, and shown."""


def carry_out(
    job: Job,
    work: Work,
    action: Action,
    claim: Claim,
    *,
    confirm: Callable[[], None],
    held_back: Callable[[], Display | None],
    elapsed_ms: Callable[[], int],
) -> StoredResult:
    """The result of the job's work: done and shown now, or found as an earlier attempt left it.

    Work that nobody wants any more (for a SHA that is not the pull request's head, or of one that was closed) concludes
    ``cancelled``. It is not kept: the SHA may become the head again, and a pull request may be opened again.

    A failed attempt leaves the pending status alone: the state machine may try again. When it does not, the status is
    closed at the execution's end (closing.handler).

    Args:
        job: the job.
        work: its running work.
        action: what to do.
        claim: the claim to the work; it has ended when this returns or raises.
        confirm: raises when nobody waits for this attempt any more. Asked before anything is written: whoever ended
            the execution since then finds this claim and takes it over.
        held_back: what is to be shown in place of the work, where the repository's policy holds it back.
        elapsed_ms: milliseconds since the attempt began.

    Raises:
        WorkInProgress: somebody else has taken the work over.
        OutcomeTooLarge: see there.
        Exception: whatever the action raises.
    """
    if claim.phase == "reported" and claim.result is not None:
        return claim.result
    with released_on_failure(claim):
        confirm()
        try:
            _require_wanted(work.github)
            if claim.result is None:
                if (display := held_back()) is not None:
                    return _shown_instead(display, work.github, claim, elapsed_ms())
                show(work.github, claim, Display("pending", action.PENDING))
                claim.written()
                result = _bounded(work.complete(action.run(job, work)))
                work.checkpoint()
                _require_wanted(work.github)
                stored = claim.decide(result, elapsed_ms())
            else:
                stored = claim.result
            work.checkpoint()
            show_result(work.github, claim, stored)
        except Overtaken as overtaken:
            return _cancelled(str(overtaken), job, work.github, claim, elapsed_ms())
    return stored


def _require_wanted(github: PullRequestClient) -> None:
    if reason := github.overtaken():
        raise Overtaken(reason)


@contextmanager
def released_on_failure(claim: Claim) -> Iterator[None]:
    """Lets go of the claim when what is inside raises, so that the next attempt need not wait for its lease."""
    try:
        yield
    except BaseException:
        # If the record cannot be written now, its lease runs out.
        with suppress(WorkError):
            claim.end("released", pending_shown=claim.pending_shown)
        raise


def _shown_instead(display: Display, github: PullRequestClient, claim: Claim, elapsed_ms: int) -> StoredResult:
    """Ends work that is not to be done, or not yet. It is not kept: what holds it back may be gone the next time."""
    show(github, claim, display)
    claim.end("released", pending_shown=False)
    return StoredResult(conclusion="neutral", summary=display.title, duration_ms=elapsed_ms)


def _cancelled(reason: str, job: Job, github: PullRequestClient, claim: Claim, elapsed_ms: int) -> StoredResult:
    """Ends work that nobody wants any more; what is shown of it is closed. Who asked for it by hand is told."""
    result = Result(conclusion="cancelled", summary=reason)
    if claim.pending_shown or job.rerun:
        show(github, claim, Display(result.conclusion, result.summary, text=OVERTAKEN))
    claim.end("released", pending_shown=False)
    return StoredResult.of(result, elapsed_ms)


def with_findings(result: Result, findings: Findings) -> Result:
    """The result, with what was found in single files."""
    return structs.replace(result, findings=tuple(findings.items), findings_left_out=findings.left_out)


def _bounded(result: Result) -> Result:
    # An action may be anybody's: what its result holds has to come out of the table again.
    Result.read(result.plain())
    # Findings and text are bounded by themselves, and in no outcome.
    size = len(structs.replace(result, findings=(), text="").to_json().encode())
    if size > RESULT_MAX_BYTES:
        raise OutcomeTooLarge(f"the result has {size} bytes of JSON; {RESULT_MAX_BYTES} are allowed")
    return result
