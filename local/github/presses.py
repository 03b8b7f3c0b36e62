"""What GitHub sends when somebody presses a button below a check run: to the App alone, and to nobody else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from local.github import sample
from local.github.bodies import Body, node_id, suite_id
from local.github.hooks import APP_ID

if TYPE_CHECKING:
    from local.github.bodies import Bodies
    from local.github.checks import CheckRun
    from local.github.hooks import Delivery
    from local.github.state import State

CREATED_AT = "2026-03-02T09:00:00Z"


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
        # GitHub names no pull request of a fork; here no event does, which is the harder case for who hears of it.
        body = self._bodies.check_run(self._name, run, APP_ID, self._permissions)
        body |= {"check_suite": self._suite(run.sha), "app": self._app(), "external_id": run.external_id or ""}
        return self._event(action, login) | {"check_run": body}

    def _event(self, action: str, login: str) -> Body:
        return {
            "action": action,
            "repository": self._bodies.repository(self._name),
            "sender": self._bodies.user(login),
            "installation": {"id": sample.INSTALLATION_ID, "node_id": node_id("Integration", sample.INSTALLATION_ID)},
        }

    def _suite(self, sha: str) -> Body:
        number = suite_id(sha)
        return {
            "id": number,
            "head_branch": None,
            "head_sha": sha,
            "status": "completed",
            "conclusion": "failure",
            "url": f"{self._bodies.api}/repos/{self._name}/check-suites/{number}",
            "before": None,
            "after": sha,
            "pull_requests": [],
            "app": self._app(),
            "created_at": CREATED_AT,
            "updated_at": CREATED_AT,
        }

    def _app(self) -> Body:
        return self._bodies.app(APP_ID, self._permissions)

    def _send(self, event: str, payload: Body) -> Delivery:
        text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
        return self._state.hooks.deliver("app", event, text.encode())
