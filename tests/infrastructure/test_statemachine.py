"""The state machine's definition, against the code on both sides of it."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from jsonata import Jsonata

from processor import errors
from processor.heartbeat import DEADLINE_MARGIN_SECONDS
from pullrequest import errors as pullrequest_errors
from pullrequest.answers import LAG_SECONDS
from pullrequest.claim import LEASE_SECONDS, WRITE_SECONDS
from shared.aws import ATTEMPTS, CONNECT_TIMEOUT, READ_TIMEOUT
from shared.executions import BUDGET
from shared.idempotency import EXPIRES_AFTER_SECONDS
from shared.job import Job, TaskEvent
from tests.conftest import ROOT

GITHUB_WAITS_SECONDS = 10

# Names that Step Functions and its Lambda integration give to errors, as far as they are used here.
AWS_ERRORS = {
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.Unknown",
    # What current runtimes report for a function that timed out or crashed.
    "Sandbox.Timedout",
    "Runtime.ExitError",
    "States.Timeout",
    "States.HeartbeatTimeout",
}


@pytest.fixture
def state(definition: dict[str, Any]) -> dict[str, Any]:
    (state,) = definition["States"].values()
    assert isinstance(state, dict)
    return state


def test_there_is_one_state_which_waits_for_its_token(definition: dict[str, Any], state: dict[str, Any]) -> None:
    assert definition["QueryLanguage"] == "JSONata"
    assert list(definition["States"]) == ["ProcessPullRequest"] == [definition["StartAt"]]
    assert state["Resource"] == "arn:aws:states:::lambda:invoke.waitForTaskToken"
    assert state["End"] is True


def test_the_wait_has_both_limits_and_they_are_explained(state: dict[str, Any]) -> None:
    assert 0 < state["HeartbeatSeconds"] < state["TimeoutSeconds"]
    assert "TimeoutSeconds" in state["Comment"]
    assert "HeartbeatSeconds" in state["Comment"]


def test_every_deadline_fits_the_others(
    definition: dict[str, Any], state: dict[str, Any], resources: dict[str, Any]
) -> None:
    """The timing rules, all of them, on the template and the definition."""
    processor = resources["ProcessorFunction"]["Properties"]
    task = resources["TaskFunction"]["Properties"]
    (event_config,) = [
        one["Properties"]
        for one in resources.values()
        if one["Type"] == "AWS::Lambda::EventInvokeConfig"
        and one["Properties"]["FunctionName"] == {"Ref": "ProcessorFunction"}
    ]
    heartbeat, timeout = state["HeartbeatSeconds"], state["TimeoutSeconds"]
    interval = int(processor["Environment"]["Variables"]["HEARTBEAT_INTERVAL_SECONDS"])
    event_age = event_config["MaximumEventAgeInSeconds"]
    retriers = {name: one for one in state["Retry"] for name in one["ErrorEquals"]}
    cold_start = 10

    # 1. Silence means death: queue, cold start and one interval fit into it, and a lost heartbeat does no harm.
    assert interval <= heartbeat / 3
    assert event_age + cold_start + interval <= heartbeat
    # ... and there is one owner of retries.
    assert event_config["MaximumRetryAttempts"] == 0
    # 2. An older event has a dead token.
    assert event_age <= heartbeat
    # 3. The processor ends, and says so, before its function does, and that before the state does.
    assert DEADLINE_MARGIN_SECONDS >= 10
    assert processor["Timeout"] > DEADLINE_MARGIN_SECONDS
    assert task["Timeout"] + event_age + processor["Timeout"] <= timeout
    assert processor["Timeout"] <= 900, "Lambda's own limit"
    # 4. Nothing is replayed after the records of what was done have gone.
    longest_in_a_queue = max(
        one["Properties"]["MessageRetentionPeriod"] for one in resources.values() if one["Type"] == "AWS::SQS::Queue"
    )
    assert longest_in_a_queue <= EXPIRES_AFTER_SECONDS
    # 5. A claim outlives the heartbeats that renew it, and not the silence that means death.
    assert interval * 3 <= LEASE_SECONDS <= heartbeat
    # A write that may be under way is waited for, by the closing function and by the attempts that come after it.
    closing = resources["ClosingFunction"]["Properties"]
    assert closing["Timeout"] > WRITE_SECONDS + 45
    # 6. Who waits for another's work waits longer than that may take: with FULL jitter a wait may be as short as none.
    waiting = retriers["WorkInProgress"]
    assert waiting["JitterStrategy"] == "NONE"
    assert total_wait(waiting) > 3 * timeout, "also when the holder dies twice, late"
    assert total_wait(waiting) > WRITE_SECONDS + LEASE_SECONDS
    # Who waits for Lambda's room waits longer than a burst of deliveries lasts.
    assert total_wait(retriers["ProcessorBusy"]) / 2 > 20 * 60
    # Who waits for GitHub's hourly limit may wait for most of the hour.
    assert total_wait(retriers["GitHubRateLimited"]) >= 60 * 60
    # Who waits for GitHub to catch up waits until the same answer is final.
    lagging = retriers["GitHubLagging"]
    assert lagging["JitterStrategy"] == "NONE"
    assert total_wait(lagging) >= LAG_SECONDS
    # 7. The execution as a whole ends, and later than every retrier has used up one attempt after the other.
    whole = definition["TimeoutSeconds"]
    # What an attempt takes that finds no room, or the work in other hands.
    short = {"ProcessorBusy": task["Timeout"] + event_age, "Lambda.TooManyRequestsException": 0, "WorkInProgress": 20}
    for name, retrier in retriers.items():
        attempts = retrier["MaxAttempts"] + 1
        assert attempts * short.get(name, timeout) + total_wait(retrier) <= whole, name
    # 8. A message is not offered to a second consumer while the first one works on it.
    for function, queue in (("Crash", "Crash"), ("Closing", "EndedExecutions"), ("Replay", "Replay")):
        visible_again = resources[f"{queue}Queue"]["Properties"]["VisibilityTimeout"]
        assert resources[f"{function}Function"]["Properties"]["Timeout"] <= visible_again
    # 9. A crash that could not be told at once is told before the silence says the same.
    assert resources["CrashQueue"]["Properties"]["VisibilityTimeout"] < heartbeat
    # 10. A sweep ends before the next one.
    assert resources["SweeperFunction"]["Properties"]["Timeout"] < 300
    assert resources["SweeperFunctionSweep"]["Properties"]["ScheduleExpression"] == "rate(5 minutes)"


def total_wait(retrier: dict[str, Any]) -> int:
    """Seconds that a retrier's pauses add up to, without their jitter."""
    first, rate, longest = (int(retrier[name]) for name in ("IntervalSeconds", "BackoffRate", "MaxDelaySeconds"))
    return sum(min(first * rate**attempt, longest) for attempt in range(retrier["MaxAttempts"]))


def test_the_functions_outlast_their_calls(resources: dict[str, Any]) -> None:
    cold_start = 5
    attempt = CONNECT_TIMEOUT + READ_TIMEOUT
    call = ATTEMPTS * attempt + 1
    # The table, Invoke, the table.
    assert resources["TaskFunction"]["Properties"]["Timeout"] > 3 * call + cold_start
    # A heartbeat that hangs, then the report of the deadline.
    assert attempt + call < DEADLINE_MARGIN_SECONDS
    assert resources["ProcessorFunction"]["Properties"]["Timeout"] > 3 * DEADLINE_MARGIN_SECONDS
    # Whatever hangs (StartExecution, DescribeExecution, the queue), GitHub gets its answer before it stops waiting.
    assert 3 * attempt < GITHUB_WAITS_SECONDS
    # The last name is tried when the budget is nearly up.
    assert BUDGET.total_seconds() + 3 * attempt < resources["WebhookFunction"]["Properties"]["Timeout"]
    # One message an invocation: all its calls at their slowest.
    replay = 3 * call + BUDGET.total_seconds() + call
    assert replay < resources["ReplayFunction"]["Properties"]["Timeout"]
    assert 2 * call + cold_start < resources["CrashFunction"]["Properties"]["Timeout"]


def test_retries_are_separate_bounded_and_jittered(state: dict[str, Any]) -> None:
    retriers = state["Retry"]
    # To wait takes many short attempts; whatever has failed is tried a few times.
    waits = {"WorkInProgress": 100, "ProcessorBusy": 25, "GitHubLagging": 10}
    certain = {"WorkInProgress", "GitHubLagging"}
    for retrier in retriers:
        assert 0 < retrier["MaxAttempts"] <= waits.get(retrier["ErrorEquals"][0], 7)
        assert retrier["JitterStrategy"] == ("NONE" if certain & set(retrier["ErrorEquals"]) else "FULL")
        assert retrier["MaxDelaySeconds"]
    (silence,) = [one for one in retriers if "States.HeartbeatTimeout" in one["ErrorEquals"]]
    # States.TaskFailed and States.ALL would not do: the first does not match a timeout.
    assert set(silence["ErrorEquals"]) == {"States.HeartbeatTimeout", "States.Timeout"}


def test_every_error_that_is_matched_can_occur(state: dict[str, Any]) -> None:
    ours = {
        name
        for name, value in [
            *inspect.getmembers(pullrequest_errors, inspect.isclass),
            *inspect.getmembers(errors, inspect.isclass),
        ]
        if issubclass(value, Exception)
    }
    task = (ROOT / "functions/task/handler.py").read_text()
    crash = (ROOT / "functions/crash/handler.py").read_text()
    matched = [error for retrier in state["Retry"] for error in retrier["ErrorEquals"]]
    assert len(matched) == len(set(matched))
    for error in matched:
        raised_by_task = f"class {error}(Exception)" in task or f' = "{error}"' in crash
        from_powertools = error == "IdempotencyPersistenceLayerError"
        assert error in AWS_ERRORS or error in ours or raised_by_task or from_powertools, error


@pytest.mark.parametrize(
    "error", ["UnknownAction", "InvalidJob", "GitHubRefused", "DeadlineExceeded", "CredentialInvalid"]
)
def test_what_another_attempt_cannot_cure_is_not_retried(state: dict[str, Any], error: str) -> None:
    assert hasattr(errors, error) or hasattr(pullrequest_errors, error)
    assert all(error not in retrier["ErrorEquals"] for retrier in state["Retry"])


def test_the_task_event_is_the_job_with_token_and_execution(state: dict[str, Any], job_data: dict[str, Any]) -> None:
    expression = state["Arguments"]["Payload"]
    assert expression.startswith("{% ")
    assert expression.endswith(" %}")
    entered = "2026-11-24T10:00:00.000Z"
    context = {
        "Task": {"Token": "a-token"},
        "Execution": {"Name": "a-name"},
        "State": {"EnteredTime": entered, "RetryCount": 2},
    }
    states = {"input": job_data, "context": context}
    jsonata = Jsonata(expression[2:-2].replace("$states", "states"))
    event = jsonata.evaluate({"states": states})
    added = {"taskToken": "a-token", "execution": "a-name", "entered_at": entered, "retry_count": 2}
    assert event == {**job_data, **added}
    task = TaskEvent.read(event)
    assert Job.read(event).to_json() == Job.read(job_data).to_json()
    assert (task.taskToken, task.execution) == ("a-token", "a-name")


def test_the_only_substitution_is_the_tasks_alias(state: dict[str, Any], resources: dict[str, Any]) -> None:
    text = (ROOT / "statemachine/processor.asl.json").read_text()
    names = set(resources["ProcessorStateMachine"]["Properties"]["DefinitionSubstitutions"])
    assert state["Arguments"]["FunctionName"] == "${TaskFunctionArn}"
    assert all(f"${{{name}}}" in text for name in names)
    assert text.count("${") == len(names)
