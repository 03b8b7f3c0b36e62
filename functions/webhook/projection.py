"""From a payload to a job: a pure function that keeps the few fields in use and cuts long texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from msgspec import Meta, ValidationError, convert, field

from shared.contract import Contract, InvalidContract, read_object
from shared.external_id import ExternalId
from shared.job import (
    RERUN,
    BaseChange,
    Before,
    Changes,
    CheckSuite,
    Commit,
    Installation,
    Job,
    Moment,
    PullRequest,
    Repository,
    RequestedAction,
    Sender,
    Sha,
)
from webhook.delivery import Rejected

if TYPE_CHECKING:
    from collections.abc import Collection

TEXT_MAX_BYTES = 256

NAME_PREFIX = "pullback/"
"""Before the action, in the name of a check run."""

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


class _Event(Contract, frozen=True, kw_only=True):
    """What a job needs of any payload, its texts uncut. GitHub's names, so that an error names GitHub's field."""

    repository: Repository
    installation: Installation | None = None
    sender: _Sender


class _Payload(_Event, frozen=True, kw_only=True):
    """What a job needs of a ``pull_request`` event."""

    pull_request: _PullRequest
    before: Any = None
    changes: Any = None


class _App(Contract, frozen=True, kw_only=True):
    id: int


class _Branch(Contract, frozen=True, kw_only=True):
    head_branch: str | None = None


class _CheckRun(Contract, frozen=True, kw_only=True):
    name: str
    head_sha: Sha
    external_id: str | None = None
    app: _App
    check_suite: _Branch | None = None


class _CheckRunPayload(_Event, frozen=True, kw_only=True):
    """What a job needs of ``check_run.rerequested`` and ``check_run.requested_action``."""

    check_run: _CheckRun
    requested_action: RequestedAction | None = None


class _CheckSuite(Contract, frozen=True, kw_only=True):
    id: Annotated[int, Meta(ge=1)]
    head_sha: Sha
    app: _App
    head_branch: str | None = None


class _CheckSuitePayload(_Event, frozen=True, kw_only=True):
    """What a job needs of ``check_suite.rerequested``."""

    check_suite: _CheckSuite


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


class NotOurs(Exception):
    """The event is genuine and about somebody else's check run; the text is the reason."""


def project_check_run(payload: dict[str, Any], *, app: str | None, delivery_id: str, actions: Collection[str]) -> Job:
    """The job of ``check_run.rerequested`` or ``requested_action``: the run's own work, done again.

    Args:
        payload: GitHub's payload, decoded.
        app: the App to which the delivery was sent.
        delivery_id: the delivery's id.
        actions: the actions that there are.

    Raises:
        Rejected: 400, naming the field that is missing or of the wrong type.
        NotOurs: see there.
    """
    fields = _parsed(payload, _CheckRunPayload)
    run = fields.check_run
    _require_ours(run.app, app)
    action = run.name.removeprefix(NAME_PREFIX)
    if not run.name.startswith(NAME_PREFIX) or action not in actions:
        raise NotOurs("there is no action for a check run of this name")
    try:
        external = ExternalId.read_json(run.external_id or "")
    except InvalidContract:
        raise NotOurs("the check run does not say which work it is of") from None
    branch = run.check_suite.head_branch if run.check_suite else None
    return Job(
        action=action,
        delivery_id=delivery_id,
        repository=fields.repository,
        pull_request=PullRequest(
            number=external.pull_request,
            title="",
            # GitHub names no branch of a fork.
            head=Commit(ref=cut(branch or ""), sha=run.head_sha),
            base=external.base,
        ),
        installation=fields.installation,
        rerun=delivery_id,
        requested_action=fields.requested_action,
        sender=Sender(login=cut(fields.sender.login)),
    )


def project_check_suite(payload: dict[str, Any], *, app: str | None, delivery_id: str) -> Job:
    """The job of ``check_suite.rerequested``: asks GitHub to request each run of it. Raises as for a check run."""
    fields = _parsed(payload, _CheckSuitePayload)
    suite = fields.check_suite
    _require_ours(suite.app, app)
    head = Commit(ref=cut(suite.head_branch or ""), sha=suite.head_sha)
    return Job(
        action=RERUN,
        delivery_id=delivery_id,
        repository=fields.repository,
        pull_request=PullRequest(number=0, title="", head=head, base=head),
        installation=fields.installation,
        check_suite=CheckSuite(id=suite.id),
        sender=Sender(login=cut(fields.sender.login)),
    )


def _require_ours(owner: _App, app: str | None) -> None:
    # GitHub asks the App alone that made the run; a repository's own hook hears of everybody's.
    if app != str(owner.id):
        raise NotOurs("the check run is another App's")


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
