"""What GitHub's buttons send: the job of a check run that is to be done again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.external_id import ExternalId
from shared.job import JOB_MAX_BYTES, RERUN, Job
from shared.work_key import work_key
from tests.support import BASE_SHA, DELIVERY_ID, SHA
from webhook.delivery import Rejected
from webhook.projection import NotOurs, project_check_run, project_check_suite

APP = 1042117
ACTIONS = {"build", "synchronize"}
EXTERNAL = ExternalId.read({"pull_request": 7, "base": {"ref": "main", "sha": BASE_SHA}}).to_json()


def payload(**changes: Any) -> dict[str, Any]:
    """As GitHub sends it for a pull request from a fork: no pull requests, no branch."""
    run = {
        "id": 41,
        "name": "pullback/build",
        "head_sha": SHA,
        "external_id": EXTERNAL,
        "app": {"id": APP, "slug": "pullback"},
        "check_suite": {"id": 51, "head_branch": None},
        "pull_requests": [],
    }
    return {
        "action": "rerequested",
        "check_run": run | changes,
        "repository": {"id": 1, "full_name": "octo-org/hello"},
        "installation": {"id": 42},
        "sender": {"login": "octocat", "id": 1},
    }


def job_of(data: dict[str, Any], app: str | None = str(APP), delivery_id: str = DELIVERY_ID) -> Job:
    return project_check_run(data, app=app, delivery_id=delivery_id, actions=ACTIONS)


def suite(**changes: Any) -> dict[str, Any]:
    data = payload()
    del data["check_run"]
    return data | {"check_suite": {"id": 51, "head_sha": SHA, "head_branch": None, "app": {"id": APP}} | changes}


def test_a_run_of_a_fork_names_its_pull_request_by_itself() -> None:
    job = job_of(payload())
    assert json.loads(job.to_json()) == {
        "action": "build",
        "delivery_id": DELIVERY_ID,
        "repository": {"full_name": "octo-org/hello"},
        "pull_request": {
            "number": 7,
            "title": "",
            "head": {"ref": "", "sha": SHA},
            "base": {"ref": "main", "sha": BASE_SHA},
        },
        "installation": {"id": 42},
        "rerun": DELIVERY_ID,
        "sender": {"login": "octocat"},
    }


def test_each_rerun_has_a_key_of_its_own() -> None:
    first, second = job_of(payload()), job_of(payload(), delivery_id="another")
    keys = {work_key(first), work_key(second), work_key(Job.read(first.plain() | {"rerun": None}))}
    assert len(keys) == 3
    # The check run of a re-run is found by what it carries.
    assert ExternalId.of(first) != ExternalId.of(second)


def test_a_button_is_told_with_who_pressed_it() -> None:
    job = job_of(payload() | {"requested_action": {"identifier": "approve"}})
    assert job.requested_action is not None
    assert (job.requested_action.identifier, job.sender.login) == ("approve", "octocat")


@pytest.mark.parametrize(
    ("changes", "app", "reason"),
    [
        ({}, "7", "another App's"),
        ({}, None, "another App's"),
        ({"app": {"id": 7}}, str(APP), "another App's"),
        ({"name": "ci/build"}, str(APP), "no action"),
        ({"name": "pullback/other"}, str(APP), "no action"),
        ({"name": "build"}, str(APP), "no action"),
        ({"external_id": None}, str(APP), "does not say"),
        ({"external_id": ""}, str(APP), "does not say"),
        ({"external_id": "{}"}, str(APP), "does not say"),
        ({"external_id": EXTERNAL.replace("7", "-7", 1)}, str(APP), "does not say"),
        ({"external_id": "[" * 100_000}, str(APP), "does not say"),
    ],
    ids=str,
)
def test_what_is_not_ours_starts_nothing(changes: dict[str, Any], app: str | None, reason: str) -> None:
    with pytest.raises(NotOurs, match=reason):
        job_of(payload(**changes), app)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"head_sha": "x"}, "check_run.head_sha"),
        ({"name": None}, "check_run.name"),
        ({"app": None}, "check_run.app"),
        ({"external_id": 1}, "check_run.external_id"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Rejected) as rejected:
        job_of(payload(**changes))
    assert (rejected.value.status, rejected.value.field) == (400, field)


def test_the_largest_one_fits() -> None:
    data = payload(check_suite={"head_branch": "😀" * 10_000})
    data["sender"]["login"] = "😀" * 10_000
    data["repository"]["full_name"] = "o" * 100 + "/" + "r" * 100
    job = job_of(data, delivery_id="d" * 64)
    assert len(json.dumps(json.loads(job.to_json()))) <= JOB_MAX_BYTES


def test_a_suite_is_a_job_that_requests_its_runs() -> None:
    job = project_check_suite(suite(), app=str(APP), delivery_id=DELIVERY_ID)
    assert job.check_suite is not None
    assert (job.action, job.check_suite.id, job.pull_request.number) == (RERUN, 51, 0)
    with pytest.raises(NotOurs):
        project_check_suite(suite(), app="7", delivery_id=DELIVERY_ID)
    with pytest.raises(Rejected):
        project_check_suite(suite(id=0), app=str(APP), delivery_id=DELIVERY_ID)
