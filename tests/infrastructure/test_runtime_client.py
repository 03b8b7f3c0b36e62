"""Each function, as it is built, under AWS's own runtime client: it starts, and answers an event of its kind."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.runtime_api import Answer, run
from tests.dead_work import TOKEN, sqs_event, task_event
from tests.integration.webhook.test_webhook_on_moto import BODY, request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the runtime client is for Linux")

SCHEDULED = {"version": "0", "id": "e", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}


@pytest.fixture
def invoked(local_package: Path, variables: dict[str, str], resources: dict[str, Any]) -> Callable[..., list[Answer]]:
    def invoke(function: str, *events: Any) -> list[Answer]:
        properties = resources[function]["Properties"]
        layers = ["DependenciesLayer", "GitHubLayer"][: len(properties["Layers"])]
        paths = [local_package / function, *(local_package / layer / "python" for layer in layers)]
        return run(properties["Handler"], paths, events, variables | {"AWS_LAMBDA_FUNCTION_NAME": function})

    return invoke


def test_the_webhook_starts_an_execution(invoked: Callable[..., list[Answer]]) -> None:
    first, again = invoked("WebhookFunction", request(BODY), request(BODY, secret="somebody else's"))
    assert (first.kind, first.body["statusCode"], json.loads(first.body["body"])["result"]) == (
        "response",
        202,
        "started",
    )
    assert (again.kind, again.body["statusCode"]) == ("response", 401)
    assert '"cold_start":true' in first.log


def test_the_task_function_fails_with_a_name_that_retry_knows(
    invoked: Callable[..., list[Answer]], job_data: dict[str, Any], definition: dict[str, Any]
) -> None:
    (answer,) = invoked("TaskFunction", task_event(job_data))
    assert (answer.kind, answer.body["errorType"]) == ("error", "DispatchFailed")
    assert TOKEN not in answer.log
    assert "DispatchFailed" in json.dumps(definition)


def test_the_processor_ends_when_its_task_is_over(
    invoked: Callable[..., list[Answer]], job_data: dict[str, Any]
) -> None:
    (answer,) = invoked("ProcessorFunction", task_event(job_data))
    assert (answer.kind, answer.body) == ("response", None), answer.log
    assert TOKEN not in answer.log


@pytest.mark.parametrize("function", ["CrashFunction", "ClosingFunction", "ReplayFunction"])
def test_a_consumer_puts_aside_what_it_cannot_read(invoked: Callable[..., list[Answer]], function: str) -> None:
    (answer,) = invoked(function, sqs_event("no JSON at all", queue="queue"))
    assert (answer.kind, answer.body) == ("response", {"batchItemFailures": []}), answer.log
    assert "MessageQuarantined" in answer.log


def test_the_watch_looks(invoked: Callable[..., list[Answer]]) -> None:
    (answer,) = invoked("WatchFunction", SCHEDULED)
    assert (answer.kind, answer.body) == ("response", None), answer.log
    assert "ExecutionsRunning" in answer.log


def test_the_sweeper_begins_with_now(invoked: Callable[..., list[Answer]]) -> None:
    """Its first run has nothing behind it to look at, and asks GitHub nothing."""
    (answer,) = invoked("SweeperFunction", SCHEDULED)
    assert (answer.kind, answer.body) == ("response", {"hooks": 1, "seen": 0, "requested": 0, "given_up": 0})


def test_what_cannot_be_started_says_so(
    local_package: Path, variables: dict[str, str], resources: dict[str, Any]
) -> None:
    """The harness can fail: without its layer a function does not start."""
    (answer,) = run("webhook.handler.lambda_handler", [local_package / "WebhookFunction"], [request(BODY)], variables)
    assert (answer.kind, answer.body["errorType"]) == ("init/error", "Runtime.ImportModuleError")
