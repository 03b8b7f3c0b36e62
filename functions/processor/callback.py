"""The way back to Step Functions: success, failure and heartbeat of one task token."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from processor.errors import TaskOver
from pullrequest.errors import WorkError
from shared.aws import TASK_OVER, error_code

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.client import SFNClient

    from shared.job import Outcome

ERROR_MAX_CHARACTERS = 256
CAUSE_MAX_CHARACTERS = 32_768
"""Limits of SendTaskFailure."""
MESSAGE_MAX_CHARACTERS = 1024
"""A cause is to be read. As JSON a character may take twelve, which leaves the limit far away."""


class CallbackUnavailable(Exception):
    """Step Functions did not take the callback, after the client's own retries."""


class Callback:
    """Completes one task.

    Args:
        token: the task token; it leaves this object only in requests to Step Functions.
        stepfunctions: the client to use.
        heartbeats: the client for heartbeats; of one attempt, because the next heartbeat is the retry.

    All methods raise TaskOver when the execution no longer waits for this token, which is final, and
    CallbackUnavailable when Step Functions could not be reached. Neither holds the token.
    """

    def __init__(self, token: str, stepfunctions: SFNClient, heartbeats: SFNClient) -> None:
        self._token = token
        self._stepfunctions = stepfunctions
        self._heartbeats = heartbeats

    def succeed(self, outcome: Outcome) -> None:
        """Ends the task with its outcome, which becomes the execution's output."""
        try:
            self._stepfunctions.send_task_success(taskToken=self._token, output=outcome.to_json())
        except (ClientError, BotoCoreError) as error:
            raise _translated(error) from None

    def fail(self, error: Exception) -> None:
        """Ends the task as failed: ``error`` is the exception's class name, ``cause`` is what may be said of it."""
        try:
            self._stepfunctions.send_task_failure(
                taskToken=self._token, error=type(error).__name__[:ERROR_MAX_CHARACTERS], cause=cause_of(error)
            )
        except (ClientError, BotoCoreError) as refusal:
            raise _translated(refusal) from None

    def heartbeat(self) -> None:
        """Tells that the work goes on."""
        try:
            self._heartbeats.send_task_heartbeat(taskToken=self._token)
        except (ClientError, BotoCoreError) as error:
            raise _translated(error) from None


def cause_of(error: Exception) -> str:
    """Short JSON that tells why: ``{"error": ..., "message": ...}``.

    Only our own errors speak for themselves. The text of any other exception may quote what it was working on, so it
    stays in the log.
    """
    message = str(error) if isinstance(error, WorkError) else "unexpected error; the processor's log has its traceback"
    return json.dumps({"error": type(error).__name__, "message": message[:MESSAGE_MAX_CHARACTERS]})


def _translated(error: ClientError | BotoCoreError) -> Exception:
    code = error_code(error)
    if code in TASK_OVER:
        return TaskOver(code)
    return CallbackUnavailable(code)
