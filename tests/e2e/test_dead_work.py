"""Work that dies in the deployed stack, and what becomes of it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from local.stack import workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.github import PullRequest
    from tests.e2e.conftest import Deployed


pytestmark = pytest.mark.usefixtures("warm")


def delivered(deployed: Deployed, action: str, pull_request: PullRequest, delivery_id: str | None = None) -> str:
    """Sends a delivery; returns the execution's ARN."""
    status, answer = deployed.send(deployed.body(action, pull_request), delivery_id=delivery_id)
    assert status in (200, 202), answer
    return deployed.execution_arn(answer["execution"])


def describe(deployed: Deployed, arn: str) -> dict[str, Any]:
    execution: dict[str, Any] = deployed.client("stepfunctions").describe_execution(executionArn=arn)
    return execution


def ended(deployed: Deployed, eventually: Any, arn: str) -> dict[str, Any]:
    """The execution as it is at its end."""
    eventually(lambda: describe(deployed, arn)["status"] != "RUNNING")
    return describe(deployed, arn)


def in_mid_work(deployed: Deployed, eventually: Any, pull_request: PullRequest) -> None:
    """Waits until the pending status is shown: from then on the fault holds the work up."""
    eventually(lambda: deployed.states(pull_request.head_sha)[-1:] == ["pending"])


def kill_processor(deployed: Deployed) -> int:
    """Kills every worker of the processor as the kernel does when memory runs out; returns how many there were."""
    processes = workers(deployed.stack.info, deployed.resource("ProcessorFunction"))
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return len(processes)


def metrics(deployed: Deployed, function: str, name: str) -> float:
    """The sum of a metric that a function has emitted so far."""
    return sum(sum(line[name]) for line in deployed.log_lines(function) if "_aws" in line and name in line)


def test_a_crash_reaches_the_execution_and_the_next_attempt_does_the_work(
    deployed: Deployed, pull_request: PullRequest, eventually: Any
) -> None:
    crashes = metrics(deployed, "crash", "CrashReported")
    deployed.github.fail(path=f"pulls/{pull_request.number}/files", delay=20, times=1)
    arn = delivered(deployed, "synchronize", pull_request)
    in_mid_work(deployed, eventually, pull_request)
    killed_at = time.monotonic()
    assert kill_processor(deployed)

    execution = ended(deployed, eventually, arn)

    assert time.monotonic() - killed_at < 15, "not by a heartbeat that is lost"
    assert (execution["status"], json.loads(execution["output"])["conclusion"]) == ("SUCCEEDED", "success")
    assert deployed.states(pull_request.head_sha) == ["pending", "success"]
    assert metrics(deployed, "crash", "CrashReported") == crashes + 1


def test_no_pull_request_is_left_hanging_when_every_attempt_dies(
    deployed: Deployed, pull_request: PullRequest, eventually: Any
) -> None:
    # The third attempt is the last one: Retry in the state machine.
    deployed.github.fail(path=f"pulls/{pull_request.number}/files", delay=20, times=3)
    arn = delivered(deployed, "synchronize", pull_request)
    in_mid_work(deployed, eventually, pull_request)
    stop = time.monotonic() + 45
    while describe(deployed, arn)["status"] == "RUNNING" and time.monotonic() < stop:
        time.sleep(0.7)
        kill_processor(deployed)
    died_at = time.monotonic()
    execution = describe(deployed, arn)
    assert (execution["status"], execution["error"]) == ("FAILED", "ProcessorCrashed")

    eventually(lambda: deployed.states(pull_request.head_sha) == ["pending", "error"])

    assert time.monotonic() - died_at < 60
    (closed,) = [one for one in deployed.github.statuses() if one["sha"] == pull_request.head_sha][1:]
    assert closed["description"] == "not finished: ProcessorCrashed"
    # It is kept for the operator, with its job.
    deployed.github.clear_faults()
    assert execution["name"] in dead_executions(deployed)


def dead_executions(deployed: Deployed) -> set[str]:
    """The names in the queue of dead work; the messages stay there."""
    sqs, url = deployed.client("sqs"), deployed.stack.info.dead_work_queue_url
    names: set[str] = set()
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=2).get("Messages"):
        names |= {json.loads(one["Body"]).get("detail", {}).get("name") for one in messages}
    return names


def test_an_aborted_execution_is_closed_and_its_zombie_writes_nothing_more(
    deployed: Deployed, pull_request: PullRequest, eventually: Any
) -> None:
    deployed.github.fail(path=f"pulls/{pull_request.number}/files", delay=4, times=1)
    arn = delivered(deployed, "synchronize", pull_request)
    in_mid_work(deployed, eventually, pull_request)
    refused = metrics(deployed, "processor", "WorkDeferred") + metrics(deployed, "processor", "CallbackRefused")

    deployed.client("stepfunctions").stop_execution(executionArn=arn, cause="an operator's decision")

    eventually(lambda: deployed.states(pull_request.head_sha) == ["pending", "error"])
    assert describe(deployed, arn)["status"] == "ABORTED"
    # The attempt goes on meanwhile, and finds that its work is in other hands.
    eventually(
        lambda: (
            metrics(deployed, "processor", "WorkDeferred") + metrics(deployed, "processor", "CallbackRefused") > refused
        )
    )
    assert deployed.states(pull_request.head_sha) == ["pending", "error"]
    assert describe(deployed, arn)["status"] == "ABORTED"


@pytest.mark.parametrize("action", ["synchronize", "build"])
def test_two_deliveries_of_one_event_at_once_are_one_piece_of_work(
    deployed: Deployed, pull_request: PullRequest, eventually: Any, action: str
) -> None:
    """An App and a repository hook, both configured: one push, two GUIDs."""
    held = "files" if action == "synchronize" else "tarball"
    deployed.github.fail(path=held, delay=2, times=1)
    arns: list[str] = []

    def deliver() -> None:
        arns.append(delivered(deployed, action, pull_request))

    threads = [threading.Thread(target=deliver) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    outputs = [json.loads(ended(deployed, eventually, arn)["output"]) for arn in arns]

    assert len(set(arns)) == 3
    assert {output["delivery_id"] for output in outputs} == {arn.rpartition(":")[2] for arn in arns}
    assert len({json.dumps({**output, "delivery_id": ""}, sort_keys=True) for output in outputs}) == 1
    assert deployed.states(pull_request.head_sha) == ["pending", "success"]
    if action == "build":
        listed = deployed.client("s3").list_objects_v2(
            Bucket=deployed.stack.info.artifact_bucket,
            Prefix=f"{pull_request.full_name}/{pull_request.head_sha}/",
        )
        assert listed["KeyCount"] == 2, "one bundle, one manifest"


def test_poison_in_any_queue_ends_in_quarantine(deployed: Deployed, eventually: Any) -> None:
    info, sqs = deployed.stack.info, deployed.client("sqs")
    marker = f"poison {uuid.uuid4()}"
    queues = {"crash": info.crash_queue_url, "ended": info.ended_executions_queue_url, "replay": info.replay_queue_url}
    for url in queues.values():
        sqs.send_message(QueueUrl=url, MessageBody=marker)
    found: dict[str, str] = {}

    def all_aside() -> bool:
        for one in sqs.receive_message(
            QueueUrl=info.quarantine_queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages", []):
            if one["Body"] == marker:
                attributes = {name: value["StringValue"] for name, value in one["MessageAttributes"].items()}
                found[attributes["source"]] = attributes["reason"]
        return len(found) == len(queues)

    eventually(all_aside)
    assert set(found.values()) == {"not JSON"}


@pytest.fixture
def archive(deployed: Deployed) -> Iterator[str]:
    """The archive of ended executions, which the embedded AWS makes through its API only; the template's otherwise."""
    events = deployed.client("events")
    rule = rule_of(deployed, "EndedExecutionsRule")
    arn = events.create_archive(
        ArchiveName="ended-executions",
        EventSourceArn=events.describe_event_bus(Name="default")["Arn"],
        EventPattern=rule["EventPattern"],
    )["ArchiveArn"]
    yield arn
    events.delete_archive(ArchiveName="ended-executions")


def rule_of(deployed: Deployed, logical_name: str) -> dict[str, Any]:
    """A rule of the template, as it was deployed."""
    resource = deployed.client("cloudformation").describe_stack_resource(
        StackName=deployed.stack.info.stack_name, LogicalResourceId=logical_name
    )["StackResourceDetail"]
    name = resource["PhysicalResourceId"].rpartition("/")[2]
    rule: dict[str, Any] = deployed.client("events").describe_rule(Name=name)
    return rule


def test_an_archived_event_is_replayed_and_does_what_is_left_to_do(
    deployed: Deployed, pull_request: PullRequest, archive: str, eventually: Any
) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1)
    deployed.github.fail(path=f"pulls/{pull_request.number}/files", status=403)
    arn = delivered(deployed, "synchronize", pull_request)
    assert ended(deployed, eventually, arn)["error"] == "GitHubRefused"
    eventually(lambda: deployed.states(pull_request.head_sha) == ["pending", "error"])
    deployed.github.clear_faults()
    events = deployed.client("events")

    def replay() -> None:
        events.start_replay(
            ReplayName=f"replay-{uuid.uuid4()}",
            EventSourceArn=archive,
            EventStartTime=began,
            EventEndTime=datetime.now(UTC) + timedelta(seconds=1),
            Destination={
                "Arn": events.describe_event_bus(Name="default")["Arn"],
                "FilterArns": [rule_of(deployed, "ReplayedExecutionsRule")["Arn"]],
            },
        )

    refused = metrics(deployed, "replay", "ReplayRefused")
    replay()
    eventually(lambda: deployed.states(pull_request.head_sha) == ["pending", "error", "pending", "success"])
    eventually(lambda: describe(deployed, f"{arn}-2")["status"] == "SUCCEEDED")
    # Once more: it has succeeded, so there is nothing to do; and the replayed event was not closed as a new end.
    replay()
    eventually(lambda: metrics(deployed, "replay", "ReplayRefused") == refused + 1)
    assert deployed.states(pull_request.head_sha) == ["pending", "error", "pending", "success"]


def test_a_delivery_that_the_webhook_missed_is_swept_up(
    deployed: Deployed, pull_request: PullRequest, eventually: Any
) -> None:
    info, github = deployed.stack.info, deployed.github
    delivery_id = str(uuid.uuid4())
    # Nobody listens there. Old enough that GitHub itself has done with it.
    github.set_hook("http://127.0.0.1:9", info.webhook_secret)
    missed = github.deliver(deployed.body("synchronize", pull_request), guid=delivery_id, ago=600)
    assert missed["status"] == "failed to connect to host"
    github.set_hook(info.webhook_url, info.webhook_secret)

    assert swept(deployed)["requested"] >= 1

    redelivered = [one for one in github.deliveries() if one["guid"] == delivery_id and one["redelivery"]]
    assert [one["status_code"] for one in redelivered] == [202]
    assert ended(deployed, eventually, deployed.execution_arn(delivery_id))["status"] == "SUCCEEDED"
    assert deployed.states(pull_request.head_sha) == ["pending", "success"]
    # What was delivered is not asked for again.
    swept(deployed)
    assert len([one for one in github.deliveries() if one["guid"] == delivery_id]) == 2


def swept(deployed: Deployed) -> dict[str, int]:
    """Runs the sweeper as its schedule does; returns what it says it did."""
    event = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}, "time": "2026-11-24T07:00:00Z"}
    answer = deployed.invoke("SweeperFunction", event)
    assert "FunctionError" not in answer, answer["Payload"].read()
    counts: dict[str, int] = json.loads(answer["Payload"].read())
    return counts
