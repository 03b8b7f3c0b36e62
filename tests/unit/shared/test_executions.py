from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from msgspec import structs

from shared.executions import EXECUTION_LIMIT, Executions, ExecutionsExhausted, ExecutionsUnavailable
from shared.job import Job

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:pullback-processor"
NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def arn(name: str) -> str:
    return f"{MACHINE.replace(':stateMachine:', ':execution:')}:{name}"


class StepFunctions:
    """Step Functions as it answers on AWS: the same name and input while running is the same execution."""

    def __init__(self) -> None:
        self.client = boto3.client("stepfunctions", region_name="us-east-1")
        self.stub = Stubber(self.client)
        self.stub.activate()

    def started(self, name: str, job: Job, at: datetime = NOW) -> None:
        request = {"stateMachineArn": MACHINE, "name": name, "input": job.to_json()}
        self.stub.add_response("start_execution", {"executionArn": arn(name), "startDate": at}, request)

    def exists(self, name: str, job: Job, status: str, output: str | None = None) -> None:
        request = {"stateMachineArn": MACHINE, "name": name, "input": job.to_json()}
        self.stub.add_client_error("start_execution", "ExecutionAlreadyExists", expected_params=request)
        answer: dict[str, Any] = {
            "executionArn": arn(name),
            "stateMachineArn": MACHINE,
            "status": status,
            "startDate": NOW,
        }
        if output is not None:
            answer["output"] = output
        self.stub.add_response("describe_execution", answer, {"executionArn": arn(name)})


@pytest.fixture
def stepfunctions() -> StepFunctions:
    return StepFunctions()


@pytest.fixture
def executions(stepfunctions: StepFunctions) -> Executions:
    return Executions(MACHINE, stepfunctions.client, now=lambda: NOW)


@pytest.fixture
def job(job_data: dict[str, Any]) -> Job:
    return Job.read(job_data)


def test_the_name_is_the_delivery(stepfunctions: StepFunctions, executions: Executions, job: Job) -> None:
    stepfunctions.started(job.delivery_id, job)
    start = executions.start(job)
    assert (start.result, start.name, start.arn) == ("started", job.delivery_id, arn(job.delivery_id))
    stepfunctions.stub.assert_no_pending_responses()


def test_the_answer_for_a_running_execution_is_a_duplicate(
    stepfunctions: StepFunctions, executions: Executions, job: Job
) -> None:
    stepfunctions.started(job.delivery_id, job, at=NOW - timedelta(seconds=3))
    assert executions.start(job).result == "duplicate"


@pytest.mark.parametrize("status", ["RUNNING", "SUCCEEDED", "PENDING_REDRIVE"])
def test_running_or_succeeded_is_a_duplicate(
    stepfunctions: StepFunctions, executions: Executions, job: Job, status: str
) -> None:
    stepfunctions.exists(job.delivery_id, job, status)
    start = executions.start(job)
    assert (start.result, start.name) == ("duplicate", job.delivery_id)
    stepfunctions.stub.assert_no_pending_responses()


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_a_failed_one_is_restarted(stepfunctions: StepFunctions, executions: Executions, job: Job, status: str) -> None:
    stepfunctions.exists(job.delivery_id, job, status)
    stepfunctions.started(f"{job.delivery_id}-2", job)
    start = executions.start(job)
    assert (start.result, start.name) == ("restarted", f"{job.delivery_id}-2")
    stepfunctions.stub.assert_no_pending_responses()


def test_a_duplicate_of_a_restarted_one_is_a_duplicate(
    stepfunctions: StepFunctions, executions: Executions, job: Job
) -> None:
    stepfunctions.exists(job.delivery_id, job, "FAILED")
    stepfunctions.exists(f"{job.delivery_id}-2", job, "SUCCEEDED")
    start = executions.start(job)
    assert (start.result, start.name) == ("duplicate", f"{job.delivery_id}-2")


def test_attempts_are_bounded(stepfunctions: StepFunctions, executions: Executions, job: Job) -> None:
    for attempt in range(1, EXECUTION_LIMIT + 1):
        name = job.delivery_id if attempt == 1 else f"{job.delivery_id}-{attempt}"
        stepfunctions.exists(name, job, "FAILED")
    with pytest.raises(ExecutionsExhausted):
        executions.start(job)
    stepfunctions.stub.assert_no_pending_responses()


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalFailure", "AccessDeniedException"])
def test_any_other_answer_is_unavailability(
    stepfunctions: StepFunctions, executions: Executions, job: Job, code: str
) -> None:
    stepfunctions.stub.add_client_error("start_execution", code)
    with pytest.raises(ExecutionsUnavailable, match=code):
        executions.start(job)


def test_the_longest_name_is_legal(stepfunctions: StepFunctions, executions: Executions, job: Job) -> None:
    longest = structs.replace(job, delivery_id="d" * 64)
    for attempt in range(1, EXECUTION_LIMIT):
        stepfunctions.exists("d" * 64 if attempt == 1 else f"{'d' * 64}-{attempt}", longest, "FAILED")
    stepfunctions.started(f"{'d' * 64}-{EXECUTION_LIMIT}", longest)
    assert len(executions.start(longest).name) <= 80


def test_a_commit_that_was_taken_for_superseded_can_be_delivered_again(
    stepfunctions: StepFunctions, executions: Executions, job: Job
) -> None:
    stepfunctions.exists(job.delivery_id, job, "SUCCEEDED", '{"conclusion":"cancelled"}')
    stepfunctions.started(f"{job.delivery_id}-2", job)
    assert executions.start(job).result == "restarted"


@pytest.mark.parametrize("output", [None, "", "no json", "[]", '{"conclusion":"failure"}'])
def test_any_other_success_is_a_duplicate(
    stepfunctions: StepFunctions, executions: Executions, job: Job, output: str | None
) -> None:
    stepfunctions.exists(job.delivery_id, job, "SUCCEEDED", output)
    assert executions.start(job).result == "duplicate"
