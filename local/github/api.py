"""The part of GitHub's REST API that Pullback uses, and what is the same for every answer of it."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any

import jwt
from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import HTTPException

from local.github import sample
from local.github.bodies import REPOSITORY_ID, hook_delivery, hook_delivery_item, suite_id
from local.github.checks import InvalidCheckError, latest
from local.github.control import control
from local.github.deliveries import HOOK_ID
from local.github.hooks import APP_ID, ORGANISATION_HOOK_ID, HookNotSetError, UnknownDeliveryError
from local.github.model import timestamp
from local.github.page import page as page_for_people
from local.github.paging import InvalidCursorError, cursor_page_of, page_of
from local.github.presses import Presses
from local.github.repository import UnknownRefError
from local.github.state import Request, State, TooManyStatusesError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.github.bodies import Bodies
    from local.github.checks import CheckRun
    from local.github.faults import Fault
    from local.github.hooks import HookName
    from local.github.model import Body, PullRequest

DOCS = "https://docs.github.com/rest"
DOCS_OF_REDIRECTS = f"{DOCS}/guides/best-practices-for-using-the-rest-api#follow-redirects"
_BY_NAME = "/repos/<owner>/<repo>"
_BY_ID = "/repositories/<int:repository_id>"
FILES_MAX = 3000
"""Files that "list pull requests files" lists at most, however many there are."""
DIFF_MAX_FILES = 300
DIFF_MAX_LINES = 20_000
DESCRIPTION_MAX = 140
STATES = ("error", "failure", "pending", "success")
APP_TOKEN_MAX_SECONDS = 600
CHUNK = 64 * 1024

# Answered without a token: public on GitHub, or opened by a ticket in the address.
_NO_TOKEN = {"api.meta", "api.codeload", "api.pull_page"}
# Answered to the App itself, which signs a token of its own.
_APP_TOKEN = {
    "api.access_token",
    "api.get_installation",
    "api.get_organisation_installation",
    "api.list_app_deliveries",
    "api.get_app_delivery",
    "api.redeliver_app_delivery",
}
PERMISSIONS = {
    "checks": "write",
    "contents": "read",
    "metadata": "read",
    "organization_hooks": "write",
    "pull_requests": "read",
    "repository_hooks": "write",
    "statuses": "write",
}


class ApiError(Exception):
    """An answer that says no, with GitHub's words."""

    def __init__(self, status: int, message: str, errors: list[Body] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body: Body = {"message": message, "documentation_url": DOCS, "status": str(status)}
        if errors is not None:
            self.body["errors"] = errors


def create_app(state: State, bodies: Bodies) -> Flask:  # noqa: C901 - the hooks are short
    """The WSGI application."""
    app = Flask(__name__, static_folder=None)
    app.url_map.redirect_defaults = False  # /tarball/main is answered where it is asked for
    presses = Presses(state, bodies, PERMISSIONS)
    app.register_blueprint(_api(state, bodies, presses))
    _serve_by_id(app)
    app.register_blueprint(control(state, presses))

    @app.before_request
    def before() -> Response | None:
        if request.path.startswith("/_local/"):
            return None
        fault = request.environ["local.fault"] = state.faults.take(request.method, request.path)
        if fault and fault.status is not None:
            return _refusal(fault)
        if request.endpoint in _APP_TOKEN:
            _check_app_token()
        elif request.endpoint not in _NO_TOKEN:
            _authenticate(state)
        if fault and fault.lag == "unknown":
            raise _unknown(request.method, request.path)
        return _of_the_repository(state, bodies)

    @app.after_request
    def after(response: Response) -> Response:
        if request.path.startswith("/_local/"):
            return response
        state.record(Request(request.method, request.path, response.status_code))
        rate = state.rate(use=1)
        for name in ("limit", "remaining", "reset", "used"):
            response.headers.setdefault(f"x-ratelimit-{name}", str(rate[name]))
        response.headers.setdefault("x-ratelimit-resource", "core")
        response.headers["x-github-request-id"] = ":".join(secrets.token_hex(2).upper() for _ in range(4))
        response.headers["x-github-media-type"] = "github.v3; format=json"
        if request.method == "GET" and response.status_code == 200 and not response.is_streamed:
            response.add_etag(weak=True)
            response.make_conditional(request)
        fault: Fault | None = request.environ.get("local.fault")
        return _spoil(response, fault) if fault else response

    @app.errorhandler(ApiError)
    def refuse(error: ApiError) -> Response:
        return answer(error.body, error.status)

    @app.errorhandler(HTTPException)
    def refuse_http(error: HTTPException) -> Response:
        status = error.code or 500
        # GitHub answers a method that a path does not have as a path that it does not have.
        return refuse(ApiError(404, "Not Found") if status == 405 else ApiError(status, error.name))

    return app


def _serve_by_id(app: Flask) -> None:
    """What a repository has below its name it has below its id, too, which is where a former name leads."""
    for rule in list(app.url_map.iter_rules()):
        if rule.rule.startswith(_BY_NAME):
            app.add_url_rule(
                rule.rule.replace(_BY_NAME, _BY_ID, 1),
                endpoint=rule.endpoint,
                methods=rule.methods,
                defaults=rule.defaults,
            )


def _of_the_repository(state: State, bodies: Bodies) -> Response | None:
    """Lets a request for the repository pass, and leads one for a former name of it to where it is now.

    Raises:
        ApiError: it is for another one.
    """
    view_args = request.view_args or {}
    if "repository_id" in view_args:
        if view_args.pop("repository_id") != REPOSITORY_ID:
            raise ApiError(404, "Not Found")
    elif "owner" in view_args:
        name = f"{view_args.pop('owner')}/{view_args.pop('repo')}"
        # The address of an archive was given out, and has a ticket of its own.
        is_former = name in state.repository.former_names
        if is_former and request.endpoint != "api.codeload":
            return _moved(bodies, request.full_path.removesuffix("?").partition(name)[2])
        if name != state.repository.full_name and not is_former:
            raise ApiError(404, "Not Found")
    return None


def _moved(bodies: Bodies, rest: str) -> Response:
    """GitHub's answer for a repository that was renamed: 301 to a read, 307 to a write, with one body for both.

    As reported in 18F/charlie#85; "Follow redirects" of docs.github.com tells what clients are to do.
    """
    url = f"{bodies.api}/repositories/{REPOSITORY_ID}{rest}"
    body = {"message": "Moved Permanently", "url": url, "documentation_url": DOCS_OF_REDIRECTS}
    return answer(body, 301 if request.method in {"GET", "HEAD"} else 307, {"Location": url})


def _is_behind() -> bool:
    """Whether this request is answered as before the newest change of its pull request."""
    fault: Fault | None = request.environ.get("local.fault")
    return fault is not None and fault.lag == "older"


def _unknown(method: str, path: str) -> ApiError:
    """What GitHub says of a pull request or commit that it does not know yet."""
    if method == "POST" and path.endswith("/check-runs"):
        return ApiError(422, f"No commit found for SHA: {_json_object().get('head_sha')}")
    if "/contents/" in path:
        return ApiError(404, f"No commit found for the ref {request.args.get('ref', '')}")
    names_commit = re.search(r"/(?:statuses|commits)/([^/]+)$", path)
    if names_commit and (method == "POST" or "/commits/" in path):
        return ApiError(422, f"No commit found for SHA: {names_commit[1]}")
    return ApiError(404, "Not Found")


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON as GitHub writes it: compact, in UTF-8."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(text, status, headers, content_type="application/json; charset=utf-8")


def _api(state: State, bodies: Bodies, presses: Presses) -> Blueprint:  # noqa: C901 - one short function an endpoint
    api = Blueprint("api", __name__)
    repository = state.repository

    def pull_request(number: int) -> PullRequest:
        try:
            return repository.before(number) if _is_behind() else repository.pull_requests()[number]
        except KeyError as error:
            raise ApiError(404, "Not Found") from error

    def sha_of(ref: str) -> str:
        try:
            return repository.commit(ref).sha
        except UnknownRefError as error:
            raise ApiError(404, "Not Found") from error

    def page(path: str, items: list[Any] | tuple[Any, ...]) -> tuple[list[Any], dict[str, str]]:
        return page_of(items, f"{bodies.api}/repos/{repository.full_name}/{path}", request.args)

    @api.get("/meta")
    def meta() -> Response:
        # The ranges that deliveries come from; here they all come from this machine.
        return answer({"verifiable_password_authentication": False, "hooks": ["127.0.0.1/32"], "api": ["127.0.0.1/32"]})

    @api.get("/rate_limit")
    def rate_limit() -> Response:
        rate = state.rate()
        return answer({"resources": {"core": rate, "search": rate}, "rate": rate})

    @api.get("/repos/<owner>/<repo>")
    def get_repository() -> Response:
        return answer(bodies.full_repository(repository.full_name))

    @api.get("/repos/<owner>/<repo>/pulls/<int:number>")
    def get_pull_request(number: int) -> Response:
        pull = pull_request(number)
        files = repository.changed_files(pull.base_sha, pull.head_sha)
        if "diff" in request.headers.get("accept", ""):
            text = repository.diff(pull.base_sha, pull.head_sha)
            if len(files) > DIFF_MAX_FILES:
                raise ApiError(406, f"Sorry, the diff exceeded the maximum number of files ({DIFF_MAX_FILES}).")
            if text.count(b"\n") > DIFF_MAX_LINES:
                raise ApiError(406, f"Sorry, the diff exceeded the maximum number of lines ({DIFF_MAX_LINES})")
            return Response(text, content_type="application/vnd.github.v3.diff; charset=utf-8")
        commits = repository.commit_count(pull.base_sha, pull.head_sha)
        return answer(bodies.pull_request(pull, files, commits))

    @api.get("/repos/<owner>/<repo>/pulls/<int:number>/files")
    def list_files(number: int) -> Response:
        pull = pull_request(number)
        files, headers = page(
            f"pulls/{number}/files", repository.changed_files(pull.base_sha, pull.head_sha)[:FILES_MAX]
        )
        return answer([bodies.diff_entry(repository.full_name, pull.head_sha, file) for file in files], headers=headers)

    @api.get("/repos/<owner>/<repo>/commits/<path:ref>")
    def get_commit(ref: str) -> Response:
        try:
            commit = repository.commit(ref)
        except UnknownRefError as error:
            raise ApiError(422, f"No commit found for SHA: {ref}") from error
        files = repository.changed_files(commit.parents[0], commit.sha) if commit.parents else ()
        return answer(bodies.commit(repository.full_name, commit, files))

    @api.get("/repos/<owner>/<repo>/commits/<path:ref>/status")
    def get_combined_status(ref: str) -> Response:
        sha = sha_of(ref)
        latest = {status.context: status for status in state.statuses(sha)}
        statuses, headers = page(f"commits/{ref}/status", list(latest.values()))
        body = bodies.combined_status(repository.full_name, sha, list(latest.values()))
        body["statuses"] = [bodies.simple_status(repository.full_name, status) for status in statuses]
        return answer(body, headers=headers)

    @api.get("/repos/<owner>/<repo>/commits/<path:ref>/statuses")
    @api.get("/repos/<owner>/<repo>/statuses/<path:ref>")  # older, no longer described, and what PyGithub asks
    def list_statuses(ref: str) -> Response:
        newest_first = state.statuses(sha_of(ref))[::-1]
        statuses, headers = page(f"commits/{ref}/statuses", newest_first)
        return answer([bodies.status(repository.full_name, status) for status in statuses], headers=headers)

    @api.post("/repos/<owner>/<repo>/statuses/<sha>")
    def create_status(sha: str) -> Response:
        fields = _json_object()
        _validate_status(fields)
        try:
            known = repository.commit(sha).sha == sha
        except UnknownRefError:
            known = False
        if not known:
            raise ApiError(422, f"No commit found for SHA: {sha}")
        try:
            status = state.add_status(
                sha,
                state=fields["state"],
                context=fields.get("context") or "default",
                description=fields.get("description"),
                target_url=fields.get("target_url"),
            )
        except TooManyStatusesError as error:
            raise _invalid_status(None, "This SHA and context has reached the maximum number of statuses.") from error
        body = bodies.status(repository.full_name, status)
        return answer(body, 201, {"Location": body["url"]})

    @api.get("/repos/<owner>/<repo>/tarball", defaults={"ref": repository.default_branch})
    @api.get("/repos/<owner>/<repo>/tarball/<path:ref>")
    def tarball(ref: str) -> Response:
        sha = sha_of(ref)
        ticket = state.issue_ticket(sha)
        location = f"{bodies.html}/_codeload/{repository.full_name}/legacy.tar.gz/{sha}?token={ticket}"
        return Response(status=302, headers={"Location": location})

    @api.get("/_codeload/<owner>/<repo>/legacy.tar.gz/<sha>")
    def codeload(sha: str) -> Response:
        if not state.opens(request.args.get("token", ""), sha):
            raise ApiError(404, "Not Found")

        def stream() -> Iterator[bytes]:
            with tempfile.TemporaryFile() as file:
                repository.write_archive(sha, file)
                file.seek(0)
                while chunk := file.read(CHUNK):
                    yield chunk

        name = f"{repository.full_name.replace('/', '-')}-{sha[:7]}.tar.gz"
        headers = {"Content-Disposition": f"attachment; filename={name}"}
        return Response(stream(), headers=headers, content_type="application/x-gzip")

    @api.post("/app/installations/<int:installation>/access_tokens")
    def access_token(installation: int) -> Response:
        if installation != sample.INSTALLATION_ID:
            raise ApiError(404, "Not Found")
        token, expires_at = state.issue_token()
        body = {
            "token": token,
            "expires_at": timestamp(expires_at),
            "permissions": PERMISSIONS,
            "repository_selection": "selected",
        }
        return answer(body, 201)

    @api.get("/repos/<owner>/<repo>/installation")
    def get_installation() -> Response:
        return answer(bodies.installation(repository.full_name, APP_ID, PERMISSIONS))

    @api.get("/orgs/<org>/installation")
    def get_organisation_installation(org: str) -> Response:
        if org != repository.full_name.partition("/")[0]:
            raise ApiError(404, "Not Found")
        return answer(bodies.installation(repository.full_name, APP_ID, PERMISSIONS))

    _add_deliveries(api, state, bodies)

    @api.get("/<owner>/<repo>/pull/<int:number>")
    def pull_page(number: int) -> Response:
        html = page_for_people(state, pull_request(number), has_buttons=request.args.get("buttons") != "no")
        # What a page can say of itself its policy says; this one only a header can.
        headers = {"Content-Security-Policy": "frame-ancestors 'none'"}
        return Response(html, headers=headers, content_type="text/html; charset=utf-8")

    _add_checks(api, state, bodies, presses)
    _add_contents(api, state, bodies)
    return api


def _add_checks(api: Blueprint, state: State, bodies: Bodies, presses: Presses) -> None:  # noqa: C901 - one short function an endpoint
    """Check runs. Only an App may write them: docs.github.com/rest/checks/runs."""
    repository = state.repository

    def shown(run: CheckRun) -> Body:
        return bodies.check_run(repository.full_name, run, APP_ID, PERMISSIONS)

    def require_app() -> None:
        if not state.is_installation(request.headers.get("authorization", "").partition(" ")[2].strip()):
            raise ApiError(403, "You must authenticate via a GitHub App.")

    def writable() -> Body:
        require_app()
        return _json_object()

    def found(number: int) -> CheckRun:
        try:
            return state.checks.get(number)
        except KeyError as error:
            raise ApiError(404, "Not Found") from error

    @api.post("/repos/<owner>/<repo>/check-runs")
    def create_check_run() -> Response:
        fields = writable()
        try:
            known = repository.commit(str(fields.get("head_sha"))).sha == fields.get("head_sha")
        except UnknownRefError:
            known = False
        if not known:
            raise ApiError(422, f"No commit found for SHA: {fields.get('head_sha')}")
        try:
            return answer(shown(state.checks.create(fields, timestamp(time.time()))), 201)
        except InvalidCheckError as error:
            raise ApiError(422, f"Invalid request.\n\n{error}") from error

    @api.patch("/repos/<owner>/<repo>/check-runs/<int:number>")
    def update_check_run(number: int) -> Response:
        fields = writable()
        found(number)
        try:
            return answer(shown(state.checks.update(number, fields, timestamp(time.time()))))
        except InvalidCheckError as error:
            raise ApiError(422, f"Invalid request.\n\n{error}") from error

    @api.get("/repos/<owner>/<repo>/check-runs/<int:number>")
    def get_check_run(number: int) -> Response:
        return answer(shown(found(number)))

    @api.get("/repos/<owner>/<repo>/check-runs/<int:number>/annotations")
    def list_annotations(number: int) -> Response:
        run = found(number)
        path = f"check-runs/{number}/annotations"
        items, headers = page_of(run.annotations, f"{bodies.api}/repos/{repository.full_name}/{path}", request.args)
        return answer([bodies.annotation(repository.full_name, run.sha, one) for one in items], headers=headers)

    def listed(path: str, runs: list[CheckRun]) -> Response:
        if name := request.args.get("check_name"):
            runs = [run for run in runs if run.name == name]
        if request.args.get("filter", "latest") == "latest":
            runs = latest(runs)
        items, headers = page_of(runs, f"{bodies.api}/repos/{repository.full_name}/{path}", request.args)
        return answer({"total_count": len(runs), "check_runs": [shown(run) for run in items]}, headers=headers)

    @api.get("/repos/<owner>/<repo>/commits/<path:ref>/check-runs")
    def list_check_runs(ref: str) -> Response:
        try:
            sha = repository.commit(ref).sha
        except UnknownRefError as error:
            raise ApiError(422, f"No commit found for SHA: {ref}") from error
        return listed(f"commits/{ref}/check-runs", state.checks.of(sha))

    @api.get("/repos/<owner>/<repo>/check-suites/<int:suite>/check-runs")
    def list_check_runs_of_suite(suite: int) -> Response:
        runs = [run for run in state.checks.of() if suite_id(run.sha) == suite]
        if not runs:
            raise ApiError(404, "Not Found")
        return listed(f"check-suites/{suite}/check-runs", runs)

    @api.post("/repos/<owner>/<repo>/check-runs/<int:number>/rerequest")
    def rerequest(number: int) -> Response:
        require_app()
        run = found(number)
        # GitHub answers, and sends its event by itself; where the App's hook leads nowhere, nobody hears of it.
        threading.Thread(target=_quietly, args=(presses.rerun, run), daemon=True).start()
        return answer({}, 201)


def _quietly(press: Callable[[CheckRun], object], run: CheckRun) -> None:
    with contextlib.suppress(HookNotSetError):
        press(run)


def _add_contents(api: Blueprint, state: State, bodies: Bodies) -> None:
    """Files, and who may do what."""
    repository = state.repository

    @api.get("/repos/<owner>/<repo>/contents/<path:path>")
    def get_content(path: str) -> Response:
        ref = request.args.get("ref", repository.default_branch)
        try:
            content = repository.read(ref, path)
        except UnknownRefError as error:
            raise ApiError(404, f"No commit found for the ref {ref}") from error
        except (KeyError, FileNotFoundError) as error:
            raise ApiError(404, "Not Found") from error
        return answer(bodies.content_file(repository.full_name, ref, path, content))

    @api.get("/repos/<owner>/<repo>/collaborators/<username>/permission")
    def get_permission(username: str) -> Response:
        permission = state.permissions.get(username)
        if permission is None:
            raise ApiError(404, "Not Found")
        return answer(bodies.permission(username, permission))


def _add_deliveries(api: Blueprint, state: State, bodies: Bodies) -> None:  # noqa: C901 - as above
    """The deliveries of the repository's hook, of its organisation's, and of the App's."""

    def list_of(name: HookName, url: str) -> Response:
        deliveries = state.hooks.list(name)
        wanted = request.args.get("status")
        if wanted not in {None, "success", "failure"}:
            raise ApiError(422, "Validation Failed", [_hook_error("status is not included in the list")])
        if wanted is not None:
            deliveries = [one for one in deliveries if (one.status == "OK") == (wanted == "success")]
        try:
            page, headers = cursor_page_of(deliveries, url, request.args)
        except InvalidCursorError as error:
            raise ApiError(422, "Validation Failed", [_hook_error("cursor is not valid")]) from error
        return answer([hook_delivery_item(delivery) for delivery in page], headers=headers)

    def one_of(name: HookName, number: int) -> Response:
        try:
            return answer(hook_delivery(state.hooks.get(name, number)))
        except UnknownDeliveryError as error:
            raise ApiError(404, "Not Found") from error

    def again(name: HookName, number: int) -> Response:
        try:
            state.hooks.redeliver(name, number)
        except (UnknownDeliveryError, HookNotSetError) as error:
            raise ApiError(404, "Not Found") from error
        return answer({}, 202)

    def check(hook_id: int) -> None:
        if hook_id != HOOK_ID:
            raise ApiError(404, "Not Found")

    def check_organisation(org: str, hook_id: int) -> None:
        owner = state.repository.full_name.partition("/")[0]
        if (org, hook_id) != (owner, ORGANISATION_HOOK_ID):
            raise ApiError(404, "Not Found")

    @api.get("/repos/<owner>/<repo>/hooks/<int:hook_id>/deliveries")
    def list_deliveries(hook_id: int) -> Response:
        check(hook_id)
        return list_of("repository", bodies.api + request.path)

    @api.get("/repos/<owner>/<repo>/hooks/<int:hook_id>/deliveries/<int:number>")
    def get_delivery(hook_id: int, number: int) -> Response:
        check(hook_id)
        return one_of("repository", number)

    @api.post("/repos/<owner>/<repo>/hooks/<int:hook_id>/deliveries/<int:number>/attempts")
    def redeliver(hook_id: int, number: int) -> Response:
        check(hook_id)
        return again("repository", number)

    # As for a repository: docs.github.com/rest/orgs/webhooks.
    @api.get("/orgs/<org>/hooks/<int:hook_id>/deliveries")
    def list_organisation_deliveries(org: str, hook_id: int) -> Response:
        check_organisation(org, hook_id)
        return list_of("organisation", bodies.api + request.path)

    @api.get("/orgs/<org>/hooks/<int:hook_id>/deliveries/<int:number>")
    def get_organisation_delivery(org: str, hook_id: int, number: int) -> Response:
        check_organisation(org, hook_id)
        return one_of("organisation", number)

    @api.post("/orgs/<org>/hooks/<int:hook_id>/deliveries/<int:number>/attempts")
    def redeliver_organisation(org: str, hook_id: int, number: int) -> Response:
        check_organisation(org, hook_id)
        return again("organisation", number)

    @api.get("/app/hook/deliveries")
    def list_app_deliveries() -> Response:
        return list_of("app", bodies.api + request.path)

    @api.get("/app/hook/deliveries/<int:number>")
    def get_app_delivery(number: int) -> Response:
        return one_of("app", number)

    @api.post("/app/hook/deliveries/<int:number>/attempts")
    def redeliver_app_delivery(number: int) -> Response:
        return again("app", number)


def _hook_error(message: str) -> Body:
    return {"resource": "Hook", "code": "custom", "message": message}


def _authenticate(state: State) -> None:
    header = request.headers.get("authorization", "")
    scheme, _, token = header.partition(" ")
    if not header:
        raise ApiError(401, "Requires authentication")
    if scheme.lower() not in {"token", "bearer"} or not state.knows(token.strip()):
        raise ApiError(401, "Bad credentials")


def _check_app_token() -> None:
    """The rules of an app's own token. Its signature is not checked: the app's public key is not known here."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        claims = jwt.decode(
            token.strip(),
            options={
                "verify_signature": False,
                "verify_exp": True,
                "verify_iat": True,
                "require": ["iat", "exp", "iss"],
            },
            leeway=60,
        )
    except jwt.InvalidTokenError as error:
        raise ApiError(401, "A JSON web token could not be decoded") from error
    if scheme.lower() != "bearer":
        raise ApiError(401, "A JSON web token could not be decoded")
    if claims["exp"] > time.time() + APP_TOKEN_MAX_SECONDS:
        raise ApiError(401, "'Expiration time' claim ('exp') is too far in the future")


def _json_object() -> Body:
    try:
        fields = json.loads(request.get_data())
    except ValueError as error:
        raise ApiError(400, "Problems parsing JSON") from error
    if not isinstance(fields, dict):
        raise ApiError(400, "Body should be a JSON object")
    return fields


def _validate_status(fields: Body) -> None:
    if fields.get("state") not in STATES:
        raise _invalid_status("state", "state is not included in the list")
    for name in ("context", "description", "target_url"):
        if not isinstance(fields.get(name), str | None):
            raise _invalid_status(name, f"{name} is not a string")
    if len(fields.get("description") or "") > DESCRIPTION_MAX:
        raise _invalid_status("description", f"description is too long (maximum is {DESCRIPTION_MAX} characters)")
    target_url = fields.get("target_url")
    if target_url and not target_url.startswith(("http://", "https://")):
        raise _invalid_status("target_url", "target_url must use http(s) scheme")


def _invalid_status(field: str | None, message: str) -> ApiError:
    error: Body = {"resource": "Status", "code": "custom", "message": message}
    if field:
        error["field"] = field
    return ApiError(422, "Validation Failed", [error])


def _refusal(fault: Fault) -> Response:
    status = fault.status or 500
    messages = {401: "Bad credentials", 403: "Forbidden", 404: "Not Found", 502: "Server Error"}
    if isinstance(fault.body, str):
        return Response(fault.body, status, fault.headers, content_type=fault.content_type)
    body = fault.body if fault.body is not None else ApiError(status, messages.get(status, "Server Error")).body
    return answer(body, status, fault.headers)


def _spoil(response: Response, fault: Fault) -> Response:
    if fault.status is None:
        response.headers.extend(fault.headers)
    if fault.delay:
        time.sleep(fault.delay)
    if fault.short:
        data = response.get_data()
        response.set_data(data[: len(data) // 2])
    if fault.cut:
        streamed = response.is_streamed
        data = response.get_data()
        if not streamed:
            response.headers["Content-Length"] = str(len(data))
        response.response = _half(data)
    return response


def _half(data: bytes) -> Iterator[bytes]:
    yield data[: len(data) // 2]
    # werkzeug takes this as the client's going away and closes the connection without a word.
    raise ConnectionAbortedError
