from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from processor.callback import CAUSE_MAX_CHARACTERS, Callback, CallbackUnavailable, cause_of
from processor.errors import TaskOver
from pullrequest.errors import GitHubUnavailable
from shared.job import Outcome

TOKEN = "AQCEAAAAKgAAAAMAAAAAAAAAAcanary"


@pytest.fixture
def client() -> Any:
    return boto3.client("stepfunctions", region_name="us-east-1")


@pytest.fixture
def outcome() -> Outcome:
    return Outcome(action="build", delivery_id="d", conclusion="failure", summary="1 problem", duration_ms=12)


def test_success_carries_the_outcome(client: Any, outcome: Outcome) -> None:
    with Stubber(client) as stub:
        stub.add_response("send_task_success", {}, {"taskToken": TOKEN, "output": outcome.to_json()})
        Callback(TOKEN, client, client).succeed(outcome)
        stub.assert_no_pending_responses()


def test_failure_is_named_after_the_exception(client: Any) -> None:
    cause = json.dumps({"error": "GitHubUnavailable", "message": "GET /pulls answered 502"})
    with Stubber(client) as stub:
        stub.add_response("send_task_failure", {}, {"taskToken": TOKEN, "error": "GitHubUnavailable", "cause": cause})
        Callback(TOKEN, client, client).fail(GitHubUnavailable("GET /pulls answered 502"))
        stub.assert_no_pending_responses()


@pytest.mark.parametrize("code", ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"])
@pytest.mark.parametrize("call", ["success", "failure", "heartbeat"])
def test_a_closed_task_is_final(client: Any, outcome: Outcome, call: str, code: str) -> None:
    with Stubber(client) as stub:
        stub.add_client_error(f"send_task_{call}", code, "Provided task does not exist anymore")
        with pytest.raises(TaskOver) as closed:
            _call(Callback(TOKEN, client, client), call, outcome)
    assert TOKEN not in repr(closed.value)


@pytest.mark.parametrize("call", ["success", "failure", "heartbeat"])
def test_anything_else_is_unavailability(client: Any, outcome: Outcome, call: str) -> None:
    with Stubber(client) as stub:
        stub.add_client_error(f"send_task_{call}", "ThrottlingException", f"slow down, {TOKEN}")
        with pytest.raises(CallbackUnavailable) as unavailable:
            _call(Callback(TOKEN, client, client), call, outcome)
    assert TOKEN not in repr(unavailable.value)
    assert unavailable.value.__suppress_context__


def _call(callback: Callback, call: str, outcome: Outcome) -> None:
    match call:
        case "success":
            callback.succeed(outcome)
        case "failure":
            callback.fail(GitHubUnavailable("x"))
        case _:
            callback.heartbeat()


@given(st.text(max_size=50_000))
def test_a_cause_is_json_within_the_limit(message: str) -> None:
    cause = cause_of(GitHubUnavailable(message))
    assert len(cause) <= CAUSE_MAX_CHARACTERS
    assert json.loads(cause)["error"] == "GitHubUnavailable"


def test_the_longest_cause_fits() -> None:
    assert len(cause_of(GitHubUnavailable("\U0001f600" * 40_000))) <= CAUSE_MAX_CHARACTERS


def test_the_text_of_a_foreign_exception_stays_in_the_log() -> None:
    assert "hunter2" not in cause_of(KeyError("hunter2"))
