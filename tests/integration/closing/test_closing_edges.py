"""The closing function to the edge, without a GitHub: what it waits for, what it leaves alone, what it counts."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pullrequest.claim import Claims, Holder
from pullrequest.errors import GitHubRefused, GitHubUnavailable
from pullrequest.github_access import Installations
from pullrequest.result import Result
from shared.aws import client as shared_client
from shared.dead_work import read
from shared.ended import EndedExecutions
from shared.metrics import Metric
from tests.dead_work import sqs_event, status_event
from tests.support import LambdaContext
from tests.unit.processor.fakes import FakeGitHub, a_job

if TYPE_CHECKING:
    from types import ModuleType

    from shared.dead_work import DeadWork
    from tests.integration.conftest import Account

JOB = a_job()
NOW_MS = 1_700_000_000_000
MINE = JOB.delivery_id


class RefusingGitHub(FakeGitHub):
    """Refuses statuses with this error."""

    error: Exception | None = None

    def set_status(self, state: str, description: str, target_url: str | None = None) -> None:
        if self.error:
            raise self.error
        super().set_status(state, description, target_url)


@pytest.fixture
def github() -> RefusingGitHub:
    return RefusingGitHub()


@pytest.fixture
def closing(account: Account, github: RefusingGitHub, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    handler = account.handler("closing.handler")
    monkeypatch.setattr(handler, "connect", lambda *_, **__: github)
    return handler


@pytest.fixture
def counted(closing: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[Metric]:
    found: list[Metric] = []
    monkeypatch.setattr(closing.telemetry, "count", lambda metric, *_, **by: found.append(metric))
    return found


@pytest.fixture
def claims(account: Account) -> Claims:
    return Claims("idempotency", shared_client("dynamodb"), lambda: NOW_MS)


def ended() -> DeadWork:
    """An execution that has failed."""
    return read(json.dumps(status_event(json.loads(JOB.to_json()))))


def consumed(handler: ModuleType, *bodies: object) -> list[str]:
    answer = handler.lambda_handler(sqs_event(*bodies, queue="ended"), LambdaContext())
    return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


def closed(closing: ModuleType, claims: Claims, github: FakeGitHub, dead: DeadWork | None = None) -> tuple[bool, float]:
    """Whether the status was closed, and how long was waited before."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        claims.now = lambda: NOW_MS + round(seconds * 1000)

    is_closed = closing.close_status(dead or ended(), MINE, claims, github, sleep)
    assert isinstance(is_closed, bool)
    return is_closed, sum(slept)


def test_a_status_is_closed_once_and_counted_once(
    closing: ModuleType, github: RefusingGitHub, counted: list[Metric]
) -> None:
    for _ in range(2):
        assert consumed(closing, status_event(json.loads(JOB.to_json()))) == []
    assert github.statuses == [("error", "not finished: GitHubRefused", None)]
    assert counted == [Metric.STATUS_CLOSED]


@pytest.mark.parametrize("error", [None, GitHubUnavailable("502"), GitHubRefused("gone", 404)])
def test_the_event_is_noted_whatever_becomes_of_the_status(
    closing: ModuleType, github: RefusingGitHub, error: Exception | None
) -> None:
    """Or the watch would take it for lost, and hand it over again."""
    github.error = error
    consumed(closing, status_event(json.loads(JOB.to_json())))
    assert EndedExecutions("idempotency", shared_client("dynamodb"), time.time).unknown([MINE, "other"]) == {"other"}


def test_all_messages_share_what_is_known_of_the_apps_installations(
    closing: ModuleType, github: RefusingGitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or each would ask GitHub for its installation again."""
    given: list[Installations] = []

    def connect(*_: object, installations: Installations, **__: object) -> RefusingGitHub:
        given.append(installations)
        return github

    monkeypatch.setattr(closing, "connect", connect)
    consumed(closing, *[status_event(json.loads(JOB.to_json()))] * 2)
    assert [type(one) for one in given] == [Installations, Installations]
    assert given[0] is given[1]


def test_the_age_of_an_execution_that_does_not_tell_its_start_is_infinite(closing: ModuleType) -> None:
    """So GitHub's "not found" is final: nothing is waited for that may never come."""
    assert closing.age_of(replace(ended(), started_at=None)) == float("inf")


def test_a_write_under_way_is_waited_for_to_the_millisecond(
    closing: ModuleType, claims: Claims, github: RefusingGitHub
) -> None:
    claim = claims.take(JOB, Holder("token", MINE))
    with claim.writing():
        pass
    assert closed(closing, claims, github) == (True, 60.0)
    assert github.statuses == [("error", "not finished: GitHubRefused", None)]


def test_nothing_is_waited_for_when_no_write_is_under_way(
    closing: ModuleType, claims: Claims, github: RefusingGitHub
) -> None:
    claims.take(JOB, Holder("token", MINE))
    assert closed(closing, claims, github) == (True, 0.0)


@pytest.mark.parametrize("phase", ["reported", "closed"])
def test_what_has_its_end_is_left_alone(
    closing: ModuleType, claims: Claims, github: RefusingGitHub, phase: Any
) -> None:
    claims.take(JOB, Holder("token", MINE)).end(phase, pending_shown=False)
    assert closed(closing, claims, github) == (False, 0.0)
    assert github.statuses == []


def test_work_that_another_execution_holds_is_left_alone(
    closing: ModuleType, claims: Claims, github: RefusingGitHub
) -> None:
    claim = claims.take(JOB, Holder("token", "another"))
    claim.end("released", pending_shown=True)
    assert closed(closing, claims, github) == (False, 0.0)
    assert github.statuses == []


def test_what_is_reported_while_it_is_asked_for_is_left_alone(
    closing: ModuleType, claims: Claims, github: RefusingGitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = claims.take(JOB, Holder("token", MINE))
    seen = claims.find(JOB)
    claim.decide(Result(conclusion="success", summary="fine"), 1)
    claim.end("reported", pending_shown=False)
    find, answers = claims.find, [seen]
    monkeypatch.setattr(claims, "find", lambda job: answers.pop() if answers else find(job))
    assert closed(closing, claims, github) == (False, 0.0)
    assert github.statuses == []


def test_a_closed_status_is_recorded_as_that(closing: ModuleType, claims: Claims, github: RefusingGitHub) -> None:
    closed(closing, claims, github)
    record = claims.find(JOB)
    assert record is not None
    assert (record.phase, record.owner, record.execution) == ("closed", f"closing {MINE}", MINE)
    assert not record.pending_shown


@pytest.mark.parametrize(
    ("fields", "description"),
    [
        ({"status": "TIMED_OUT", "error": "x"}, "timed out"),
        ({"status": "ABORTED", "error": None}, "aborted"),
        ({"status": "FAILED", "error": "UnknownAction"}, "UnknownAction"),
        ({"status": "FAILED", "error": None}, "failed"),
        ({"status": None, "error": None}, "failed"),
    ],
)
def test_the_reason_is_the_best_that_is_known(
    closing: ModuleType, claims: Claims, github: RefusingGitHub, fields: dict[str, Any], description: str
) -> None:
    assert closed(closing, claims, github, replace(ended(), **fields))[0]
    assert github.statuses == [("error", f"not finished: {description}", None)]


def test_a_status_that_could_not_be_closed_leaves_the_work_to_others(
    closing: ModuleType, claims: Claims, github: RefusingGitHub
) -> None:
    github.error = GitHubRefused("403")
    with pytest.raises(GitHubRefused):
        closed(closing, claims, github)
    record = claims.find(JOB)
    assert record is not None
    assert (record.phase, record.pending_shown) == ("released", True)
    claims.take(JOB, Holder("token", "another"))


@pytest.mark.parametrize("status", [404, 410, 422])
def test_what_is_gone_is_put_aside(
    closing: ModuleType, github: RefusingGitHub, account: Account, counted: list[Metric], status: int
) -> None:
    github.error = GitHubRefused(f"answered {status}", status)
    assert consumed(closing, status_event(json.loads(JOB.to_json()))) == []
    (aside,) = account.quarantined()
    assert aside["MessageAttributes"]["reason"]["StringValue"] == f"GitHub refuses the status: answered {status}"
    assert Metric.STATUS_CLOSED not in counted


@pytest.mark.parametrize(
    "error", [GitHubUnavailable("502"), *(GitHubRefused("x", status) for status in (401, 403, 409, 411, 421, 423))]
)
def test_what_may_come_back_is_waited_for(
    closing: ModuleType, github: RefusingGitHub, account: Account, counted: list[Metric], error: Exception
) -> None:
    github.error = error
    assert consumed(closing, status_event(json.loads(JOB.to_json()))) == ["message-0"]
    assert account.quarantined() == []
    assert counted == [Metric.MESSAGE_RETURNED]
