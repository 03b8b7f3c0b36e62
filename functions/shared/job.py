"""The contract between the hops: Job, TaskEvent and Outcome.

A ``Job`` is the execution's input, a ``TaskEvent`` is what the functions behind the state machine receive, an
``Outcome`` is the execution's output. The webhook builds jobs, the state machine adds the task token, the processor
answers with an outcome; nothing else defines a field.

Names and nesting of a job are GitHub's own (``pull_request.head.sha``), reduced to the fields that are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

if TYPE_CHECKING:
    from pydantic import ValidationError

JOB_MAX_BYTES = 8 * 1024
"""Upper bound of a job as compact JSON in UTF-8, for any legal GitHub payload."""

# `owner/name` as GitHub allows it; neither part may consist of dots only, because both become part of object keys
# and of GitHub API paths.
FULL_NAME_PATTERN = r"^\.*[A-Za-z0-9_-][A-Za-z0-9_.-]*/\.*[A-Za-z0-9_-][A-Za-z0-9_.-]*$"
# SHA-1, or SHA-256 for repositories with the newer object format.
SHA_PATTERN = r"^(?:[0-9a-f]{40}|[0-9a-f]{64})$"
# The delivery id becomes the execution's name: at most 80 characters of [0-9A-Za-z_-] (CloudWatch cannot show
# others), less the suffix of a restarted attempt.
DELIVERY_ID_PATTERN = r"^[0-9A-Za-z_-]{1,64}$"
ACTION_PATTERN = r"^[a-z][a-z0-9_]{0,63}$"

Sha = Annotated[str, StringConstraints(pattern=SHA_PATTERN)]
DeliveryId = Annotated[str, StringConstraints(pattern=DELIVERY_ID_PATTERN)]
ActionName = Annotated[str, StringConstraints(pattern=ACTION_PATTERN)]
Text = Annotated[str, StringConstraints(max_length=256)]
"""Free text of the pull request's author, already cut by the webhook. Attacker text: data, never markup."""

Conclusion = Literal["success", "failure", "neutral", "cancelled"]


class Contract(BaseModel):
    """Base of all models: immutable, tolerant of fields it does not know, silent about values in errors.

    ``hide_input_in_errors`` matters: pydantic's errors quote their input, and a task event's input holds the token.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Repository(Contract):
    full_name: Annotated[str, StringConstraints(pattern=FULL_NAME_PATTERN, max_length=201)]


class Commit(Contract):
    """One end of a pull request: its head or its base."""

    ref: Text
    sha: Sha


class PullRequest(Contract):
    number: Annotated[int, Field(ge=1, strict=True)]
    title: Text
    head: Commit
    base: Commit
    updated_at: AwareDatetime | None = None
    """GitHub's time of the last change: an answer of its API with an earlier one is older than the event."""


class Before(Contract):
    """What a value was before the event: GitHub's ``{"from": ...}``."""

    model_config = ConfigDict(serialize_by_alias=True)

    from_: Text = Field(alias="from")


class BaseChange(Contract):
    ref: Before | None = None
    sha: Before | None = None


class Changes(Contract):
    """What an edit changed; only the base matters."""

    base: BaseChange | None = None


class Installation(Contract):
    """The GitHub App installation that sent the delivery; absent for a plain repository webhook."""

    id: Annotated[int, Field(ge=1, strict=True)]


class Sender(Contract):
    login: Text


class Job(Contract):
    """One unit of work: the input of one execution. A pure function of the delivery."""

    action: ActionName
    delivery_id: DeliveryId
    repository: Repository
    pull_request: PullRequest
    before: Sha | None = None
    """The head before the push, where the event was one: an answer of GitHub's API with this head is a lag."""
    changes: Changes | None = None
    installation: Installation | None = None
    sender: Sender

    def to_json(self) -> str:
        """Compact JSON, the same bytes for the same job."""
        return self.model_dump_json(exclude_none=True)

    def log_keys(self) -> dict[str, str | int]:
        """The correlation keys that every log line of every hop carries."""
        return {
            "delivery_id": self.delivery_id,
            "repository": self.repository.full_name,
            "pull_request": self.pull_request.number,
            "head_sha": self.pull_request.head.sha,
            "action": self.action,
        }


class TaskEvent(Job):
    """A job with its task token: the event of the task function and of the processor.

    The token is absent when somebody invokes the processor directly. It is a bearer key: whoever holds it can end the
    execution, so it is excluded from ``repr``.
    """

    taskToken: Annotated[str, StringConstraints(min_length=1, max_length=2048)] | None = Field(  # noqa: N815 - AWS's name
        default=None, repr=False
    )
    execution: Annotated[str, StringConstraints(max_length=80)] | None = None
    entered_at: AwareDatetime | None = None
    """When the execution came to its state: its first attempt has been under way since."""
    retry_count: Annotated[int, Field(ge=0)] | None = None
    """Attempts before this one, in the same execution."""


class Outcome(Contract):
    """The execution's output.

    A pull request that has problems is a *successful* task with conclusion ``failure``; a task fails only when the
    work could not be done.
    """

    action: ActionName
    delivery_id: DeliveryId
    conclusion: Conclusion
    summary: Annotated[str, StringConstraints(max_length=1024)]
    details_url: Annotated[str, StringConstraints(max_length=2048)] | None = None
    artifacts: dict[str, Any] = Field(default_factory=dict)
    """What the action produced, small: object keys, digests, counts. At most 64 KiB as JSON (see processor)."""
    duration_ms: Annotated[int, Field(ge=0)]


def invalid_fields(error: ValidationError) -> str:
    """The fields that do not satisfy a model, by name: never their values."""
    return ", ".join(sorted({".".join(str(part) for part in problem["loc"]) for problem in error.errors()}))
