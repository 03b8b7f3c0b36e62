"""Starts one execution for a delivery, or finds the one that it has."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import BotoCoreError, ClientError

from shared.aws import error_code

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_stepfunctions.client import SFNClient

    from shared.job import Job

BUDGET = timedelta(seconds=4)
"""Time after which no further name is tried: GitHub waits 10 s for the answer."""

EXECUTION_LIMIT = 10
"""Executions that the redeliveries of one delivery may start."""

# Step Functions answers the same name and input with the running execution, as if it had been started now. Its start
# date tells them apart; the two clocks may differ by this much.
CLOCK_TOLERANCE = timedelta(milliseconds=500)


class ExecutionsUnavailable(Exception):
    """Step Functions could not be asked, or refused for a reason that is not the delivery's."""


class ExecutionsExhausted(Exception):
    """All attempts that redeliveries may start have failed."""


@dataclass(frozen=True)
class Start:
    """What came of a delivery: the word of the answer, and the execution's name and ARN."""

    result: Literal["started", "duplicate", "restarted"]
    name: str
    arn: str


class Executions:
    """The executions of the state machine.

    Args:
        state_machine_arn: the machine to start.
        stepfunctions: the client to use.
        now: the current time, with time zone.
    """

    def __init__(
        self,
        state_machine_arn: str,
        stepfunctions: SFNClient,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._state_machine_arn = state_machine_arn
        self._stepfunctions = stepfunctions
        self._now = now

    def start(self, job: Job) -> Start:
        """Starts the job's execution, named after its delivery.

        The name makes it happen once: of a running or succeeded execution a redelivery is a duplicate. One that
        failed, timed out, was aborted or concluded ``cancelled`` gets a new attempt, named after the first with a
        number behind it.

        Raises:
            ExecutionsUnavailable: nothing was started as far as anybody knows; the same delivery may come again.
            ExecutionsExhausted: EXECUTION_LIMIT executions of this delivery have ended without success.
        """
        asked_at = self._now()
        try:
            for attempt in range(1, EXECUTION_LIMIT + 1):
                name = job.delivery_id if attempt == 1 else f"{job.delivery_id}-{attempt}"
                found = self._start_or_find(name, job.to_json())
                if found is None:
                    if self._now() > asked_at + BUDGET:
                        raise ExecutionsUnavailable("slow")
                    continue
                is_new, arn = found
                result: Literal["started", "duplicate", "restarted"] = "duplicate"
                if is_new:
                    result = "started" if attempt == 1 else "restarted"
                return Start(result, name, arn)
        except (ClientError, BotoCoreError) as error:
            raise ExecutionsUnavailable(error_code(error)) from None
        raise ExecutionsExhausted

    def _start_or_find(self, name: str, job: str) -> tuple[bool, str] | None:
        """Whether the execution of this name is new, and its ARN; None when it may be done again: it has ended without
        success, or took its commit for superseded."""
        asked_at = self._now()
        try:
            started = self._stepfunctions.start_execution(stateMachineArn=self._state_machine_arn, name=name, input=job)
        except self._stepfunctions.exceptions.ExecutionAlreadyExists:
            arn = self._execution_arn(name)
            found = self._stepfunctions.describe_execution(executionArn=arn)
            is_done = found["status"] == "SUCCEEDED" and not _is_cancelled(found.get("output"))
            return (False, arn) if is_done or found["status"] in ("RUNNING", "PENDING_REDRIVE") else None
        return started["startDate"] >= asked_at - CLOCK_TOLERANCE, started["executionArn"]

    def _execution_arn(self, name: str) -> str:
        return f"{self._state_machine_arn.replace(':stateMachine:', ':execution:', 1)}:{name}"


def _is_cancelled(output: str | None) -> bool:
    """Whether the outcome is ``cancelled``: should that ever be wrong, delivering again does the work after all."""
    try:
        outcome = json.loads(output or "")
    except ValueError:
        return False
    return isinstance(outcome, dict) and outcome.get("conclusion") == "cancelled"
