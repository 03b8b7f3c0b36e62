"""What the webhook says in full, and what it counts."""

from __future__ import annotations

import importlib
import json
import sys
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from shared.executions import Start
from shared.metrics import Metric
from tests.integration.test_wiring_on_moto import counted as in_the_log
from tests.integration.webhook import test_webhook_on_moto as webhook
from tests.support import DELIVERY_ID, LambdaContext

if TYPE_CHECKING:
    from types import ModuleType

    from shared.job import Job

handler = webhook.handler

Counted = list[tuple[Metric, dict[str, str]]]
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def counted(handler: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Counted:
    """What was counted, but that a delivery was received, which each test would say."""
    found: Counted = []

    def count(metric: Metric, value: float = 1, **by: str) -> None:
        assert value == 1
        if metric is not Metric.DELIVERY_RECEIVED:
            found.append((metric, by))

    monkeypatch.setattr(handler.telemetry, "count", count)
    return found


def response(handler: ModuleType, event: dict[str, Any]) -> tuple[int, dict[str, str], dict[str, Any]]:
    answer = handler.lambda_handler(event, LambdaContext())
    assert set(answer) == {"statusCode", "headers", "body"}
    return answer["statusCode"], answer["headers"], json.loads(answer["body"])


class Executions:
    """Answers with what is said here."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def start(self, job: Job) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def test_what_is_received_is_counted_when_the_handler_ends(
    handler: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    response(handler, webhook.request(webhook.BODY))
    assert in_the_log(capsys) == {"DeliveryReceived": 1, "DeliveryStarted": 1}


@pytest.mark.parametrize("changes", [{"body": 5}, {"headers": 5}, {"headers": {"X-GitHub-Delivery": ["a"]}}], ids=str)
def test_an_event_that_is_not_api_gateways_is_rejected_and_counted(
    handler: ModuleType, counted: Counted, changes: dict[str, Any]
) -> None:
    """Whoever may invoke the function may send anything, and gets an answer rather than an error of the function."""
    answer = response(handler, {**webhook.request(webhook.BODY), **changes})
    message = "the event is not API Gateway's"
    assert answer == (400, JSON, {"result": "invalid", "message": message})
    assert counted == [(Metric.DELIVERY_REJECTED, {"reason": "invalid"})]


@pytest.mark.parametrize(
    ("result", "status", "metric"),
    [
        ("started", 202, Metric.DELIVERY_STARTED),
        ("restarted", 202, Metric.DELIVERY_RESTARTED),
        ("duplicate", 200, Metric.DELIVERY_DUPLICATE),
    ],
)
def test_a_start_is_answered_and_counted_as_what_it_was(
    handler: ModuleType, counted: Counted, monkeypatch: pytest.MonkeyPatch, result: Any, status: int, metric: Metric
) -> None:
    start = Start(result, "the name", "the arn")
    monkeypatch.setattr(handler, "executions", Executions(start))
    assert response(handler, webhook.request(webhook.BODY)) == (
        status,
        JSON,
        {"result": result, "execution": "the name"},
    )
    assert counted == [(metric, {})]


def test_a_delivery_without_attempts_left_is_refused_for_good(
    handler: ModuleType, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "executions", Executions(handler.ExecutionsExhausted()))
    status, headers, body = response(handler, webhook.request(webhook.BODY))
    assert (status, headers) == (409, JSON)
    assert body == {"result": "exhausted", "message": "every attempt at this delivery has failed; push again"}
    assert counted == [(Metric.DELIVERY_REJECTED, {"reason": "exhausted"})]


def test_a_forged_delivery_is_told_which_header_is_wrong(handler: ModuleType, counted: Counted) -> None:
    # The second one comes too soon after the first.
    refreshed: Counted = [(Metric.SECRET_REFRESHED, {})]
    for _ in range(2):
        status, headers, body = response(handler, webhook.request(webhook.BODY, secret="another"))
        assert (status, headers) == (401, JSON)
        assert body == {
            "result": "unauthorized",
            "message": "the signature is missing or wrong",
            "field": "x-hub-signature-256",
        }
        assert counted == [
            *refreshed,
            (Metric.SIGNATURE_INVALID, {}),
            (Metric.DELIVERY_REJECTED, {"reason": "unauthorized"}),
        ]
        counted.clear()
        refreshed = []


def test_a_delivery_without_a_signature_is_no_reason_to_read_the_secret_again(
    handler: ModuleType, counted: Counted
) -> None:
    response(handler, webhook.request(webhook.BODY, headers={"X-Hub-Signature-256": None}))
    assert (Metric.SECRET_REFRESHED, {}) not in counted


def test_ping_and_what_triggers_nothing_are_counted_as_ignored(handler: ModuleType, counted: Counted) -> None:
    assert response(handler, webhook.request(b"{}", event="ping")) == (200, JSON, {"result": "pong"})
    for event, reason in (("push", "by this event"), ("pull_request", "by this action of the event")):
        body = json.dumps({**json.loads(webhook.BODY), "action": "labeled"}).encode()
        status, headers, answer = response(handler, webhook.request(body, event=event))
        assert (status, headers) == (202, JSON)
        assert answer == {"result": "ignored", "reason": f"no action is triggered {reason}"}
    assert counted == [(Metric.DELIVERY_IGNORED, {})] * 3


@pytest.mark.parametrize("trace", ["Root=1-6b04304e-ad252400117ad4ca70882da4;Sampled=1", None])
def test_a_kept_delivery_is_counted_and_follows_its_trace(
    handler: ModuleType, counted: Counted, monkeypatch: pytest.MonkeyPatch, trace: str | None
) -> None:
    monkeypatch.setattr(handler, "trace_header", lambda: trace)
    webhook.step_functions_is_away(handler, monkeypatch)
    assert response(handler, webhook.request(webhook.BODY)) == (
        202,
        JSON,
        {"result": "queued", "message": "Step Functions is away; the delivery is kept and will be started"},
    )
    assert counted == [(Metric.DELIVERY_QUEUED, {})]
    (message,) = boto3.client("sqs").receive_message(
        QueueUrl=handler._replay_queue_url, MessageSystemAttributeNames=["AWSTraceHeader"]
    )["Messages"]
    assert message.get("Attributes", {}).get("AWSTraceHeader") == trace


def test_the_queue_is_asked_once(handler: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """GitHub waits for the answer."""
    asked: list[tuple[str, int]] = []
    made = handler.client

    def client(service: str, *, attempts: int) -> Any:
        asked.append((service, attempts))
        return made(service, attempts=attempts)

    monkeypatch.setattr(handler, "client", client)
    webhook.step_functions_is_away(handler, monkeypatch)
    response(handler, webhook.request(webhook.BODY))
    assert asked == [("sqs", 1)]


def test_a_delivery_that_is_not_taken_is_to_come_again_in_a_minute(
    handler: ModuleType, counted: Counted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    webhook.step_functions_is_away(handler, monkeypatch)
    boto3.client("sqs").delete_queue(QueueUrl=handler._replay_queue_url)
    assert response(handler, webhook.request(webhook.BODY)) == (
        503,
        {**JSON, "Retry-After": "60"},
        {"result": "unavailable", "message": "not known to be started; deliver again later, it will not run twice"},
    )
    assert counted == [(Metric.DELIVERY_UNAVAILABLE, {})]
    (taken,) = [line for line in map(json.loads, capsys.readouterr().out.splitlines()) if line.get("level") == "ERROR"]
    assert (taken["error"], taken["delivery_id"]) == ("ExecutionsUnavailable", DELIVERY_ID)


@pytest.mark.parametrize(("excess", "status"), [(0, 400), (1, 413)])
def test_a_body_may_be_five_million_bytes_long_unless_it_is_set(
    handler: ModuleType, monkeypatch: pytest.MonkeyPatch, excess: int, status: int
) -> None:
    monkeypatch.delenv("MAX_BODY_BYTES")
    monkeypatch.delitem(sys.modules, "webhook.handler")
    fresh = importlib.import_module("webhook.handler")
    assert fresh.MAX_BODY_BYTES == 5_000_000
    assert response(fresh, webhook.request(b" " * (5_000_000 + excess)))[0] == status
