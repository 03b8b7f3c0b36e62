"""The control endpoints below ``/_local/``: what tests and people ask of the server, not of GitHub.

No token is asked for, since the server listens on the loopback address only. Of a browser's pages only those of this
server get through: the others are told apart by their origin.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pygit2
from flask import Blueprint, Response, jsonify, redirect, request
from werkzeug.exceptions import BadRequest, Forbidden, NotFound

from local.github import sample
from local.github.bodies import hook_delivery_item
from local.github.deliveries import TIMEOUT_SECONDS
from local.github.faults import Fault
from local.github.hooks import HOOK_NAMES, Hook, HookNotSetError
from local.github.model import GONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.typing import ResponseReturnValue

    from local.github.hooks import Delivery, HookName
    from local.github.model import FileContent
    from local.github.presses import Presses
    from local.github.state import State


FULL_NAME = r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+"


def control(state: State, presses: Presses) -> Blueprint:  # noqa: C901 - one short function an endpoint
    """The endpoints, all over one state. ``presses``: the buttons of check runs."""
    blueprint = Blueprint("control", __name__, url_prefix="/_local")

    @blueprint.get("/statuses")
    def statuses() -> Response:
        return jsonify([asdict(one) for one in state.shown()])

    @blueprint.post("/pull_requests/<int:number>/fork")
    def fork(number: int) -> Response:
        return marked(number, fork=GONE if request.get_json().get("gone") else sample.FORK)

    @blueprint.post("/pull_requests/<int:number>/close")
    def close(number: int) -> Response:
        return marked(number, is_closed=True)

    @blueprint.post("/pull_requests/<int:number>/draft")
    def draft(number: int) -> Response:
        return marked(number, is_draft=request.get_json().get("draft") is True)

    def marked(number: int, **fields: Any) -> Response:
        try:
            return jsonify(asdict(state.repository.mark(number, **fields)))
        except KeyError as error:
            raise NotFound from error

    def pressed(press: Callable[[], Delivery]) -> ResponseReturnValue:
        try:
            delivery = press()
        except HookNotSetError:
            return Response("The App's hook leads nowhere here.\n", content_type="text/plain"), 409
        except LookupError as error:
            raise NotFound from error
        if "page" in request.form:
            # A person pressed it, and goes back to where the button is.
            number = request.form.get("page", type=int)
            return redirect(f"/{state.repository.full_name}/pull/{number}", 303)
        return jsonify({"guid": delivery.guid, "status_code": delivery.status_code}), 201

    @blueprint.before_request
    def refuse_other_pages() -> None:
        # What another page of the browser sends says where that is; programs say nothing.
        origin = request.headers.get("Origin")
        here = request.host.rpartition(":")[2]
        if origin is not None and origin not in {f"http://{name}:{here}" for name in ("127.0.0.1", "localhost")}:
            raise Forbidden

    @blueprint.post("/check_runs/<int:number>/events/<action>")
    def tell(number: int, action: str) -> ResponseReturnValue:
        return pressed(lambda: presses.tell(state.checks.get(number), action))

    def login() -> str:
        return _text((request.get_json(silent=True) or {}).get("login", sample.SENDER))

    @blueprint.post("/check_runs/<int:number>/rerun")
    def rerun(number: int) -> ResponseReturnValue:
        return pressed(lambda: presses.rerun(state.checks.get(number), login=login()))

    @blueprint.post("/check_runs/<int:number>/buttons/<identifier>")
    def button(number: int, identifier: str) -> ResponseReturnValue:
        return pressed(lambda: presses.button(state.checks.get(number), identifier, login=login()))

    @blueprint.post("/commits/<sha>/rerun")
    def rerun_all(sha: str) -> ResponseReturnValue:
        return pressed(lambda: presses.rerun_all(sha, login=login()))

    @blueprint.put("/permissions/<user>")
    def permit(user: str) -> Response:
        state.permissions[user] = _text(request.get_json().get("permission"))
        return jsonify({})

    @blueprint.get("/check_runs")
    def check_runs() -> Response:
        return jsonify([asdict(run) for run in reversed(state.checks.of())])

    @blueprint.get("/requests")
    def requests() -> Response:
        return jsonify([asdict(answered) for answered in state.requests()])

    @blueprint.get("/pull_requests/<int:number>")
    def pull_request(number: int) -> Response:
        try:
            return jsonify(asdict(state.repository.pull_requests()[number]))
        except KeyError as error:
            raise NotFound from error

    @blueprint.post("/pull_requests")
    def open_pull_request() -> tuple[Response, int]:
        fields = request.get_json()
        opened = state.repository.open_pull_request(_files(fields.get("files")), title=fields.get("title", "A change"))
        return jsonify(asdict(opened)), 201

    @blueprint.post("/pull_requests/<int:number>/base")
    def change_base(number: int) -> Response:
        try:
            before = state.repository.change_base(number, _branch(request.get_json().get("ref")))
        except KeyError as error:
            raise NotFound from error
        return jsonify(asdict(before))

    @blueprint.post("/rename")
    def rename() -> Response:
        full_name = _text(request.get_json().get("full_name"))
        if not re.fullmatch(FULL_NAME, full_name):
            raise BadRequest
        state.repository.rename(full_name)
        return jsonify({})

    @blueprint.post("/revoke")
    def revoke() -> Response:
        token = (request.get_json(silent=True) or {}).get("token")
        return jsonify({"token": state.revoke(None if token is None else _text(token))})

    @blueprint.post("/push")
    def push() -> tuple[Response, int]:
        fields = request.get_json(silent=True) or {}
        number = fields.get("number", sample.NUMBER)
        try:
            sha = state.repository.push(number, _files(fields["files"]) if "files" in fields else None)
        except KeyError as error:
            raise NotFound from error
        return jsonify({"sha": sha}), 201

    @blueprint.post("/faults")
    def add_fault() -> tuple[Response, int]:
        fields = request.get_json()
        make = FAULTS.get(fields.pop("kind", None))
        if make is None:
            raise BadRequest
        try:
            state.faults.add(make(**fields))
        except (TypeError, re.error) as error:
            raise BadRequest from error
        return jsonify({}), 201

    @blueprint.get("/faults")
    def faults() -> Response:
        return jsonify([{"method": one.method, "path": one.path, "met": one.met} for one in state.faults.list()])

    @blueprint.delete("/faults")
    def clear_faults() -> tuple[Response, int]:
        state.faults.clear()
        return jsonify({}), 200

    @blueprint.put("/hooks/<name>")
    def set_hook(name: str) -> Response:
        fields = request.get_json()
        state.hooks.set(
            _hook_name(name),
            Hook(
                _text(fields.get("url")), _text(fields.get("secret")), _seconds(fields.get("timeout", TIMEOUT_SECONDS))
            ),
        )
        return jsonify({})

    @blueprint.post("/hooks/<name>/deliveries")
    def deliver(name: str) -> tuple[Response, int]:
        fields = request.get_json()
        # A text is sent as it is; GitHub's own way to write a payload is compact JSON.
        body = fields.get("body")
        if body is None:
            body = json.dumps(fields.get("payload", {}), ensure_ascii=False, separators=(",", ":"))
        guid = fields.get("guid")
        try:
            delivery = state.hooks.deliver(
                _hook_name(name),
                _text(fields.get("event", "pull_request")),
                _text(body).encode(),
                guid=None if guid is None else _text(guid),
                ago=_seconds(fields.get("ago", 0)),
            )
        except HookNotSetError as error:
            raise NotFound from error
        return jsonify(hook_delivery_item(delivery)), 201

    @blueprint.get("/hooks/<name>/deliveries")
    def deliveries(name: str) -> Response:
        # Asked for first: what ends in between is then listed.
        pending = state.hooks.pending()
        return jsonify(
            {"pending": pending, "deliveries": list(map(hook_delivery_item, state.hooks.list(_hook_name(name))))}
        )

    return blueprint


# The shorthands of POST /_local/faults: {"kind": "rate_limit", "seconds": 60, "times": 1}.
FAULTS: dict[str | None, Callable[..., Fault]] = {
    None: Fault,
    "rate_limit": Fault.rate_limit,
    "secondary_rate_limit": Fault.secondary_rate_limit,
    "lag": Fault.lagging,
}


def _hook_name(name: str) -> HookName:
    for known in HOOK_NAMES:
        if known == name:
            return known
    raise NotFound


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise BadRequest
    return value


def _branch(value: Any) -> str:
    name = _text(value)
    if not pygit2.reference_is_valid_name(f"refs/heads/{name}"):
        raise BadRequest
    return name


def _seconds(value: Any) -> float:
    if not isinstance(value, int | float) or value < 0:
        raise BadRequest
    return float(value)


def _files(texts: Any) -> dict[str, FileContent]:
    if not isinstance(texts, dict) or not all(isinstance(text, str | None) for text in texts.values()):
        raise BadRequest
    return {path: None if text is None else text.encode() for path, text in texts.items()}
