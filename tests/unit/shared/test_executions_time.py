"""The webhook's two times: how long it looks for a free name, and what it takes for an execution of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.executions import EXECUTION_LIMIT, Executions, ExecutionsExhausted, ExecutionsUnavailable
from shared.job import Job

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:pullback-processor"
NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class ExecutionAlreadyExists(Exception):
    """As boto3 raises it."""


class StepFunctions:
    """Has failed executions of the first names, so that looking for the free one takes time.

    Args:
        failed: how many names are taken.
        takes: time that a look at each of them takes.
        began: by how much the date of the execution it starts differs from the caller's clock.
    """

    class exceptions:  # noqa: N801 # as a client has it
        ExecutionAlreadyExists = ExecutionAlreadyExists

    def __init__(
        self, failed: int = 0, takes: timedelta = timedelta(), began: timedelta = timedelta(), status: str = "FAILED"
    ) -> None:
        self.now = NOW
        self.asked: list[str] = []
        self._failed = failed
        self._takes = takes
        self._began = began
        self._status = status

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> dict[str, Any]:  # noqa: A002, N803
        self.asked.append(name)
        if len(self.asked) <= self._failed:
            raise ExecutionAlreadyExists
        return {"executionArn": f"arn of {name}", "startDate": self.now + self._began}

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:  # noqa: N803
        self.now += self._takes
        return {"status": self._status}


@pytest.fixture
def job(job_data: dict[str, Any]) -> Job:
    return Job.read(job_data)


def started(stepfunctions: StepFunctions, job: Job) -> str:
    return Executions(MACHINE, stepfunctions, now=lambda: stepfunctions.now).start(job).result


@pytest.mark.parametrize("late", [timedelta(), timedelta(milliseconds=500)])
def test_an_execution_as_old_as_clocks_differ_is_a_new_one(job: Job, late: timedelta) -> None:
    assert started(StepFunctions(began=-late), job) == "started"


def test_an_execution_older_than_clocks_differ_is_one_that_runs(job: Job) -> None:
    assert started(StepFunctions(began=-timedelta(milliseconds=501)), job) == "duplicate"


def test_step_functions_clock_may_be_ahead(job: Job) -> None:
    assert started(StepFunctions(began=timedelta(hours=1)), job) == "started"


def test_an_age_is_measured_from_the_call_and_not_from_the_delivery(job: Job) -> None:
    """A restart that is found running has begun after the first name was tried, and before the second was."""
    stepfunctions = StepFunctions(failed=1, takes=timedelta(seconds=3), began=-timedelta(seconds=2))
    assert started(stepfunctions, job) == "duplicate"


def test_within_the_time_of_the_answer_the_next_name_is_tried(job: Job) -> None:
    stepfunctions = StepFunctions(failed=1, takes=timedelta(seconds=4))
    assert started(stepfunctions, job) == "restarted"
    assert stepfunctions.asked == [job.delivery_id, f"{job.delivery_id}-2"]


def test_after_the_time_of_the_answer_no_further_name_is_tried(job: Job) -> None:
    stepfunctions = StepFunctions(failed=1, takes=timedelta(seconds=4) + MILLISECOND)
    with pytest.raises(ExecutionsUnavailable, match=r"^slow$"):
        started(stepfunctions, job)
    assert stepfunctions.asked == [job.delivery_id]


def test_the_time_of_the_answer_is_that_of_all_names_together(job: Job) -> None:
    stepfunctions = StepFunctions(failed=EXECUTION_LIMIT, takes=timedelta(seconds=1))
    with pytest.raises(ExecutionsUnavailable, match=r"^slow$"):
        started(stepfunctions, job)
    assert len(stepfunctions.asked) == 5


def test_what_runs_is_found_however_long_it_takes(job: Job) -> None:
    stepfunctions = StepFunctions(failed=1, takes=timedelta(seconds=9), status="RUNNING")
    assert started(stepfunctions, job) == "duplicate"


def test_ten_executions_are_all_that_a_delivery_gets(job: Job) -> None:
    stepfunctions = StepFunctions(failed=9)
    assert started(stepfunctions, job) == "restarted"
    assert stepfunctions.asked[-1] == f"{job.delivery_id}-10"
    stepfunctions = StepFunctions(failed=10)
    with pytest.raises(ExecutionsExhausted):
        started(stepfunctions, job)
    assert len(stepfunctions.asked) == 10


def test_the_clock_is_the_real_one_unless_told_otherwise(job: Job) -> None:
    stepfunctions = StepFunctions()
    stepfunctions.now = datetime.now(UTC) - timedelta(seconds=30)
    assert Executions(MACHINE, stepfunctions).start(job).result == "duplicate"
    stepfunctions.now = datetime.now(UTC)
    assert Executions(MACHINE, stepfunctions).start(job).result == "started"
