"""What GitHub sends when somebody presses a button below a check run: to the App alone, and to nobody else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from local.github import sample
from local.github.bodies import node_id, suite_id
from local.github.checks import latest
from local.github.hooks import APP_ID

if TYPE_CHECKING:
    from local.github.bodies import Bodies
    from local.github.checks import CheckRun
    from local.github.hooks import Delivery
    from local.github.model import Body
    from local.github.state import State

CREATED_AT = "2026-03-02T09:00:00Z"
APP_LOGIN = "pullback[bot]"
SUITE_CONCLUSIONS = ("failure", "timed_out", "cancelled", "action_required", "stale", "success", "neutral")
"""What a suite may conclude; the first that one of its runs has."""


class Presses:
    """Presses buttons, as somebody would.

    Args:
        state: has the check runs, and the App's hook.
        bodies: makes GitHub's objects.
        permissions: the App's.
    """

    def __init__(self, state: State, bodies: Bodies, permissions: dict[str, str]) -> None:
        self._state = state
        self._bodies = bodies
        self._permissions = permissions

    def rerun(self, run: CheckRun, *, login: str = sample.SENDER) -> Delivery:
        """*Re-run*. Raises HookNotSetError where the App's hook leads nowhere."""
        return self._send("check_run", self._check_run_event(run, "rerequested", login))

    def button(self, run: CheckRun, identifier: str, *, login: str = sample.SENDER) -> Delivery:
        """One of the run's own buttons. Raises as ``rerun``."""
        event = self._check_run_event(run, "requested_action", login) | {"requested_action": {"identifier": identifier}}
        return self._send("check_run", event)

    def tell(self, run: CheckRun, action: str) -> Delivery:
        """What GitHub sends without a button: the run was ``created``, or ``completed``. Raises as ``rerun``."""
        if action not in {"created", "completed"}:
            raise LookupError(action)
        return self._send("check_run", self._check_run_event(run, action, APP_LOGIN))

    def rerun_all(self, sha: str, *, login: str = sample.SENDER) -> Delivery:
        """*Re-run all checks* of a commit. Raises as ``rerun``."""
        commit = self._state.repository.commit(sha)
        author = {"name": commit.author, "email": commit.email}
        head_commit = {
            "id": commit.sha,
            "tree_id": commit.tree,
            "message": commit.message,
            "timestamp": CREATED_AT,
            "author": author,
            "committer": author,
        }
        suite = self._suite(sha) | {
            "node_id": node_id("CheckSuite", suite_id(sha)),
            "latest_check_runs_count": len(self._state.checks.of(sha)),
            "check_runs_url": f"{self._bodies.api}/repos/{self._name}/check-suites/{suite_id(sha)}/check-runs",
            "head_commit": head_commit,
        }
        return self._send("check_suite", self._event("rerequested", login) | {"check_suite": suite})

    @property
    def _name(self) -> str:
        return self._state.repository.full_name

    def _check_run_event(self, run: CheckRun, action: str, login: str) -> Body:
        body = self._bodies.check_run(self._name, run, APP_ID, self._permissions)
        suite = self._suite(run.sha)
        body |= {"check_suite": suite, "pull_requests": suite["pull_requests"], "external_id": run.external_id or ""}
        return self._event(action, login) | {"check_run": body}

    def _event(self, action: str, login: str) -> Body:
        return {
            "action": action,
            "repository": self._bodies.repository(self._name),
            "sender": self._bodies.user(login, "Bot" if login == APP_LOGIN else "User"),
            "installation": {"id": sample.INSTALLATION_ID, "node_id": node_id("Integration", sample.INSTALLATION_ID)},
        }

    def _suite(self, sha: str) -> Body:
        number = suite_id(sha)
        # Of a fork GitHub names neither branch nor pull request.
        pulls = self._state.repository.with_commit(sha)
        conclusion = _conclusion(latest(self._state.checks.of(sha)))
        return {
            "id": number,
            "head_branch": pulls[0].head_ref if pulls else None,
            "head_sha": sha,
            "status": "completed" if conclusion else "in_progress",
            "conclusion": conclusion,
            "url": f"{self._bodies.api}/repos/{self._name}/check-suites/{number}",
            "before": None,
            "after": sha,
            "pull_requests": [self._bodies.pull_request_of_run(pull) for pull in pulls],
            "app": self._app(),
            "created_at": CREATED_AT,
            "updated_at": CREATED_AT,
        }

    def _app(self) -> Body:
        return self._bodies.app(APP_ID, self._permissions)

    def _send(self, event: str, payload: Body) -> Delivery:
        text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
        return self._state.hooks.deliver("app", event, text.encode())


def _conclusion(runs: list[CheckRun]) -> str | None:
    """What a suite of these runs concludes; None while one of them has not."""
    conclusions = {run.conclusion for run in runs}
    if not runs or None in conclusions:
        return None
    return next((one for one in SUITE_CONCLUSIONS if one in conclusions), "neutral")
