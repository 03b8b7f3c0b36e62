"""AWS refuses single calls of single functions for a while: IAM is enforced, so a denial is an outage on purpose."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from local.stack import SWEPT_HOOK
from tests.e2e.test_dead_work import delivered, describe, ended, in_mid_work, metrics, swept

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.github import PullRequest
    from tests.e2e.conftest import Deployed


pytestmark = pytest.mark.usefixtures("warm")


@contextlib.contextmanager
def denied(deployed: Deployed, role: str, action: str) -> Iterator[None]:
    """A function's role may not do one thing for a while."""
    iam = deployed.client("iam")
    (name,) = [one["RoleName"] for one in iam.list_roles(MaxItems=1000)["Roles"] if role in one["RoleName"]]
    statement = {"Effect": "Deny", "Action": action, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=name, PolicyName="outage", PolicyDocument=document)
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName=name, PolicyName="outage")


def token_of_the_last_heartbeat(deployed: Deployed) -> str:
    """The embedded AWS' own record of calls is where a token can be learned."""
    trail = deployed.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "SendTaskHeartbeat"}]
    )
    newest = max(trail["Events"], key=lambda one: json.loads(one["CloudTrailEvent"])["eventTime"])
    token: str = json.loads(newest["CloudTrailEvent"])["requestParameters"]["taskToken"]
    return token


def records(deployed: Deployed, prefix: str) -> set[str]:
    """The ids of the table's records of this kind."""
    items = deployed.client("dynamodb").scan(TableName=deployed.stack.info.idempotency_table)["Items"]
    return {item["id"]["S"] for item in items if item["id"]["S"].startswith(f"{prefix}#")}


def test_lost_heartbeats_are_counted_and_the_work_is_done(
    deployed: Deployed, pull_request: PullRequest, eventually: Any
) -> None:
    lost = metrics(deployed, "processor", "HeartbeatLost")
    with denied(deployed, "ProcessorFunctionRole", "states:SendTaskHeartbeat"):
        execution = ended(deployed, eventually, delivered(deployed, "synchronize", pull_request))
    assert execution["status"] == "SUCCEEDED"
    eventually(lambda: metrics(deployed, "processor", "HeartbeatLost") > lost)


def test_an_event_that_comes_again_is_not_worked_on_again_and_its_stored_result_ends_the_task(
    deployed: Deployed, pull_request: PullRequest, eventually: Any
) -> None:
    known = records(deployed, "task")
    deployed.github.fail(path=f"pulls/{pull_request.number}/files", delay=5, times=1)
    arn = delivered(deployed, "synchronize", pull_request)
    in_mid_work(deployed, eventually, pull_request)
    event = json.loads(describe(deployed, arn)["input"]) | {
        "taskToken": token_of_the_last_heartbeat(deployed),
        "execution": arn.rpartition(":")[2],
    }

    # While the work is done: neither a failure nor a second run.
    assert "FunctionError" not in deployed.invoke("ProcessorFunction", event)
    assert metrics(deployed, "processor", "IdempotencyInProgress") >= 1

    # While it is dispatched: as the record of the dispatch was a moment before.
    (dispatch,) = records(deployed, "task") - known
    deployed.client("dynamodb").update_item(
        TableName=deployed.stack.info.idempotency_table,
        Key={"id": {"S": dispatch}},
        UpdateExpression="SET #status = :in_progress, in_progress_expiration = :later",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={
            ":in_progress": {"S": "INPROGRESS"},
            ":later": {"N": str(int(time.time() * 1000) + 60_000)},
        },
    )
    assert "FunctionError" not in deployed.invoke("TaskFunction", event)
    assert metrics(deployed, "task", "IdempotencyInProgress") >= 1

    # The work is done, Step Functions does not take its end, and the crash function cannot tell it either.
    returned = metrics(deployed, "crash", "MessageReturned")
    with denied(deployed, "CrashFunctionRole", "states:SendTaskFailure"):
        with denied(deployed, "ProcessorFunctionRole", "states:SendTaskSuccess"):
            eventually(lambda: metrics(deployed, "crash", "MessageReturned") > returned)
        assert describe(deployed, arn)["status"] == "RUNNING"
        states = deployed.states(pull_request.head_sha)
        assert states == ["pending", "success"]
        hits = metrics(deployed, "processor", "IdempotencyHit")

        assert "FunctionError" not in deployed.invoke("ProcessorFunction", event)

        assert ended(deployed, eventually, arn)["status"] == "SUCCEEDED"
    assert metrics(deployed, "processor", "IdempotencyHit") == hits + 1
    assert deployed.states(pull_request.head_sha) == states


def test_a_delivery_that_cannot_be_started_stays_in_the_replay_queue(
    deployed: Deployed, pull_request: PullRequest, eventually: Any
) -> None:
    sqs, queue = deployed.client("sqs"), deployed.stack.info.replay_queue_url
    job = json.loads(describe(deployed, ended_arn(deployed, eventually, pull_request))["input"])
    returned = metrics(deployed, "replay", "MessageReturned")
    with denied(deployed, "ReplayFunctionRole", "states:StartExecution"):
        sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(job | {"delivery_id": str(uuid.uuid4())}))
        eventually(lambda: metrics(deployed, "replay", "MessageReturned") > returned)
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])
    assert attributes["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "1"
    sqs.purge_queue(QueueUrl=queue)


def ended_arn(deployed: Deployed, eventually: Any, pull_request: PullRequest) -> str:
    """An execution that has ended."""
    arn = delivered(deployed, "synchronize", pull_request)
    ended(deployed, eventually, arn)
    return arn


def test_a_status_that_cannot_be_closed_now_is_tried_again_later(
    deployed: Deployed, pull_request: PullRequest, eventually: Any
) -> None:
    sqs, queue = deployed.client("sqs"), deployed.stack.info.ended_executions_queue_url
    returned = metrics(deployed, "closing", "MessageReturned")
    deployed.github.fail(path=f"pulls/{pull_request.number}/files", delay=15, times=1)
    arn = delivered(deployed, "synchronize", pull_request)
    in_mid_work(deployed, eventually, pull_request)
    deployed.github.fail(path="check-runs", status=500)
    deployed.client("stepfunctions").stop_execution(executionArn=arn)
    eventually(lambda: metrics(deployed, "closing", "MessageReturned") > returned)
    assert deployed.states(pull_request.head_sha) == ["pending"]

    # It would come again after two minutes.
    deployed.github.clear_faults()
    message = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])
    assert int(message["Attributes"]["ApproximateNumberOfMessagesNotVisible"]) >= 1
    sqs.purge_queue(QueueUrl=queue)


def test_a_sweep_that_github_does_not_answer_fails_and_says_so(deployed: Deployed) -> None:
    deployed.github.fail(path="deliveries", status=500)
    event = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
    answer = deployed.invoke("SweeperFunction", event)
    assert json.loads(answer["Payload"].read())["errorType"] in ("SweepFailed", "Runtime.HandlerError")
    assert metrics(deployed, "sweeper", "SweepFailed") >= 1


def test_a_delivery_that_failed_at_every_redelivery_is_given_up(deployed: Deployed, pull_request: PullRequest) -> None:
    info, github = deployed.stack.info, deployed.github
    delivery_id = str(uuid.uuid4())
    github.set_hook("http://127.0.0.1:9", info.webhook_secret)
    github.deliver(deployed.body("synchronize", pull_request), guid=delivery_id, ago=600)
    github.set_hook(info.webhook_url, info.webhook_secret)
    # The ledger as it is after days of redeliveries, and no sweep has come past this delivery yet.
    dynamodb, table = deployed.client("dynamodb"), info.idempotency_table
    asked_at = int(time.time()) - 3600
    dynamodb.put_item(
        TableName=table,
        Item={
            "id": {"S": f"redelivery#{SWEPT_HOOK}#{delivery_id}"},
            **{name: {"N": str(asked_at)} for name in ("newest", "asked_at", "due_at")},
            "attempts": {"N": "7"},
        },
    )
    dynamodb.delete_item(TableName=table, Key={"id": {"S": f"sweep#{SWEPT_HOOK}"}})

    swept(deployed)

    # By this sweep, or by the schedule's a moment before.
    assert metrics(deployed, "sweeper", "SweepGivenUp") == 1
    assert not [one for one in github.deliveries() if one["guid"] == delivery_id and one["redelivery"]]
