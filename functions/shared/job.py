"""The contract between the hops: Job, TaskEvent and Outcome.

A ``Job`` is the execution's input, a ``TaskEvent`` is what the functions behind the state machine receive, an
``Outcome`` is the execution's output. The webhook builds jobs, the state machine adds the task token, the processor
answers with an outcome; nothing else defines a field.

Names and nesting of a job are GitHub's own (``pull_request.head.sha``), reduced to the fields that are used.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from shared.contract import Contract

JOB_MAX_BYTES = 8 * 1024
"""Upper bound of a job as compact JSON in UTF-8, for any legal GitHub payload."""

# `owner/name` as GitHub allows it; neither part may consist of dots only, because both become part of object keys
# and of GitHub API paths.
FULL_NAME_PATTERN = r"\A\.*[A-Za-z0-9_-][A-Za-z0-9_.-]*/\.*[A-Za-z0-9_-][A-Za-z0-9_.-]*\Z"
# SHA-1, or SHA-256 for repositories with the newer object format.
SHA_PATTERN = r"\A(?:[0-9a-f]{40}|[0-9a-f]{64})\Z"
# The delivery id becomes the execution's name: at most 80 characters of [0-9A-Za-z_-] (CloudWatch cannot show
# others), less the suffix of a restarted attempt.
DELIVERY_ID_PATTERN = r"\A[0-9A-Za-z_-]{1,64}\Z"
ACTION_PATTERN = r"\A[a-z][a-z0-9_]{0,63}\Z"

Sha = Annotated[str, Meta(pattern=SHA_PATTERN)]
DeliveryId = Annotated[str, Meta(pattern=DELIVERY_ID_PATTERN)]
ActionName = Annotated[str, Meta(pattern=ACTION_PATTERN)]
Text = Annotated[str, Meta(max_length=256)]
"""Free text of the pull request's author, already cut by the webhook. Attacker text: data, never markup."""

RERUN = "rerun"
"""The action of a job that asks GitHub to request all check runs of a suite again. No module has this name."""

Moment = Annotated[datetime, Meta(tz=True)]

Conclusion = Literal["success", "failure", "neutral", "cancelled"]


class Repository(Contract, frozen=True, kw_only=True, omit_defaults=True):
    full_name: Annotated[str, Meta(pattern=FULL_NAME_PATTERN, max_length=201)]


class Commit(Contract, frozen=True, kw_only=True, omit_defaults=True):
    """One end of a pull request: its head or its base."""

    ref: Text
    sha: Sha


class PullRequest(Contract, frozen=True, kw_only=True, omit_defaults=True):
    number: Annotated[int, Meta(ge=0)]
    """0 in a job about a check suite: GitHub does not name the pull request where it is one from a fork."""
    title: Text
    head: Commit
    base: Commit
    updated_at: Moment | None = None
    """GitHub's time of the last change: an answer of its API with an earlier one is older than the event."""


class Before(Contract, frozen=True, kw_only=True, omit_defaults=True):
    """What a value was before the event: GitHub's ``{"from": ...}``."""

    from_: Text = field(name="from")


class BaseChange(Contract, frozen=True, kw_only=True, omit_defaults=True):
    ref: Before | None = None
    sha: Before | None = None


class Changes(Contract, frozen=True, kw_only=True, omit_defaults=True):
    """What an edit changed; only the base matters."""

    base: BaseChange | None = None


class Installation(Contract, frozen=True, kw_only=True, omit_defaults=True):
    """The GitHub App installation that sent the delivery; absent for a plain repository webhook."""

    id: Annotated[int, Meta(ge=1)]


class RequestedAction(Contract, frozen=True, kw_only=True, omit_defaults=True):
    identifier: Text


class CheckSuite(Contract, frozen=True, kw_only=True, omit_defaults=True):
    id: Annotated[int, Meta(ge=1)]


class Sender(Contract, frozen=True, kw_only=True, omit_defaults=True):
    login: Text


class Job(Contract, frozen=True, kw_only=True, omit_defaults=True):
    """One unit of work: the input of one execution. A pure function of the delivery."""

    action: ActionName
    delivery_id: DeliveryId
    repository: Repository
    pull_request: PullRequest
    before: Sha | None = None
    """The head before the push, where the event was one: an answer of GitHub's API with this head is a lag."""
    changes: Changes | None = None
    installation: Installation | None = None
    rerun: DeliveryId | None = None
    """The delivery with which somebody asked at GitHub to do the work again: it has a key of its own."""
    requested_action: RequestedAction | None = None
    """The button below a check run that somebody pressed; ``sender`` is who."""
    check_suite: CheckSuite | None = None
    """The suite of which all runs were requested again; the action is then RERUN."""
    sender: Sender

    def log_keys(self) -> dict[str, str | int]:
        """The correlation keys that every log line of every hop carries."""
        return {
            "delivery_id": self.delivery_id,
            "repository": self.repository.full_name,
            "pull_request": self.pull_request.number,
            "head_sha": self.pull_request.head.sha,
            "action": self.action,
        }


class TaskEvent(Job, frozen=True, kw_only=True, omit_defaults=True):
    """A job with its task token: the event of the task function and of the processor.

    The token is absent when somebody invokes the processor directly. It is a bearer key: whoever holds it can end the
    execution, so it is excluded from ``repr``.
    """

    taskToken: Annotated[str, Meta(min_length=1, max_length=2048)] | None = None  # noqa: N815 - AWS's name
    execution: Annotated[str, Meta(max_length=80)] | None = None
    entered_at: Moment | None = None
    """When the execution came to its state: its first attempt has been under way since."""
    retry_count: Annotated[int, Meta(ge=0)] | None = None
    """Attempts before this one, in the same execution."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(delivery_id={self.delivery_id!r}, execution={self.execution!r})"


class Outcome(Contract, frozen=True, kw_only=True):
    """The execution's output.

    A pull request that has problems is a *successful* task with conclusion ``failure``; a task fails only when the
    work could not be done.
    """

    action: ActionName
    delivery_id: DeliveryId
    conclusion: Conclusion
    summary: Annotated[str, Meta(max_length=1024)]
    details_url: Annotated[str, Meta(max_length=2048)] | None = None
    artifacts: dict[str, Any] = field(default_factory=dict)
    """What the action produced, small: object keys, digests, counts. At most 64 KiB as JSON (see processor)."""
    duration_ms: Annotated[int, Meta(ge=0)]
