"""From a payload to a job: a pure function that keeps the few fields in use and cuts long texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import pydantic_core
from aws_lambda_powertools.utilities.parser import parse
from pydantic import AwareDatetime, BeforeValidator, Field, ValidationError, WrapValidator, create_model

from shared.job import (
    BaseChange,
    Before,
    Changes,
    Commit,
    Contract,
    Installation,
    Job,
    PullRequest,
    Repository,
    Sender,
    Sha,
    Text,
)
from webhook.delivery import Rejected

if TYPE_CHECKING:
    from pydantic import ValidatorFunctionWrapHandler

TEXT_MAX_BYTES = 256


def cut(text: Any) -> Any:
    """The text, at most TEXT_MAX_BYTES long in UTF-8. Bytes, because emojis would make a job four times as large."""
    if not isinstance(text, str):
        return text
    raw = text.encode("utf-8", "replace")
    return text if len(raw) <= TEXT_MAX_BYTES else raw[:TEXT_MAX_BYTES].decode("utf-8", "ignore")


def usable(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """The value, or None where it is none that can be used: what only helps must not cost a delivery."""
    try:
        # A number would be taken for a time, too.
        return validate(value) if isinstance(value, str | dict) else None
    except ValidationError:
        return None


CutText = Annotated[Text, BeforeValidator(cut)]


class _Commit(Commit):
    ref: CutText


class _PullRequest(PullRequest):
    title: CutText
    head: _Commit
    base: _Commit
    updated_at: Annotated[AwareDatetime | None, WrapValidator(usable)] = None


class _Before(Before):
    from_: CutText = Field(alias="from")


class _BaseChange(BaseChange):
    ref: _Before | None = None
    sha: _Before | None = None


class _Changes(Changes):
    base: _BaseChange | None = None


class _Sender(Sender):
    login: CutText


class _Payload(Contract):
    """What a job needs of a payload. GitHub's names, so that an error names GitHub's field."""

    repository: Repository
    pull_request: _PullRequest
    before: Annotated[Sha | None, WrapValidator(usable)] = None
    changes: Annotated[_Changes | None, WrapValidator(usable)] = None
    installation: Installation | None = None
    sender: _Sender


_ActionOnly = create_model("_ActionOnly", __base__=Contract, action=(str, ...))


def decode(body: bytes) -> dict[str, Any]:
    """The payload as an object.

    Raises:
        Rejected: 400, the body is not JSON or not an object.
    """
    try:
        payload = pydantic_core.from_json(body, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        raise Rejected(400, "invalid", "the body is not JSON", "body") from None
    if not isinstance(payload, dict):
        raise Rejected(400, "invalid", "the body is not a JSON object", "body")
    return payload


def payload_actions(payload: dict[str, Any]) -> tuple[str, ...]:
    """The words for the payload's ``action`` that an action may declare, the most special one first.

    GitHub says ``edited`` for a new title as for a new base; the latter is ``edited.base`` besides.

    Raises:
        Rejected: 400, it is missing or no text.
    """
    action = str(_parse(payload, _ActionOnly).action)
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
    fields: _Payload = _parse(payload, _Payload)
    if fields.changes is not None and fields.changes.base is None:
        # What else an edit changed is nobody's business here.
        fields = fields.model_copy(update={"changes": None})
    # Through plain values: the narrower models above exist for the cutting only, and a job has the contract's own.
    return Job.model_validate({"action": action, "delivery_id": delivery_id, **fields.model_dump()})


def _parse(payload: dict[str, Any], model: Any) -> Any:
    try:
        return parse(event=payload, model=model)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Rejected(400, "invalid", f"the field is not valid: {first['type']}", field) from None
