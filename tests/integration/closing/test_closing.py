"""The closing function, on moto's table and the local GitHub."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from local.github import Fault
from local.github.server import LocalGitHub
from pullrequest.claim import WRITE_SECONDS, Claim, Claims, Holder
from pullrequest.errors import GitHubUnavailable
from pullrequest.result import Result
from shared.aws import client as shared_client
from shared.job import Job
from tests.dead_work import sqs_event, status_event, task_event
from tests.integration.conftest import CREDENTIAL
from tests.support import LambdaContext

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    from tests.integration.conftest import Account


@pytest.fixture
def github(tmp_path: Path) -> Iterator[LocalGitHub]:
    with LocalGitHub(tmp_path / "github", token=CREDENTIAL) as server:
        yield server


@pytest.fixture
def closing(account: Account, github: LocalGitHub) -> ModuleType:
    return account.handler("closing.handler", GITHUB_API_URL=github.api_url)


@pytest.fixture
def job(github: LocalGitHub, job_data: dict[str, Any]) -> Job:
    pull_request = github.pull_request
    job_data["repository"]["full_name"] = pull_request.full_name
    job_data["pull_request"] |= {"number": pull_request.number}
    job_data["pull_request"]["head"]["sha"] = pull_request.head_sha
    return Job.read(job_data)


@pytest.fixture
def claims(account: Account) -> Claims:
    return Claims("idempotency", shared_client("dynamodb"))


def consumed(handler: ModuleType, *bodies: object) -> list[str]:
    answer = handler.lambda_handler(sqs_event(*bodies, queue="ended"), LambdaContext())
    return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


def shown(github: LocalGitHub) -> list[tuple[str, str | None]]:
    return [(one.state, one.description) for one in github.statuses()]


def working(claims: Claims, job: Job, execution: str | None = None) -> Claim:
    """The claim of an attempt that has shown its pending status."""
    claim = claims.take(job, Holder("token", execution or job.delivery_id))
    with claim.writing():
        pass
    claim.written()
    return claim


@pytest.mark.parametrize(
    ("status", "description"),
    [
        ("FAILED", "not finished: GitHubRefused"),
        ("TIMED_OUT", "not finished: timed out"),
        ("ABORTED", "not finished: aborted"),
    ],
)
def test_a_pending_status_is_closed_with_the_reason(
    closing: ModuleType, github: LocalGitHub, job: Job, claims: Claims, status: str, description: str
) -> None:
    working(claims, job)
    assert consumed(closing, status_event(json.loads(job.to_json()), status)) == []
    assert shown(github) == [("error", description)]
    (status_shown,) = github.statuses()
    assert (status_shown.sha, status_shown.context) == (job.pull_request.head.sha, "pullback/synchronize")


def test_it_is_closed_once(closing: ModuleType, github: LocalGitHub, job: Job, claims: Claims) -> None:
    working(claims, job)
    event = status_event(json.loads(job.to_json()))
    assert consumed(closing, event) == []
    assert consumed(closing, event) == []
    assert len(shown(github)) == 1


def test_an_execution_that_never_got_to_its_work_says_so(closing: ModuleType, github: LocalGitHub, job: Job) -> None:
    event = status_event(json.loads(job.to_json()), error="DispatchFailed")
    assert consumed(closing, event) == []
    assert shown(github) == [("error", "not finished: DispatchFailed")]


def test_the_zombie_of_a_closed_execution_writes_nothing_more(closing: ModuleType, job: Job, claims: Claims) -> None:
    zombie = working(claims, job)
    consumed(closing, status_event(json.loads(job.to_json()), "ABORTED"))
    with pytest.raises(Exception, match="taken the work over"), zombie.writing():
        pytest.fail("the write must not happen")


def test_what_is_reported_stays(closing: ModuleType, github: LocalGitHub, job: Job, claims: Claims) -> None:
    claim = working(claims, job)
    claim.decide(Result(conclusion="success", summary="fine"), 1)
    claim.end("reported", pending_shown=False)
    assert consumed(closing, status_event(json.loads(job.to_json()))) == []
    assert shown(github) == []


def test_the_work_of_another_execution_is_left_alone(
    closing: ModuleType, github: LocalGitHub, job: Job, claims: Claims
) -> None:
    claim = working(claims, job, execution="another")
    assert consumed(closing, status_event(json.loads(job.to_json()))) == []
    assert shown(github) == []
    claim.renew()


def test_work_that_was_done_and_not_shown_is_shown(
    closing: ModuleType, github: LocalGitHub, job: Job, claims: Claims
) -> None:
    claim = working(claims, job)
    claim.decide(Result(conclusion="failure", summary="2 conflict markers"), 1)
    claim.end("released", pending_shown=True)
    assert consumed(closing, status_event(json.loads(job.to_json()))) == []
    assert shown(github) == [("failure", "2 conflict markers")]
    assert claims.take(job, Holder("later", "later")).phase == "reported"


def test_a_write_that_may_be_under_way_is_waited_for(
    closing: ModuleType, github: LocalGitHub, job: Job, claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = claims.take(job, Holder("token", job.delivery_id))
    with pytest.raises(GitHubUnavailable), claim.writing():
        raise GitHubUnavailable("no answer")
    slept = []
    moved = claims.now() + WRITE_SECONDS * 1000

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        # Nothing was written yet, and nothing can be written any more when this returns.
        assert shown(github) == []
        monkeypatch.setattr(closing.claims, "now", lambda: moved)

    monkeypatch.setattr(closing.close_status, "__defaults__", (sleep,))
    assert consumed(closing, status_event(json.loads(job.to_json()))) == []
    assert WRITE_SECONDS - 10 < slept[0] <= WRITE_SECONDS
    assert shown(github) == [("error", "not finished: GitHubRefused")]


def test_while_github_is_away_the_message_comes_again_and_the_status_is_closed_once(
    closing: ModuleType, github: LocalGitHub, job: Job, claims: Claims, account: Account
) -> None:
    working(claims, job)
    event = status_event(json.loads(job.to_json()))
    github.fail(status=502)
    assert consumed(closing, event) == ["message-0"]
    github.clear_faults()
    # Nobody knows whether the first write arrived; the second try finds that it did not.
    closing.close_status.__defaults__ = (lambda _: _forget_write(closing),)
    assert consumed(closing, event) == []
    assert shown(github) == [("error", "not finished: GitHubRefused")]
    assert account.quarantined() == []


def _forget_write(closing: ModuleType) -> None:
    now = closing.claims.now()
    closing.claims.now = lambda: now + WRITE_SECONDS * 1000


def test_a_status_that_github_refuses_is_put_aside(
    closing: ModuleType, github: LocalGitHub, job: Job, account: Account, claims: Claims
) -> None:
    github.fail(status=404)
    assert consumed(closing, status_event(json.loads(job.to_json()))) == []
    (aside,) = account.quarantined()
    assert "404" in aside["MessageAttributes"]["reason"]["StringValue"]
    # Whoever comes next may have the work.
    claims.take(job, Holder("later", "later"))


def test_a_credential_that_is_being_rotated_is_waited_for(
    closing: ModuleType, github: LocalGitHub, job: Job, claims: Claims, account: Account
) -> None:
    working(claims, job)
    event = status_event(json.loads(job.to_json()))
    github.fail(status=401)
    assert consumed(closing, event) == ["message-0"]
    github.clear_faults()
    assert consumed(closing, event) == []
    assert shown(github) == [("error", "not finished: GitHubRefused")]
    assert account.quarantined() == []


@pytest.mark.parametrize("poison", ["{", "SUCCEEDED", "dead letter"])
def test_what_is_no_end_without_success_is_put_aside(
    closing: ModuleType, github: LocalGitHub, job: Job, account: Account, poison: str
) -> None:
    data = json.loads(job.to_json())
    body: object = {"SUCCEEDED": status_event(data, "SUCCEEDED"), "dead letter": task_event(data)}.get(poison, poison)
    assert consumed(closing, body) == []
    assert len(account.quarantined()) == 1
    assert shown(github) == []


@pytest.mark.parametrize("fault", [{"status": 404}, {"status": 422, "body": {"message": "No commit found for SHA: x"}}])
def test_a_commit_that_github_does_not_know_yet_is_closed_later(
    closing: ModuleType,
    github: LocalGitHub,
    job: Job,
    claims: Claims,
    fault: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    working(claims, job)
    event = status_event(json.loads(job.to_json()), "FAILED")
    started_at = event["detail"]["startDate"] / 1000

    github.fail(Fault(method="POST", **fault))
    monkeypatch.setattr(closing, "clock", lambda: started_at + 60)
    assert consumed(closing, event) == ["message-0"]
    github.clear_faults()
    assert consumed(closing, event) == []
    assert [state for state, _ in shown(github)] == ["error"]


def test_a_commit_that_is_gone_is_put_aside_when_its_event_is_old(
    closing: ModuleType, github: LocalGitHub, job: Job, claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    working(claims, job)
    event = status_event(json.loads(job.to_json()), "FAILED")
    github.fail(Fault(method="POST", status=404))
    monkeypatch.setattr(closing, "clock", lambda: event["detail"]["startDate"] / 1000 + 3600)

    # Done with: the message is in quarantine.
    assert consumed(closing, event) == []
    assert shown(github) == []
