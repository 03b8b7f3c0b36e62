"""What a pull request gets: check runs on its lines, its base's policy, safety from forks, and GitHub's buttons."""

from __future__ import annotations

import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from local.flow import Flow, follow

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.github.model import PullRequest
    from tests.e2e.conftest import Deployed

CONFLICT = "x = 1\n<<<<<<< HEAD\n"


@pytest.fixture
def with_policy(deployed: Deployed) -> Callable[[str, dict[str, str | None]], PullRequest]:
    """Opens a pull request with these files, on a base that has this policy."""

    def opened(policy: str, files: dict[str, str | None]) -> PullRequest:
        base = deployed.github.open_pull_request({".github/pullback.toml": policy})
        pull = deployed.github.open_pull_request(files)
        deployed.github.change_base(base.head_ref, pull.number)
        return deployed.github.pull_request(pull.number)

    return opened


def runs_of(deployed: Deployed, pull: PullRequest, action: str) -> list[dict[str, Any]]:
    name = f"pullback/{action}"
    return [run for run in deployed.github.check_runs() if (run["sha"], run["name"]) == (pull.head_sha, name)]


def are_done_twice(deployed: Deployed, pull: PullRequest, action: str) -> bool:
    return [run["conclusion"] for run in runs_of(deployed, pull, action)] == ["success", "success"]


def pressed(deployed: Deployed, guid: str) -> Flow:
    """The flow of a button's delivery, which is named after it."""
    return follow(Flow(guid, "button", 202, {"execution": guid}, 0), deployed.stack.info, deployed.stack.traces)


def test_the_report_stands_on_the_line_that_it_is_about(deployed: Deployed) -> None:
    pull = deployed.github.open_pull_request({"a.py": CONFLICT, "logo.bin": "\0" * 10})
    done = deployed.run("synchronize", pull)
    assert (done.output or {})["conclusion"] == "failure"
    (run,) = runs_of(deployed, pull, "synchronize")
    assert (run["status"], run["conclusion"]) == ("completed", "failure")
    assert {(one["path"], one["start_line"], one["annotation_level"]) for one in run["annotations"]} >= {
        ("a.py", 2, "failure")
    }
    assert "| folder | files |" in run["summary"]


def test_the_build_blames_only_what_the_pull_request_broke(deployed: Deployed) -> None:
    base = deployed.github.open_pull_request({"tests/fixtures/invalid.json": "{", "good.py": "x = 1\n"})
    pull = deployed.github.open_pull_request(
        {"tests/fixtures/invalid.json": "[", "good.py": "x = (\n", "new.toml": "= 1"}
    )
    deployed.github.change_base(base.head_ref, pull.number)
    pull = deployed.github.pull_request(pull.number)
    done = deployed.run("build", pull)
    (run,) = runs_of(deployed, pull, "build")
    assert (run["conclusion"], sorted(one["path"] for one in run["annotations"])) == (
        "failure",
        ["good.py", "new.toml"],
    )
    assert (done.output or {})["artifacts"]["already_there"] == 1


def test_rerun_does_the_work_again_beside_the_older_result(deployed: Deployed, pull_request: PullRequest) -> None:
    deployed.run("synchronize", pull_request)
    (first,) = runs_of(deployed, pull_request, "synchronize")
    again = pressed(deployed, deployed.github.press_rerun(first["id"]))
    assert (again.status, (again.output or {})["conclusion"]) == ("SUCCEEDED", "success")
    older, newer = runs_of(deployed, pull_request, "synchronize")
    assert older == first
    assert newer["conclusion"] == "success"
    assert newer["external_id"] != first["external_id"]


@pytest.mark.parametrize("action", ["created", "completed"])
def test_what_github_tells_of_our_own_run_starts_nothing(
    deployed: Deployed, pull_request: PullRequest, action: str
) -> None:
    deployed.run("synchronize", pull_request)
    (run,) = runs_of(deployed, pull_request, "synchronize")
    deployed.github.tell(run["id"], action)
    delivery = deployed.github.deliveries("app")[0]
    assert (delivery["event"], delivery["action"], delivery["status_code"]) == ("check_run", action, 202)
    stepfunctions = deployed.client("stepfunctions")
    with pytest.raises(stepfunctions.exceptions.ExecutionDoesNotExist):
        stepfunctions.describe_execution(executionArn=deployed.execution_arn(delivery["guid"]))


def test_rerun_all_does_each_again(
    deployed: Deployed, pull_request: PullRequest, eventually: Callable[[Callable[[], Any]], Any]
) -> None:
    for action in ("synchronize", "build"):
        deployed.run(action, pull_request)
    done = pressed(deployed, deployed.github.press_rerun_all(pull_request.head_sha))
    assert (done.output or {})["summary"] == "2 check runs requested again"
    for action in ("synchronize", "build"):
        eventually(partial(are_done_twice, deployed, pull_request, action))


def test_a_rerun_of_an_older_commit_says_why_it_does_nothing(deployed: Deployed, pull_request: PullRequest) -> None:
    deployed.run("synchronize", pull_request)
    (first,) = runs_of(deployed, pull_request, "synchronize")
    newer = deployed.github.push(pull_request.number)
    done = pressed(deployed, deployed.github.press_rerun(first["id"]))
    assert (done.output or {})["conclusion"] == "cancelled"
    _, told = runs_of(deployed, pull_request, "synchronize")
    assert (told["conclusion"], told["title"]) == ("cancelled", f"superseded by {newer[:7]}")


def test_a_closed_pull_request_has_no_work_done(deployed: Deployed, pull_request: PullRequest) -> None:
    pull_request = deployed.github.close(pull_request.number)
    done = deployed.run("synchronize", pull_request)
    assert (done.output or {})["summary"] == "the pull request is closed"
    assert runs_of(deployed, pull_request, "synchronize") == []


def test_the_bases_policy_decides(deployed: Deployed, with_policy: Callable[..., PullRequest]) -> None:
    pull = with_policy('[synchronize]\nconflict_marker = "warning"\n', {"a.py": CONFLICT})
    assert (deployed.run("synchronize", pull).output or {})["conclusion"] == "success"
    (run,) = runs_of(deployed, pull, "synchronize")
    assert [one["annotation_level"] for one in run["annotations"] if one["path"] == "a.py"] == ["warning"]


def test_a_policy_that_cannot_be_read_is_neutral(deployed: Deployed, with_policy: Callable[..., PullRequest]) -> None:
    pull = with_policy("[synchronize]\nrun = 1\n", {"a.txt": f"{uuid.uuid4()}\n"})
    assert (deployed.run("synchronize", pull).output or {})["conclusion"] == "neutral"
    (run,) = runs_of(deployed, pull, "synchronize")
    assert run["title"].startswith("policy not read: .github/pullback.toml, line 2, synchronize.run: ")


def test_a_pull_request_that_changes_the_policy_is_told(deployed: Deployed) -> None:
    pull = deployed.github.open_pull_request({".github/pullback.toml": "[synchronize]\nrun = false\n"})
    assert (deployed.run("synchronize", pull).output or {})["conclusion"] == "success"
    (run,) = runs_of(deployed, pull, "synchronize")
    assert [one["path"] for one in run["annotations"]] == [".github/pullback.toml"]


def test_what_the_policy_does_not_run_is_skipped(deployed: Deployed, with_policy: Callable[..., PullRequest]) -> None:
    pull = with_policy("[build]\nrun = false\n", {"a.txt": f"{uuid.uuid4()}\n"})
    deployed.run("build", pull)
    (run,) = runs_of(deployed, pull, "build")
    assert (run["conclusion"], run["title"]) == ("skipped", "the policy does not run this action")


@pytest.mark.parametrize("gone", [False, True])
def test_nothing_of_a_fork_is_stored_and_its_report_is_made(deployed: Deployed, gone: bool) -> None:
    pull = deployed.github.open_pull_request({"a.txt": f"{uuid.uuid4()}\n"})
    pull = deployed.github.fork(pull.number, gone=gone)
    assert (deployed.run("synchronize", pull).output or {})["conclusion"] == "success"
    done = deployed.run("build", pull)
    assert (done.output or {})["artifacts"] == {}
    (run,) = runs_of(deployed, pull, "build")
    assert (run["conclusion"], run["title"]) == ("neutral", "not done for a pull request from a fork")


def test_a_forks_commit_is_built_once_somebody_who_may_push_has_approved_it(
    deployed: Deployed, with_policy: Callable[..., PullRequest]
) -> None:
    pull = with_policy('forks = "approve"\n', {"a.txt": f"{uuid.uuid4()}\n"})
    pull = deployed.github.fork(pull.number)
    deployed.run("build", pull)
    (waiting,) = runs_of(deployed, pull, "build")
    assert (waiting["conclusion"], [one["identifier"] for one in waiting["actions"]]) == (
        "action_required",
        ["approve"],
    )

    pressed(deployed, deployed.github.press(waiting["id"], "approve", login="mallory"))
    refused = runs_of(deployed, pull, "build")[-1]
    assert refused["conclusion"] == "action_required"
    assert "` mallory ` may not approve" in refused["summary"]

    done = pressed(deployed, deployed.github.press(refused["id"], "approve", login="octocat"))
    assert "bundle" in (done.output or {})["artifacts"]
    assert runs_of(deployed, pull, "build")[-1]["conclusion"] == "success"


def test_where_checks_are_not_permitted_a_status_is_set(deployed: Deployed, pull_request: PullRequest) -> None:
    deployed.github.fail(path="/check-runs$", method="POST", status=403)
    try:
        done = deployed.run("synchronize", pull_request)
    finally:
        deployed.github.clear_faults()
    assert (done.output or {})["conclusion"] == "success"
    assert runs_of(deployed, pull_request, "synchronize") == []
    shown = [one for one in deployed.github.statuses() if one["sha"] == pull_request.head_sha]
    assert [(one["kind"], one["state"]) for one in shown] == [("status", "pending"), ("status", "success")]


def test_an_annotation_that_github_refuses_costs_no_result(deployed: Deployed) -> None:
    pull = deployed.github.open_pull_request({"a.py": CONFLICT, "a.txt": f"{uuid.uuid4()}\n"})
    deployed.github.fail(path=r"/check-runs/\d+$", method="PATCH", status=422, times=1)
    deployed.run("synchronize", pull)
    (run,) = runs_of(deployed, pull, "synchronize")
    assert (run["conclusion"], run["annotations"]) == ("failure", [])
    assert "| ` a.py ` | 2 | failure |" in run["summary"]
