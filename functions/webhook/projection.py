"""From a payload to a job: a pure function that keeps the few fields in use and cuts long texts."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from msgspec import Meta, ValidationError, convert, field

from shared.contract import Contract, InvalidContract, read_object
from shared.job import (
    BaseChange,
    Before,
    Changes,
    Commit,
    Installation,
    Job,
    Moment,
    PullRequest,
    Repository,
    Sender,
    Sha,
)
from webhook.delivery import Rejected

TEXT_MAX_BYTES = 256

Model = TypeVar("Model", bound=Contract)


def cut(text: str) -> str:
    """The text, at most TEXT_MAX_BYTES long in UTF-8. Bytes, because emojis would make a job four times as large."""
    raw = text.encode("utf-8", "replace")
    return text if len(raw) <= TEXT_MAX_BYTES else raw[:TEXT_MAX_BYTES].decode("utf-8", "ignore")


def usable(value: object, kind: Any) -> Any:
    """The value, or None where it is none that can be used: what only helps must not cost a delivery."""
    try:
        return convert(value, kind)
    except ValidationError:
        return None


class _Commit(Contract, frozen=True, kw_only=True):
    ref: str
    sha: Sha


class _PullRequest(Contract, frozen=True, kw_only=True):
    number: Annotated[int, Meta(ge=1)]
    title: str
    head: _Commit
    base: _Commit
    updated_at: Any = None


class _Before(Contract, frozen=True, kw_only=True):
    from_: str = field(name="from")


class _BaseChange(Contract, frozen=True, kw_only=True):
    ref: _Before | None = None
    sha: _Before | None = None


class _Changes(Contract, frozen=True, kw_only=True):
    base: _BaseChange | None = None


class _Sender(Contract, frozen=True, kw_only=True):
    login: str


class _Payload(Contract, frozen=True, kw_only=True):
    """What a job needs of a payload, its texts uncut. GitHub's names, so that an error names GitHub's field."""

    repository: Repository
    pull_request: _PullRequest
    before: Any = None
    changes: Any = None
    installation: Installation | None = None
    sender: _Sender


class _ActionOnly(Contract, frozen=True, kw_only=True):
    action: str


def decode(body: bytes) -> dict[str, Any]:
    """The payload as an object.

    Raises:
        Rejected: 400, the body is not JSON or not an object.
    """
    try:
        return read_object(body)
    except InvalidContract as error:
        raise Rejected(400, "invalid", f"the body is {error.problem}", "body") from None


def payload_actions(payload: dict[str, Any]) -> tuple[str, ...]:
    """The words for the payload's ``action`` that an action may declare, the most special one first.

    GitHub says ``edited`` for a new title as for a new base; the latter is ``edited.base`` besides.

    Raises:
        Rejected: 400, it is missing or no text.
    """
    action = _parsed(payload, _ActionOnly).action
    changes = payload.get("changes")
    if action == "edited" and isinstance(changes, dict) and changes.get("base"):
        return (f"{action}.base", action)
    return (action,)


def project(payload: dict[str, Any], *, action: str, delivery_id: str) -> Job:
    """The job of a delivery. The same delivery gives the same job, byte for byte.

    Args:
        payload: GitHub's payload, decoded.
        action: the action to run.
        delivery_id: the delivery's id.

    Raises:
        Rejected: 400, naming the field that is missing or of the wrong type.
    """
    fields = _parsed(payload, _Payload)
    pull = fields.pull_request
    return Job(
        action=action,
        delivery_id=delivery_id,
        repository=fields.repository,
        pull_request=PullRequest(
            number=pull.number,
            title=cut(pull.title),
            head=Commit(ref=cut(pull.head.ref), sha=pull.head.sha),
            base=Commit(ref=cut(pull.base.ref), sha=pull.base.sha),
            updated_at=usable(pull.updated_at, Moment),
        ),
        before=usable(fields.before, Sha),
        changes=_base_change(usable(fields.changes, _Changes)),
        installation=fields.installation,
        sender=Sender(login=cut(fields.sender.login)),
    )


def _base_change(changes: _Changes | None) -> Changes | None:
    """What else an edit changed is nobody's business here."""
    if changes is None or changes.base is None:
        return None
    ref, sha = (None if one is None else Before(from_=cut(one.from_)) for one in (changes.base.ref, changes.base.sha))
    return Changes(base=BaseChange(ref=ref, sha=sha))


def _parsed(payload: dict[str, Any], model: type[Model]) -> Model:
    try:
        return model.read(payload)
    except InvalidContract as error:
        raise Rejected(400, "invalid", f"the field is not valid: {error.problem}", error.field) from None
