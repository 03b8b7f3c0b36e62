"""What an answer of GitHub means: one table, by call, answer and age of the event.

GitHub's API is eventually consistent: for seconds, and on bad days for minutes, after an event it may answer as if the
event had not happened. Such an answer is a *lag* and never final while the event is young. What is final, what is tried
again and by whom is decided here and nowhere else; docs/reliability.md shows the table (`make docs`).

Reports of lags: rust-lang/homu#141, home-assistant/service-hub#394 (422 on statuses), runatlantis/atlantis#1019 and
#1817, kubernetes/test-infra#2229 (404), palantir/policy-bot#47, tanium/octobot#75 (an older head).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal

from pullrequest.errors import GitHubLagging, GitHubRateLimited, GitHubRefused, GitHubUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pullrequest.errors import WorkError
    from shared.job import Job

PULL: Final = "GET /repos/{owner}/{repo}/pulls/{number}"
FILES: Final = "GET /repos/{owner}/{repo}/pulls/{number}/files"
STATUSES: Final = "GET /repos/{owner}/{repo}/statuses/{sha}"
SET_STATUS: Final = "POST /repos/{owner}/{repo}/statuses/{sha}"
BASE_FILE: Final = "GET /repos/{owner}/{repo}/contents/{path}"
CREATE_CHECK: Final = "POST /repos/{owner}/{repo}/check-runs"
CHECK: Final = "GET /repos/{owner}/{repo}/check-runs/{check_run_id}"
UPDATE_CHECK: Final = "PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}"
CHECKS: Final = "GET /repos/{owner}/{repo}/commits/{ref}/check-runs"
CHECKS_OF_SUITE: Final = "GET /repos/{owner}/{repo}/check-suites/{check_suite_id}/check-runs"
REREQUEST: Final = "POST /repos/{owner}/{repo}/check-runs/{check_run_id}/rerequest"
PERMISSION: Final = "GET /repos/{owner}/{repo}/collaborators/{username}/permission"
ARCHIVE_LINK: Final = "GET /repos/{owner}/{repo}/tarball/{ref}"
ARCHIVE: Final = "GET archive"
INSTALLATION_TOKEN: Final = "POST /app/installations/{installation_id}/access_tokens"  # noqa: S105 - a path

LAG_SECONDS = 15 * 60
"""For so long after its event an answer that does not know the event is a lag. Reported lags last seconds, those of
incidents minutes. The age counts from the execution's start: a payload does not tell when it was sent, and an execution
starts within a second of its delivery. A replay days later waits once more, which costs some calls."""

PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0)
"""Between the tries of one attempt, for all its calls together. Longer lags are waited for by the state machine, which
waits more cheaply: its Retry of GitHubLagging covers LAG_SECONDS (tests/infrastructure/test_statemachine.py)."""

UNSURE_PAUSE_SECONDS = 3.0
"""Before a head is believed to be newer that nothing tells the age of."""


class Verdict(Enum):
    """What an answer means, and who tries again."""

    LAG = "GitHubLagging: tried again in the attempt, then by the state machine; final when the event is old"
    LIMITED = "GitHubRateLimited: tried again by the state machine, for hours"
    OUTAGE = "GitHubUnavailable: reads are tried again at once, then all by the state machine"
    CREDENTIAL = "tried again once with a credential that is read anew; then GitHubRefused, final"
    FINAL = "GitHubRefused: final"


@dataclass(frozen=True)
class Rule:
    """A row of the table.

    Args:
        verdict: what the answer means.
        why: the reason, for docs/reliability.md.
        statuses: HTTP statuses; for 5xx and 3xx their first one stands for all.
        calls: the calls; none for every call.
        message: how GitHub's message begins, where the status alone does not tell.
        exhausted: whether the headers must say that a rate limit is used up.
    """

    verdict: Verdict
    why: str
    statuses: range | tuple[int, ...]
    calls: tuple[str, ...] = ()
    message: str = ""
    exhausted: bool = False

    def matches(self, call: str, status: int, message: str, *, exhausted: bool) -> bool:
        """Whether the row is about this answer."""
        return (
            status in self.statuses
            and (not self.calls or call in self.calls)
            and message.startswith(self.message)
            and (exhausted or not self.exhausted)
        )


RULES: tuple[Rule, ...] = (
    Rule(Verdict.LIMITED, "the primary limit comes back within the hour, secondary ones sooner", (429,)),
    Rule(
        Verdict.LIMITED,
        "the same, with `retry-after` or `x-ratelimit-remaining: 0`",
        (403,),
        exhausted=True,
    ),
    Rule(
        Verdict.LAG,
        "the pull request, its files or its commit are not known yet where the question was asked",
        (404,),
        calls=(PULL, FILES, STATUSES, SET_STATUS, CREATE_CHECK, CHECK, UPDATE_CHECK, CHECKS, ARCHIVE_LINK, ARCHIVE),
    ),
    Rule(
        Verdict.LAG,
        "the base's commit is not known yet where the file was asked for; any other 404 says that there is no file",
        (404,),
        calls=(BASE_FILE,),
        message="No commit found",
    ),
    Rule(
        Verdict.LAG,
        "the commit of a push is not known yet where statuses are written",
        (422,),
        calls=(STATUSES, SET_STATUS, CREATE_CHECK, CHECKS),
        message="No commit found",
    ),
    Rule(
        Verdict.OUTAGE,
        "somebody else writes to the same check run at this moment",
        (409,),
        calls=(CREATE_CHECK, UPDATE_CHECK),
    ),
    Rule(Verdict.CREDENTIAL, "the credential was rotated or revoked since it was read", (401,)),
    Rule(
        Verdict.FINAL,
        "redirects are followed to the same host, with method and body, three at most; this is any other",
        range(300, 400),
    ),
    Rule(
        Verdict.FINAL,
        "a permission, a validation, or what is gone for good: asking again answers the same",
        range(400, 500),
    ),
    Rule(
        Verdict.OUTAGE,
        "GitHub is away; so is an answer without a status, or one that is not what was asked for",
        range(600),
    ),
)
"""The first row that matches decides."""


def verdict_of(call: str, status: int, headers: Mapping[str, str], message: str = "") -> Verdict:
    """What an answer without success means.

    Args:
        call: one of the calls above, or any other.
        status: the answer's; below 300 for answers that could not be understood.
        headers: the answer's.
        message: GitHub's ``message``; compared, and never shown.
    """
    names = {name.lower(): value for name, value in headers.items()}
    exhausted = "retry-after" in names or names.get("x-ratelimit-remaining") == "0"
    matching = (rule.verdict for rule in RULES if rule.matches(call, status, message, exhausted=exhausted))
    # No status that HTTP knows, or none at all: whoever answered was not GitHub.
    return next(matching, Verdict.OUTAGE)


def error_of(call: str, status: int, headers: Mapping[str, str], *, age_seconds: float, message: str = "") -> WorkError:
    """The error for an answer without success. Its text is the call and the status, and nothing of the answer.

    Args:
        call: method and path template.
        status: the answer's.
        headers: the answer's.
        age_seconds: how old the event is.
        message: GitHub's ``message``.
    """
    verdict = verdict_of(call, status, headers, message)
    text = f"{call}: {status}"
    if verdict is Verdict.LIMITED:
        return GitHubRateLimited(text)
    if verdict is Verdict.OUTAGE:
        return GitHubUnavailable(text)
    if verdict is Verdict.LAG and age_seconds < LAG_SECONDS:
        return GitHubLagging(text, call)
    return GitHubRefused(text, status)


@dataclass(frozen=True)
class Seen:
    """A pull request as GitHub answered it."""

    head_sha: str
    base_ref: str
    updated_at: datetime | None
    changed_files: int
    is_closed: bool = False
    is_fork: bool = True
    """Whether the head is another repository's, or one's that is gone. Where that is not known it is taken for one."""


Age = Literal["current", "older", "newer", "unsure"]


def age_of(seen: Seen, job: Job) -> Age:
    """Whether an answer is as old as the job's event, older (a lag), or newer (there was another push).

    ``before`` tells it where the event was a push; otherwise the two times of the last change do. ``unsure``: neither
    is known, as in jobs that an older version of the webhook made, and the head is another one.
    """
    pull, before = job.pull_request, job.before
    is_older = seen.updated_at is not None and pull.updated_at is not None and seen.updated_at < pull.updated_at
    if seen.head_sha == pull.head.sha:
        old_base = job.changes.base.ref.from_ if job.changes and job.changes.base and job.changes.base.ref else None
        return "older" if old_base is not None and seen.base_ref == old_base != pull.base.ref else "current"
    if is_older or seen.head_sha == before:
        return "older"
    return "newer" if before or (seen.updated_at and pull.updated_at) else "unsure"


def is_pushed_back(seen: Seen, job: Job) -> bool:
    """Whether the head is the one of before the push because somebody pushed it again. Asked when a lag is over."""
    times = seen.updated_at, job.pull_request.updated_at
    return times[0] is not None and times[1] is not None and times[0] > times[1]


def message_of(data: Any) -> str:
    """GitHub's message in an answer's body; empty when there is none."""
    message = data.get("message") if isinstance(data, dict) else None
    return message if isinstance(message, str) else ""
