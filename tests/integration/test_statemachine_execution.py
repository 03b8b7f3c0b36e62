"""The real definition in moto's interpreter, which keeps the limits of a callback task; AWS' own limits are checked in
tests/infrastructure."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from jsonata import Jsonata
from moto import mock_aws
from moto.stepfunctions.parser.asl.jsonata import jsonata as evaluator

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


@pytest.fixture
def stepfunctions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    # moto's evaluator of JSONata is an empty slot.
    monkeypatch.setattr(evaluator, "_eval_jsonata", lambda expression: Jsonata(expression).evaluate(None))
    config = {"stepfunctions": {"execute_state_machine": True}, "lambda": {"use_docker": False}}
    with mock_aws(config=config):  # type: ignore[call-overload]
        role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
        function = boto3.client("lambda").create_function(
            FunctionName="task", Runtime="python3.13", Role=role, Handler="x.y", Code={"ZipFile": b"zip"}
        )
        client = boto3.client("stepfunctions")
        definition = json.loads((ROOT / "statemachine/processor.asl.json").read_text())
        state = definition["States"]["ProcessPullRequest"]
        state["Arguments"]["FunctionName"] = function["FunctionArn"]
        # Only the waiting is shortened; what is waited for, and that it is, stays as it is.
        state["HeartbeatSeconds"], state["TimeoutSeconds"] = 2, 6
        for retrier in state["Retry"]:
            retrier["MaxAttempts"] = 0
        machine = client.create_state_machine(name="m", definition=json.dumps(definition), roleArn=role)
        yield client, machine["stateMachineArn"]


def ended(client: Any, arn: str, seconds: float) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        execution: dict[str, Any] = client.describe_execution(executionArn=arn)
        if execution["status"] != "RUNNING":
            return execution
        time.sleep(0.1)
    pytest.fail(f"the execution still runs after {seconds} s")


def test_an_execution_without_callback_ends_with_its_heartbeat(stepfunctions: Any, job_data: dict[str, Any]) -> None:
    client, machine = stepfunctions
    started = time.monotonic()
    arn = client.start_execution(stateMachineArn=machine, input=json.dumps(job_data))["executionArn"]
    execution = ended(client, arn, 10)
    assert execution["status"] in ("TIMED_OUT", "FAILED")
    assert 1.5 < time.monotonic() - started < 5, "the heartbeat ended it, not the time-out"
