"""Check runs: what an App may say of a commit. docs.github.com/rest/checks/runs"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from local.github.model import Body

ANNOTATIONS_MAX = 50
"""Annotations of one request."""
TEXT_MAX = 65_535
ACTIONS_MAX = 3
ACTION_LIMITS = {"label": 20, "description": 40, "identifier": 20}
LEVELS = ("notice", "warning", "failure")
STATUSES = ("queued", "in_progress", "completed")
CONCLUSIONS = ("action_required", "cancelled", "failure", "neutral", "success", "skipped", "stale", "timed_out")
FIRST_ID = 41_000_000_001


class InvalidCheckError(Exception):
    """The request is not what GitHub takes; the text is GitHub's kind of message."""


@dataclass
class CheckRun:
    """One check run."""

    id: int
    sha: str
    name: str
    created_at: str
    status: str = "queued"
    conclusion: str | None = None
    external_id: str | None = None
    details_url: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    title: str | None = None
    summary: str | None = None
    text: str | None = None
    annotations: list[Body] = field(default_factory=list)
    actions: list[Body] = field(default_factory=list)


class Checks:
    """All check runs, in the order in which they were created. Shared by the server's threads.

    Args:
        on_change: told of each run that is new, or has another status or conclusion.
    """

    def __init__(self, on_change: Callable[[CheckRun], None]) -> None:
        self._lock = threading.Lock()
        self._runs: dict[int, CheckRun] = {}
        self._on_change = on_change

    def create(self, fields: Body, now: str) -> CheckRun:
        """Raises InvalidCheckError."""
        validate(fields)
        with self._lock:
            run = CheckRun(FIRST_ID + len(self._runs), fields["head_sha"], fields["name"], now)
            _change(run, fields, now)
            self._runs[run.id] = run
            self._on_change(run)
            return run

    def update(self, number: int, fields: Body, now: str) -> CheckRun:
        """Raises InvalidCheckError, and KeyError where there is none of this id."""
        validate(fields, is_new=False)
        with self._lock:
            run = self._runs[number]
            before = run.status, run.conclusion
            _change(run, fields, now)
            if (run.status, run.conclusion) != before:
                self._on_change(run)
            return run

    def get(self, number: int) -> CheckRun:
        """Raises KeyError where there is none of this id."""
        with self._lock:
            return self._runs[number]

    def of(self, sha: str | None = None) -> list[CheckRun]:
        """Those of a commit, or all, the newest first."""
        with self._lock:
            return [run for run in reversed(self._runs.values()) if sha in {None, run.sha}]


def latest(runs: Iterable[CheckRun]) -> list[CheckRun]:
    """The newest one of each name. ``runs``: the newest first."""
    by_name: dict[str, CheckRun] = {}
    for run in runs:
        by_name.setdefault(run.name, run)
    return list(by_name.values())


def validate(fields: Body, *, is_new: bool = True) -> None:
    """Raises InvalidCheckError unless GitHub would take it."""
    for name in ("name", "head_sha"):
        if is_new and not fields.get(name):
            raise InvalidCheckError(f"{name} is missing")
    _one_of(fields, "status", STATUSES)
    _one_of(fields, "conclusion", CONCLUSIONS)
    if fields.get("status") == "completed" and "conclusion" not in fields:
        raise InvalidCheckError("conclusion is missing: the status is completed")
    if "details_url" in fields and not str(fields["details_url"]).startswith(("http://", "https://")):
        raise InvalidCheckError("details_url must use http(s) scheme")
    if "output" in fields:
        _validate_output(fields["output"])
    actions = fields.get("actions", [])
    if len(actions) > ACTIONS_MAX:
        raise InvalidCheckError(f"actions: no more than {ACTIONS_MAX} items are allowed")
    for action in actions:
        for name, limit in ACTION_LIMITS.items():
            if not 0 < len(action.get(name, "")) <= limit:
                raise InvalidCheckError(f"actions: {name} has 1 to {limit} characters")


def _validate_output(output: Any) -> None:
    if not isinstance(output, dict) or not all(isinstance(output.get(name), str) for name in ("title", "summary")):
        raise InvalidCheckError("output: title and summary are both needed")
    for name in ("summary", "text"):
        if len(output.get(name) or "") > TEXT_MAX:
            raise InvalidCheckError(f"output: {name} is too long (maximum is {TEXT_MAX} characters)")
    annotations = output.get("annotations", [])
    if len(annotations) > ANNOTATIONS_MAX:
        raise InvalidCheckError(f"annotations: no more than {ANNOTATIONS_MAX} items are allowed")
    for one in annotations:
        if missing := {"path", "start_line", "end_line", "annotation_level", "message"} - one.keys():
            raise InvalidCheckError(f"annotations: {', '.join(sorted(missing))} missing")
        lines = one["start_line"], one["end_line"]
        if not all(isinstance(line, int) and line > 0 for line in lines) or lines[0] > lines[1]:
            raise InvalidCheckError("annotations: start_line and end_line are not lines")
        if one["annotation_level"] not in LEVELS:
            raise InvalidCheckError("annotations: annotation_level is not included in the list")
        if not one["path"] or not one["message"]:
            raise InvalidCheckError("annotations: path and message may not be empty")


def _one_of(fields: Body, name: str, words: tuple[str, ...]) -> None:
    if name in fields and fields[name] not in words:
        raise InvalidCheckError(f"{name} is not included in the list")


def _change(run: CheckRun, fields: Body, now: str) -> None:
    for name in ("name", "external_id", "details_url", "started_at"):
        if name in fields:
            setattr(run, name, fields[name])
    if "status" in fields:
        run.status = fields["status"]
        if run.status != "completed":
            # GitHub opens a run again that is set in progress.
            run.conclusion = run.completed_at = None
    if "conclusion" in fields:
        run.status, run.conclusion = "completed", fields["conclusion"]
        run.completed_at = fields.get("completed_at", now)
    if run.status != "queued":
        run.started_at = run.started_at or now
    if "actions" in fields:
        run.actions = list(fields["actions"])
    if "output" in fields:
        output = fields["output"]
        run.title, run.summary = output["title"], output["summary"]
        run.text = output.get("text", run.text)
        # They add up; there is no way to take one back.
        run.annotations += output.get("annotations", [])
