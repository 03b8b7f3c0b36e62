"""Executions whose event EventBridge lost, on moto's table and queues."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from shared.dead_work import read
from shared.ended import HANDING_OVER_SECONDS, EndedExecutions, EndedRecordUnavailable
from shared.job import Job
from shared.metrics import Metric
from shared.work_key import work_key
from tests.support import CountingTelemetry
from watch.reconcile import MAX_LOOKED_AT, MAY_WAIT, WITHIN, HandOverFailed, Reconciliation

if TYPE_CHECKING:
    from tests.integration.conftest import Account

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
AFTER = timedelta(minutes=5)
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:pullback-processor"


class StepFunctions:
    """Describes executions, as often as it is asked."""

    def __init__(self, job: str) -> None:
        self.job = job
        self.asked = 0
        self.fails: ClientError | None = None

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803 - AWS's name
        if self.fails:
            raise self.fails
        self.asked += 1
        return {**ended(executionArn.rpartition(":")[2]), "input": self.job, "error": "GitHubRefused", "cause": "{}"}


def ended(name: str, status: str = "FAILED", minutes_ago: float = 10) -> dict[str, Any]:
    stopped = NOW - timedelta(minutes=minutes_ago)
    return {
        "executionArn": f"{MACHINE.replace('stateMachine', 'execution')}:{name}",
        "stateMachineArn": MACHINE,
        "name": name,
        "status": status,
        "startDate": stopped - timedelta(minutes=1),
        "stopDate": stopped,
    }


class Stage:
    def __init__(self, account: Account, job_data: dict[str, Any]) -> None:
        self.job = Job.read(job_data)
        self.sqs = boto3.client("sqs")
        self.dynamodb = boto3.client("dynamodb")
        self.queues = [self.sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("ended", "dead")]
        self.stepfunctions = StepFunctions(self.job.to_json())
        self.telemetry = CountingTelemetry()
        self.now = NOW.timestamp()
        self.ended = EndedExecutions("idempotency", self.dynamodb, lambda: self.now)
        self.reconciliation = Reconciliation(
            self.ended, self.stepfunctions, self.sqs, self.queues[0], self.queues, self.telemetry
        )

    def run(self, *executions: dict[str, Any]) -> int:
        return self.reconciliation.run(executions, NOW, AFTER)

    def taken(self) -> list[list[Any]]:
        """What is in each queue; it is empty then."""
        found = []
        for url in self.queues:
            messages = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
            for one in messages:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
            found.append([one["Body"] for one in messages])
        return found


@pytest.fixture
def stage(account: Account, job_data: dict[str, Any]) -> Stage:
    return Stage(account, job_data)


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_a_lost_event_is_handed_over_once_as_eventbridge_would_have_sent_it(stage: Stage, status: str) -> None:
    one = ended("lost", status)
    assert stage.run(one) == 1

    (closing,), (dead,) = stage.taken()
    assert closing == dead
    found = read(closing)
    assert (found.shape, found.execution, found.job) == ("execution", "lost", stage.job)
    assert (found.status, found.error) == ("FAILED", "GitHubRefused")
    assert found.ended_at == one["stopDate"]
    assert stage.telemetry.counted[Metric.EXECUTION_RECONCILED] == 1

    assert stage.run(one) == 0
    assert stage.taken() == [[], []]


def test_an_event_that_arrived_is_not_lost(stage: Stage) -> None:
    stage.ended.arrived("known")
    assert stage.run(ended("known")) == 0
    assert stage.stepfunctions.asked == 0


@pytest.mark.parametrize(
    "one",
    [
        ended("young", minutes_ago=4),
        ended("old", minutes_ago=WITHIN.total_seconds() / 60 + 1),
        ended("good", "SUCCEEDED"),
        {**ended("runs", "RUNNING")},
    ],
    ids=lambda one: one["name"],
)
def test_what_may_still_arrive_or_ended_well_is_left_alone(stage: Stage, one: dict[str, Any]) -> None:
    assert stage.run(one) == 0
    assert stage.taken() == [[], []]


def test_what_waits_in_the_queue_may_be_the_event(stage: Stage) -> None:
    stage.sqs.send_message(QueueUrl=stage.queues[0], MessageBody="an event")
    assert stage.run(ended("waits")) == 0
    stage.taken()
    assert stage.run(ended("waits")) == 1


def test_what_waits_for_too_long_is_handed_over_before_it_is_too_old(stage: Stage) -> None:
    """A queue that is never empty for two hours must not lose what EventBridge lost meanwhile."""
    stage.sqs.send_message(QueueUrl=stage.queues[0], MessageBody="an event")
    minutes = MAY_WAIT.total_seconds() / 60
    assert stage.run(ended("young", minutes_ago=minutes - 1), ended("old", minutes_ago=minutes)) == 1
    _, (dead,) = stage.taken()
    assert read(dead).execution == "old"


@pytest.mark.parametrize("phase", ["reported", "closed"])
def test_work_whose_end_is_shown_needs_nobody(stage: Stage, phase: str) -> None:
    stage.dynamodb.put_item(TableName="idempotency", Item={"id": {"S": work_key(stage.job)}, "phase": {"S": phase}})
    assert stage.run(ended("shown")) == 0
    assert stage.taken() == [[], []]
    assert Metric.EXECUTION_RECONCILED not in stage.telemetry.counted
    # And is not looked at again.
    stage.run(ended("shown"))
    assert stage.stepfunctions.asked == 1


def test_work_that_is_in_no_end_is_handed_over(stage: Stage) -> None:
    stage.dynamodb.put_item(TableName="idempotency", Item={"id": {"S": work_key(stage.job)}, "phase": {"S": "working"}})
    assert stage.run(ended("hangs")) == 1


def test_an_execution_that_somebody_started_by_hand_with_no_job_is_nobodys(stage: Stage) -> None:
    stage.stepfunctions.job = "{}"
    assert stage.run(ended("by-hand")) == 0
    assert stage.taken() == [[], []]


def test_a_hand_over_that_was_broken_off_is_done_again_a_little_later(stage: Stage) -> None:
    stage.stepfunctions.fails = ClientError({"Error": {"Code": "ThrottlingException", "Message": "canary"}}, "x")
    with pytest.raises(HandOverFailed, match=r"^ThrottlingException$"):
        stage.run(ended("one"))
    stage.stepfunctions.fails = None

    # Whoever began it may still be at it.
    assert stage.run(ended("one")) == 0
    stage.now += HANDING_OVER_SECONDS + 1
    assert stage.run(ended("one")) == 1


def test_two_watches_at_once_hand_over_once(stage: Stage) -> None:
    assert stage.ended.take("one")
    assert not stage.ended.take("one")


def test_many_are_handed_over_in_parts_the_oldest_first(stage: Stage) -> None:
    many = [ended(f"one-{number}", minutes_ago=6 + number / 10) for number in range(MAX_LOOKED_AT + 150)]
    assert stage.ended.unknown([one["name"] for one in many]) == {one["name"] for one in many}
    assert stage.run(*many) == MAX_LOOKED_AT
    oldest = {one["name"] for one in many[-MAX_LOOKED_AT:]}
    assert not stage.ended.unknown(oldest)


def test_a_table_that_is_away_is_said(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "InternalServerError", "Message": "canary"}}, "x")

    for call in ("batch_get_item", "update_item", "get_item"):
        monkeypatch.setattr(stage.dynamodb, call, away)
    for ask in (
        lambda: stage.ended.unknown(["one"]),
        lambda: stage.ended.arrived("one"),
        lambda: stage.ended.take("one"),
        lambda: stage.ended.is_shown(stage.job),
    ):
        with pytest.raises(EndedRecordUnavailable, match=r"^InternalServerError$"):
            ask()


def test_what_the_table_leaves_out_for_now_is_not_lost(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 - AWS's name
        return {"Responses": {}, "UnprocessedKeys": RequestItems}

    monkeypatch.setattr(stage.dynamodb, "batch_get_item", busy)
    assert stage.ended.unknown(["one"]) == set()


def test_the_event_is_the_contracts(stage: Stage) -> None:
    stage.run(ended("lost"))
    (body,), _ = stage.taken()
    event = json.loads(body)
    assert (event["source"], event["account"], event["region"]) == ("aws.states", "123456789012", "us-east-1")
    assert json.loads(event["detail"]["input"]) == json.loads(stage.job.to_json())
