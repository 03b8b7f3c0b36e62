"""What EventBridge loses, and the order in which Step Functions lists executions, on the deployed stack."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.github import PullRequest
    from tests.e2e.conftest import Deployed

pytestmark = pytest.mark.usefixtures("warm")

TICK = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}


@pytest.fixture
def impatient_watch(deployed: Deployed) -> Iterator[Callable[[], dict[str, Any]]]:
    """Runs the watch as it would run five minutes later."""
    functions, name = deployed.client("lambda"), deployed.resource("WatchFunction")
    found = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    # CloudFormation makes texts of numbers; the embedded AWS leaves them.
    variables = {key: str(value) for key, value in found.items()}
    changed = {**variables, "RECONCILE_AFTER_SECONDS": "1"}
    # The latest version, which nobody but this test invokes.
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": changed})
    yield lambda: functions.invoke(FunctionName=name, Payload=json.dumps(TICK).encode())
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})


def test_an_execution_whose_event_is_lost_is_closed_all_the_same_and_once(
    deployed: Deployed,
    pull_request: PullRequest,
    impatient_watch: Callable[[], dict[str, Any]],
    eventually: Callable[[Callable[[], Any]], Any],
) -> None:
    rule = deployed.resource("EndedExecutionsRule").rpartition("/")[2]
    deployed.client("events").disable_rule(Name=rule)
    try:
        deployed.github.fail(path=f"/pulls/{pull_request.number}/files$", status=403)
        done = deployed.run("synchronize", pull_request)
    finally:
        deployed.client("events").enable_rule(Name=rule)
    assert (done.status, done.error) == ("FAILED", "GitHubRefused")
    assert deployed.states(pull_request.head_sha, "synchronize") == ["pending"]

    def closed() -> bool:
        assert "FunctionError" not in impatient_watch()
        return deployed.states(pull_request.head_sha, "synchronize") == ["pending", "error"]

    eventually(closed)
    impatient_watch()
    handed_over = [line for line in deployed.log_lines("watch") if line.get("message") == "lost event handed over"]
    assert [line["execution"] for line in handed_over].count(done.delivery_id) == 1
    assert deployed.states(pull_request.head_sha, "synchronize") == ["pending", "error"]


def test_what_has_ended_is_listed_by_its_end(deployed: Deployed, pull_request: PullRequest) -> None:
    """As AWS documents it; the watch relies on it."""
    for _ in range(2):
        deployed.run("synchronize", pull_request)
    machine = deployed.stack.info.state_machine_arn
    listed = deployed.client("stepfunctions").list_executions(stateMachineArn=machine, maxResults=1000)["executions"]
    ends = [one["stopDate"] for one in listed if one["status"] != "RUNNING"]
    assert len(ends) > 2
    assert ends == sorted(ends, reverse=True)
