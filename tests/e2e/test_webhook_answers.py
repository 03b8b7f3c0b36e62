"""Every row of the table of answers in README.md, from the deployed stack."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import requests

from local.github import deliveries
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.flow import Flow
    from tests.e2e.conftest import Deployed


@pytest.fixture
def nothing_started(deployed: Deployed) -> Iterator[None]:
    """Checks that the test started no execution."""
    stepfunctions, machine = deployed.client("stepfunctions"), deployed.stack.info.state_machine_arn

    def names() -> set[str]:
        pages = stepfunctions.get_paginator("list_executions").paginate(stateMachineArn=machine)
        return {one["name"] for page in pages for one in page["executions"]}

    before = names()
    yield
    assert names() == before


@pytest.mark.parametrize("payload_action", ["synchronize", "opened", "reopened"])
def test_a_push_starts_synchronize(deployed: Deployed, payload_action: str) -> None:
    delivery_id = str(uuid.uuid4())
    status, answer = deployed.send(deployed.body("synchronize", action=payload_action), delivery_id=delivery_id)
    assert (status, answer) == (202, {"result": "started", "execution": delivery_id})
    execution = deployed.client("stepfunctions").describe_execution(executionArn=deployed.execution_arn(delivery_id))
    assert json.loads(execution["input"])["action"] == "synchronize"


def test_build_starts_build(deployed: Deployed, build: Flow) -> None:
    assert (build.http_status, build.answer["result"]) == (202, "started")
    execution = deployed.client("stepfunctions").describe_execution(executionArn=build.execution_arn)
    assert json.loads(execution["input"])["action"] == "build"


def test_a_redelivery_of_a_succeeded_one_is_a_duplicate(deployed: Deployed, synchronize: Flow) -> None:
    status, answer = deployed.send(deployed.body("synchronize"), delivery_id=synchronize.delivery_id)
    assert (status, answer) == (200, {"result": "duplicate", "execution": synchronize.delivery_id})


def test_a_redelivery_of_a_running_one_is_a_duplicate_and_of_an_aborted_one_a_restart(
    deployed: Deployed, eventually: Callable[[Callable[[], Any]], Any]
) -> None:
    stepfunctions, delivery_id = deployed.client("stepfunctions"), str(uuid.uuid4())
    body, arn = deployed.body("synchronize"), deployed.execution_arn(delivery_id)
    deployed.github.fail(path="/pulls/", delay=3.0)
    try:
        assert deployed.send(body, delivery_id=delivery_id)[1]["result"] == "started"
        assert deployed.send(body, delivery_id=delivery_id) == (
            200,
            {"result": "duplicate", "execution": delivery_id},
        )
        assert stepfunctions.describe_execution(executionArn=arn)["status"] == "RUNNING"
        stepfunctions.stop_execution(executionArn=arn)
    finally:
        deployed.github.clear_faults()
    assert stepfunctions.describe_execution(executionArn=arn)["status"] == "ABORTED"
    status, answer = deployed.send(body, delivery_id=delivery_id)
    assert (status, answer) == (202, {"result": "restarted", "execution": f"{delivery_id}-2"})
    restarted = deployed.execution_arn(f"{delivery_id}-2")
    eventually(lambda: stepfunctions.describe_execution(executionArn=restarted)["status"] == "SUCCEEDED")
    assert deployed.send(body, delivery_id=delivery_id) == (
        200,
        {"result": "duplicate", "execution": f"{delivery_id}-2"},
    )


def test_a_failed_one_is_restarted(deployed: Deployed) -> None:
    pull_request = deployed.github.open_pull_request({"refused.txt": f"{uuid.uuid4()}\n"})
    deployed.github.fail(path=f"/pulls/{pull_request.number}$", status=403)
    body, delivery_id = deployed.body("synchronize", pull_request), str(uuid.uuid4())
    assert deployed.send(body, delivery_id=delivery_id)[1]["result"] == "started"
    stepfunctions, arn = deployed.client("stepfunctions"), deployed.execution_arn(delivery_id)
    execution = _ended(stepfunctions, arn)
    assert (execution["status"], execution["error"]) == ("FAILED", "GitHubRefused")
    assert json.loads(execution["cause"])["error"] == "GitHubRefused"
    deployed.github.clear_faults()
    status, answer = deployed.send(body, delivery_id=delivery_id)
    assert (status, answer) == (202, {"result": "restarted", "execution": f"{delivery_id}-2"})


def _ended(stepfunctions: Any, arn: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        execution: dict[str, Any] = stepfunctions.describe_execution(executionArn=arn)
        if execution["status"] != "RUNNING":
            return execution
        time.sleep(0.1)
    pytest.fail("the execution still runs")


@pytest.mark.usefixtures("nothing_started")
class TestNothingIsStarted:
    def test_by_a_ping(self, deployed: Deployed) -> None:
        body = (ROOT / "events/ping.json").read_bytes()
        assert deployed.send(body, event="ping") == (200, {"result": "pong"})

    @pytest.mark.parametrize(("event", "payload_action"), [("push", "x"), ("pull_request", "labeled")])
    def test_by_what_triggers_nothing(self, deployed: Deployed, event: str, payload_action: str) -> None:
        status, answer = deployed.send(deployed.body("synchronize", action=payload_action), event=event)
        assert (status, answer["result"]) == (202, "ignored")
        assert answer["reason"]

    @pytest.mark.parametrize(
        "signature", [None, "", "sha256=", "nonsense", "sha256=" + "0" * 64, "sha256=\u00e9".encode().decode("latin-1")]
    )
    def test_by_a_wrong_signature(self, deployed: Deployed, signature: str | None) -> None:
        status, answer = deployed.send(deployed.body("build"), X_Hub_Signature_256=signature)
        assert (status, answer["result"]) == (401, "unauthorized")

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            (b"{", "body"),
            (b"[]", "body"),
            (b'{"action": "build"}', "repository"),
            (b'{"action": ["build"]}', "action"),
        ],
    )
    def test_by_a_body_that_is_no_delivery(self, deployed: Deployed, body: bytes, field: str) -> None:
        status, answer = deployed.send(body)
        assert (status, answer["result"], answer["field"]) == (400, "invalid", field)

    @pytest.mark.parametrize("missing", ["pull_request", "repository"])
    def test_by_a_missing_part(self, deployed: Deployed, missing: str) -> None:
        payload = json.loads(deployed.body("build"))
        del payload[missing]
        status, answer = deployed.send(json.dumps(payload).encode())
        assert (status, answer["field"]) == (400, missing)

    def test_by_a_wrong_type_which_is_not_quoted(self, deployed: Deployed) -> None:
        payload = json.loads(deployed.body("build"))
        payload["pull_request"]["number"] = "canary"
        status, answer = deployed.send(json.dumps(payload).encode())
        assert (status, answer["field"]) == (400, "pull_request.number")
        assert "canary" not in json.dumps(answer)

    def test_by_a_form(self, deployed: Deployed) -> None:
        status, answer = deployed.send(b"payload=%7B%7D", Content_Type="application/x-www-form-urlencoded")
        assert status == 415
        assert "application/json" in answer["message"]

    @pytest.mark.parametrize("size", [5_000_001, 7_000_000])
    def test_by_too_large_a_body(self, deployed: Deployed, size: int) -> None:
        status, answer = deployed.send(b'"' + b"x" * (size - 2) + b'"')
        assert (status, answer["result"]) == (413, "too_large")

    def test_while_step_functions_and_the_queue_refuse(self, deployed: Deployed) -> None:
        with without(deployed, "states:StartExecution", "sqs:SendMessage"):
            assert_unavailable(deployed)

    def test_while_secrets_manager_refuses(self, deployed: Deployed) -> None:
        with without(deployed, "secretsmanager:GetSecretValue"), cold(deployed, "WebhookFunction"):
            assert_unavailable(deployed)


def test_a_delivery_that_cannot_be_started_is_queued_and_runs_later_once(
    deployed: Deployed, eventually: Callable[[Callable[[], Any]], Any]
) -> None:
    delivery_id, pull_request = str(uuid.uuid4()), deployed.github.open_pull_request({"queued.txt": "queued\n"})
    stepfunctions, machine = deployed.client("stepfunctions"), deployed.stack.info.state_machine_arn
    with without(deployed, "states:StartExecution"):
        status, answer = deployed.send(deployed.body("build", pull_request), delivery_id=delivery_id)
        assert (status, answer["result"]) == (202, "queued")
    # The replay function has the permission under a role of its own.
    arn = deployed.execution_arn(delivery_id)
    eventually(lambda: _status(stepfunctions, arn) == "SUCCEEDED")
    pages = stepfunctions.get_paginator("list_executions").paginate(stateMachineArn=machine)
    names = [one["name"] for page in pages for one in page["executions"]]
    assert [name for name in names if name.startswith(delivery_id)] == [delivery_id]
    assert deployed.states(pull_request.head_sha) == ["pending", "success"]
    # The replay function's trace begins anew, and says which one it follows.
    (replayed,) = [one for one in deployed.log_lines("replay") if one.get("delivery_id") == delivery_id]
    webhook = [one for one in deployed.segments(delivery_id) if one.service == "webhook"]
    assert replayed["follows_trace"] in {one.trace_id for one in webhook}


def _status(stepfunctions: Any, arn: str) -> str | None:
    try:
        status: str = stepfunctions.describe_execution(executionArn=arn)["status"]
    except stepfunctions.exceptions.ExecutionDoesNotExist:
        return None
    return status


def assert_unavailable(deployed: Deployed) -> None:
    info, body = deployed.stack.info, deployed.body("build")
    headers = deliveries.headers("pull_request", str(uuid.uuid4()), deliveries.sign(info.webhook_secret, body))
    response = requests.post(info.webhook_url, data=body, headers=headers, timeout=15)
    assert (response.status_code, response.json()["result"]) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0


@contextlib.contextmanager
def without(deployed: Deployed, *actions: str) -> Iterator[None]:
    """Takes permissions of the webhook's role away for a while, which also shows that IAM is enforced."""
    iam = deployed.client("iam")
    names = [one["RoleName"] for one in iam.list_roles(MaxItems=1000)["Roles"]]
    (role,) = [name for name in names if "WebhookFunctionRole" in name]
    policy = iam.get_role_policy(RoleName=role, PolicyName="webhook")["PolicyDocument"]
    policy = json.loads(policy) if isinstance(policy, str) else policy
    less = {**policy, "Statement": [one for one in policy["Statement"] if one["Action"] not in actions]}
    assert len(policy["Statement"]) - len(less["Statement"]) == len(actions)
    iam.put_role_policy(RoleName=role, PolicyName="webhook", PolicyDocument=json.dumps(less))
    try:
        yield
    finally:
        iam.put_role_policy(RoleName=role, PolicyName="webhook", PolicyDocument=json.dumps(policy))


@contextlib.contextmanager
def cold(deployed: Deployed, function: str) -> Iterator[None]:
    """Points the alias to a new version for a while, so that nothing is cached."""
    client = deployed.client("lambda")
    name = deployed.resource(function)
    before = client.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
    client.update_function_configuration(FunctionName=name, Description=f"cold {uuid.uuid4()}")
    version = client.publish_version(FunctionName=name)["Version"]
    assert version != before
    client.update_alias(FunctionName=name, Name="live", FunctionVersion=version)
    try:
        yield
    finally:
        client.update_alias(FunctionName=name, Name="live", FunctionVersion=before)
