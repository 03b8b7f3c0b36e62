"""GitHub on an ordinary day, late, moved and odd: the deployed stack does the work all the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from local import flow

if TYPE_CHECKING:
    from local.flow import Flow
    from local.github import PullRequest
    from tests.e2e.conftest import Deployed

pytestmark = pytest.mark.usefixtures("warm")

ONCE = {"times": 1}


def run_with(deployed: Deployed, pull_request: PullRequest, changes: dict[str, Any]) -> Flow:
    """A delivery with other fields, followed to the end of its execution."""
    body = json.dumps({**json.loads(deployed.body("synchronize", pull_request)), **changes}).encode()
    sent = flow.deliver(deployed.stack.info, "synchronize", pull_request, body=body)
    return flow.follow(sent, deployed.stack.info, deployed.stack.traces)


@pytest.mark.parametrize("action", ["synchronize", "build"])
@pytest.mark.parametrize(
    "fault",
    [
        {"path": "/pulls/{number}$", "status": 404},
        {"path": "/(pulls/{number}/files|tarball/)", "status": 404},
        {"path": "/check-runs", "status": 404},
        {
            "path": "/check-runs$",
            "method": "POST",
            "status": 422,
            "body": {"message": "No commit found for SHA: {head_sha}", "documentation_url": "https://docs.github.com"},
        },
    ],
    ids=["pull request", "contents", "check run 404", "check run 422"],
)
def test_what_github_does_not_know_yet_is_waited_for(
    deployed: Deployed, pull_request: PullRequest, action: str, fault: dict[str, Any]
) -> None:
    path = fault["path"].replace("{number}", str(pull_request.number))
    deployed.github.fail(**{**fault, "path": path}, **ONCE)

    done = deployed.run(action, pull_request)

    assert (done.status, (done.output or {}).get("conclusion")) == ("SUCCEEDED", "success"), (done.error, done.cause)
    assert deployed.states(pull_request.head_sha, action) == ["pending", "success"]


def test_another_body_in_place_of_the_archive_does_not_stick(deployed: Deployed, pull_request: PullRequest) -> None:
    deployed.github.fail(path="_codeload", status=200, body={"message": "come back later"}, **ONCE)

    done = deployed.run("build", pull_request)

    assert (done.status, (done.output or {}).get("conclusion")) == ("SUCCEEDED", "success"), (done.error, done.cause)


def test_a_redirect_is_followed_by_reads_and_writes(deployed: Deployed, pull_request: PullRequest) -> None:
    root = f"{deployed.stack.info.github_url}/repos/{pull_request.full_name}"
    files = f"{root}/pulls/{pull_request.number}/files?page=1&per_page=100"
    deployed.github.fail(path="/files$", status=301, headers={"location": files}, **ONCE)
    runs = f"{root}/check-runs"
    deployed.github.fail(path="/check-runs$", method="POST", status=307, headers={"location": runs}, **ONCE)

    done = deployed.run("synchronize", pull_request)

    assert done.status == "SUCCEEDED", (done.error, done.cause)
    assert deployed.states(pull_request.head_sha, "synchronize") == ["pending", "success"]


def test_a_write_that_is_redirected_elsewhere_is_no_success(deployed: Deployed, pull_request: PullRequest) -> None:
    elsewhere = {"location": "https://example.com/"}
    deployed.github.fail(path="/check-runs$", method="POST", status=307, headers=elsewhere)
    done = deployed.run("synchronize", pull_request)
    assert (done.status, done.error) == ("FAILED", "GitHubRefused")


def test_a_changed_base_is_other_work(deployed: Deployed, pull_request: PullRequest) -> None:
    first = deployed.run("synchronize", pull_request)
    assert first.status == "SUCCEEDED"
    body = json.loads(deployed.body("synchronize", pull_request))
    moved = {
        "action": "edited",
        "changes": {"base": {"ref": {"from": "old"}, "sha": {"from": body["pull_request"]["base"]["sha"]}}},
        "pull_request": {
            **body["pull_request"],
            "base": {**body["pull_request"]["base"], "sha": pull_request.head_sha},
        },
    }

    again = run_with(deployed, pull_request, moved)
    assert again.status == "SUCCEEDED"
    reopened = run_with(deployed, pull_request, {**moved, "action": "reopened"})
    assert reopened.status == "SUCCEEDED"

    # The edit did the work again; reopening found its result.
    assert deployed.states(pull_request.head_sha, "synchronize") == ["pending", "success", "pending", "success"]


def test_an_edit_of_the_title_starts_nothing(deployed: Deployed, pull_request: PullRequest) -> None:
    body = deployed.body("synchronize", pull_request, action="edited", changes={"title": {"from": "Say hallo"}})
    assert deployed.send(body)[1]["result"] == "ignored"


def test_superseded_work_can_be_delivered_again(deployed: Deployed, pull_request: PullRequest) -> None:
    deployed.github.push(pull_request.number)
    body = deployed.body("synchronize", pull_request)
    sent = flow.deliver(deployed.stack.info, "synchronize", pull_request, body=body)
    done = flow.follow(sent, deployed.stack.info, deployed.stack.traces)
    assert (done.output or {}).get("conclusion") == "cancelled"

    status, answer = deployed.send(body, delivery_id=done.delivery_id)

    assert (status, answer) == (202, {"result": "restarted", "execution": f"{done.delivery_id}-2"})
