"""The replay function on moto's Step Functions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from shared.job import Job
from tests.dead_work import destination_record, replayed_event, sqs_event, status_event, task_event
from tests.support import DELIVERY_ID, LambdaContext

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from tests.integration.conftest import Account

TRACE = "1-6b04304e-ad252400117ad4ca70882da4"


@pytest.fixture
def replay(account: Account) -> ModuleType:
    return account.handler("replay.handler")


def consumed(handler: ModuleType, *bodies: object, **attributes: str) -> list[str]:
    answer = handler.lambda_handler(sqs_event(*bodies, queue="replay", **attributes), LambdaContext())
    return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


def executions(account: Account) -> dict[str, str]:
    found = boto3.client("stepfunctions").list_executions(stateMachineArn=account.state_machine_arn)["executions"]
    return {one["name"]: one["status"] for one in found}


def ended(account: Account, job: dict[str, Any], name: str = DELIVERY_ID) -> None:
    """An execution of the job that was aborted."""
    client = boto3.client("stepfunctions")
    arn = client.start_execution(stateMachineArn=account.state_machine_arn, name=name, input=Job.read(job).to_json())[
        "executionArn"
    ]
    client.stop_execution(executionArn=arn)


SHAPES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "destination record": destination_record,
    "dead letter": task_event,
    "status event": status_event,
    "archive replay": replayed_event,
    "kept delivery": lambda job: job,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_starts_its_job_as_a_new_attempt(
    replay: ModuleType, account: Account, job_data: dict[str, Any], shape: str
) -> None:
    ended(account, job_data)
    assert consumed(replay, SHAPES[shape](job_data)) == []
    assert executions(account) == {DELIVERY_ID: "ABORTED", f"{DELIVERY_ID}-2": "RUNNING"}
    arn = account.state_machine_arn.replace("stateMachine", "execution") + f":{DELIVERY_ID}-2"
    started = json.loads(boto3.client("stepfunctions").describe_execution(executionArn=arn)["input"])
    # The job alone: the token is dead.
    assert started == job_data
    assert started["delivery_id"] == DELIVERY_ID


@pytest.mark.parametrize("shape", SHAPES)
def test_what_never_started_starts_under_its_own_name(
    replay: ModuleType, account: Account, job_data: dict[str, Any], shape: str
) -> None:
    assert consumed(replay, SHAPES[shape](job_data)) == []
    assert executions(account) == {DELIVERY_ID: "RUNNING"}


def test_what_runs_is_not_started_again(
    replay: ModuleType, account: Account, job_data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    consumed(replay, job_data)
    # moto starts what has the same name and input once more; AWS answers with what runs. Here: as if it were closed.
    client = replay.stepfunctions

    def taken(**_: Any) -> None:
        raise client.exceptions.ExecutionAlreadyExists({"Error": {"Code": "ExecutionAlreadyExists"}}, "StartExecution")

    monkeypatch.setattr(client, "start_execution", taken)
    assert consumed(replay, status_event(job_data)) == []
    assert executions(account) == {DELIVERY_ID: "RUNNING"}


def test_the_same_message_twice_starts_one_attempt(
    replay: ModuleType, account: Account, job_data: dict[str, Any]
) -> None:
    ended(account, job_data)
    assert consumed(replay, status_event(job_data), status_event(job_data)) == []
    assert set(executions(account)) == {DELIVERY_ID, f"{DELIVERY_ID}-2"}


def test_a_job_without_attempts_left_is_put_aside(
    replay: ModuleType, account: Account, job_data: dict[str, Any]
) -> None:
    for name in (DELIVERY_ID, *(f"{DELIVERY_ID}-{number}" for number in range(2, 11))):
        ended(account, job_data, name)
    assert consumed(replay, status_event(job_data)) == []
    (aside,) = account.quarantined()
    assert "every attempt" in aside["MessageAttributes"]["reason"]["StringValue"]


def test_poison_is_put_aside_and_the_others_start(
    replay: ModuleType, account: Account, job_data: dict[str, Any]
) -> None:
    assert consumed(replay, "{", job_data, {"action": "build"}) == []
    assert executions(account) == {DELIVERY_ID: "RUNNING"}
    assert sorted(one["Body"] for one in account.quarantined()) == ["{", '{"action": "build"}']


def test_when_step_functions_is_away_the_message_comes_again(
    replay: ModuleType, account: Account, job_data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = f"{account.state_machine_arn}-absent"
    with monkeypatch.context() as outage:
        outage.setattr(replay.executions, "_state_machine_arn", absent)
        assert consumed(replay, job_data, "{") == ["message-0"]
    assert consumed(replay, job_data) == []
    assert executions(account) == {DELIVERY_ID: "RUNNING"}


@pytest.mark.parametrize("source", ["message", "execution"])
def test_the_trace_is_linked(
    replay: ModuleType,
    account: Account,
    job_data: dict[str, Any],
    source: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended(account, job_data)
    header = f"Root={TRACE};Parent=0123456789abcdef;Sampled=1"
    attributes = {"AWSTraceHeader": header} if source == "message" else {}
    monkeypatch.setattr(replay.stepfunctions, "describe_execution", _with_trace(replay.stepfunctions, header))
    consumed(replay, status_event(job_data), **attributes)
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"replayed"' in line]
    assert (line["follows_trace"], line["delivery_id"]) == (TRACE, DELIVERY_ID)


def _with_trace(client: Any, header: str) -> Any:
    describe = client.describe_execution
    return lambda **call: {**describe(executionArn=call["executionArn"]), "traceHeader": header}


def test_a_trace_that_is_not_found_is_no_obstacle(
    replay: ModuleType, account: Account, job_data: dict[str, Any]
) -> None:
    # The execution's ARN of the event is not of this account's machine.
    assert consumed(replay, status_event(job_data, executionArn="arn:aws:states:us-east-1:1:execution:x:y")) == []
    assert executions(account) == {DELIVERY_ID: "RUNNING"}
