"""The webhook's handler with Secrets Manager and Step Functions behind it."""

from __future__ import annotations

import base64
import importlib
import json
import sys
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from local.github import deliveries
from shared.aws import client as shared_client
from shared.job import Job
from tests.conftest import ROOT
from tests.support import DELIVERY_ID, LambdaContext, log_to_current_stdout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

SECRET = "It's a Secret to Everybody"
DEFINITION = json.dumps({"StartAt": "S", "States": {"S": {"Type": "Succeed"}}})
BODY = (ROOT / "events/pull_request.synchronize.json").read_bytes()


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    with mock_aws():
        shared_client.cache_clear()  # type: ignore[attr-defined]
        secret = boto3.client("secretsmanager").create_secret(Name="webhook", SecretString=SECRET)
        role = "arn:aws:iam::123456789012:role/r"
        machine = boto3.client("stepfunctions").create_state_machine(
            name="pullback-processor", definition=DEFINITION, roleArn=role
        )
        monkeypatch.setenv("STATE_MACHINE_ARN", machine["stateMachineArn"])
        monkeypatch.setenv("WEBHOOK_SECRET_ARN", secret["ARN"])
        monkeypatch.setenv("REPLAY_QUEUE_URL", boto3.client("sqs").create_queue(QueueName="replay")["QueueUrl"])
        monkeypatch.setenv("MAX_BODY_BYTES", "1000000")
        monkeypatch.delitem(sys.modules, "webhook.handler", raising=False)
        module = importlib.import_module("webhook.handler")
        log_to_current_stdout(module.telemetry)
        yield module
        shared_client.cache_clear()  # type: ignore[attr-defined]


def request(
    content: bytes | str, *, secret: str = SECRET, event: str = "pull_request", **changes: Any
) -> dict[str, Any]:
    raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    headers = deliveries.headers(event, DELIVERY_ID, deliveries.sign(secret, raw))
    headers.update(changes.pop("headers", {}))
    return {
        "resource": "/webhook",
        "path": "/webhook",
        "httpMethod": "POST",
        "headers": {name: value for name, value in headers.items() if value is not None},
        "body": raw.decode() if isinstance(content, bytes) else content,
        "isBase64Encoded": False,
        "requestContext": {"requestId": "r", "stage": "live"},
        **changes,
    }


def answered(handler: ModuleType, event: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    response = handler.lambda_handler(event, LambdaContext())
    return response["statusCode"], json.loads(response["body"])


def executions(handler: ModuleType) -> list[Any]:
    client = boto3.client("stepfunctions")
    machine = client.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    return client.list_executions(stateMachineArn=machine)["executions"]


def test_a_signed_delivery_starts_its_execution(handler: ModuleType) -> None:
    assert answered(handler, request(BODY)) == (202, {"result": "started", "execution": DELIVERY_ID})
    (execution,) = executions(handler)
    assert execution["name"] == DELIVERY_ID
    job = json.loads(boto3.client("stepfunctions").describe_execution(executionArn=execution["executionArn"])["input"])
    assert job["action"] == "synchronize"
    assert job["delivery_id"] == DELIVERY_ID


def test_a_base64_body_is_decoded_before_it_is_verified(handler: ModuleType) -> None:
    event = request(BODY, isBase64Encoded=True) | {"body": base64.b64encode(BODY).decode()}
    assert answered(handler, event)[0] == 202


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "no signature": ({"headers": {"X-Hub-Signature-256": None}}, 401, "unauthorized"),
    "wrong signature": ({"headers": {"X-Hub-Signature-256": "sha256=" + "0" * 64}}, 401, "unauthorized"),
    "garbled signature": ({"headers": {"X-Hub-Signature-256": "garbage"}}, 401, "unauthorized"),
    "non-ASCII signature": ({"headers": {"X-Hub-Signature-256": "sha256=é€\ud800"}}, 401, "unauthorized"),
    "another secret": ({"secret": "another"}, 401, "unauthorized"),
    "a form": ({"headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 415, "unsupported"),
    "no content type": ({"headers": {"Content-Type": None}}, 415, "unsupported"),
    "no event": ({"headers": {"X-GitHub-Event": None}}, 400, "invalid"),
    "no delivery id": ({"headers": {"X-GitHub-Delivery": None}}, 400, "invalid"),
    "a delivery id that is none": ({"headers": {"X-GitHub-Delivery": "a b"}}, 400, "invalid"),
    "broken base64": ({"isBase64Encoded": True, "body": "%%%"}, 400, "invalid"),
    "no headers": (
        {"headers": dict.fromkeys(("Content-Type", "X-GitHub-Event", "X-GitHub-Delivery"))},
        415,
        "unsupported",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_starts_nothing(handler: ModuleType, case: str) -> None:
    changes, status, result = REFUSED[case]
    got, body = answered(handler, request(BODY, **changes))
    assert (got, body["result"]) == (status, result)
    assert executions(handler) == []


@pytest.mark.parametrize("size", [1_000_001, 5_000_000])
def test_a_large_body_is_refused_before_anything_else(handler: ModuleType, size: int) -> None:
    assert answered(handler, request(b"x" * size, headers={"X-Hub-Signature-256": None}))[0] == 413


def test_a_body_in_multibyte_characters_is_measured_in_bytes(handler: ModuleType) -> None:
    assert answered(handler, request("é" * 600_000))[0] == 413


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"payload=%7B%7D", b'{"action": 1}', b'{"action": "synchronize"}'])
def test_a_signed_body_that_makes_no_job_is_400(handler: ModuleType, body: bytes) -> None:
    status, answer = answered(handler, request(body))
    assert (status, answer["result"]) == (400, "invalid")
    assert answer["field"]
    assert executions(handler) == []


def test_an_answer_never_quotes_the_delivery(handler: ModuleType) -> None:
    payload = json.loads(BODY)
    payload["pull_request"]["head"]["sha"] = "canary-canary"
    status, answer = answered(handler, request(json.dumps(payload).encode()))
    assert (status, answer["field"]) == (400, "pull_request.head.sha")
    assert "canary" not in json.dumps(answer)


def test_ping_is_answered_and_starts_nothing(handler: ModuleType) -> None:
    body = (ROOT / "events/ping.json").read_bytes()
    assert answered(handler, request(body, event="ping")) == (200, {"result": "pong"})
    assert answered(handler, request(body, event="ping", secret="another"))[0] == 401
    assert executions(handler) == []


@pytest.mark.parametrize(("event", "action"), [("push", None), ("issues", "opened"), ("pull_request", "labeled")])
def test_what_triggers_nothing_is_ignored_with_a_reason(handler: ModuleType, event: str, action: str | None) -> None:
    payload = {**json.loads(BODY), "action": action}
    status, answer = answered(handler, request(json.dumps(payload).encode(), event=event))
    assert (status, answer["result"]) == (202, "ignored")
    assert answer["reason"]
    assert executions(handler) == []


def test_a_rotated_secret_is_taken_at_once_and_the_previous_one_still_counts(handler: ModuleType) -> None:
    assert answered(handler, request(BODY))[0] == 202
    boto3.client("secretsmanager").put_secret_value(SecretId="webhook", SecretString="rotated")
    assert answered(handler, request(BODY, secret="rotated"))[0] in (200, 202)
    assert answered(handler, request(BODY, secret=SECRET))[0] in (200, 202)
    assert answered(handler, request(BODY, secret="another"))[0] == 401


@pytest.mark.parametrize(
    "stored",
    ["rotated\n", "rotated\r\n", "\ufeffrotated", '"rotated"', '{"secret": "rotated"}', '{"any": "rotated\\n"}'],
)
def test_a_secret_is_taken_as_people_store_it(handler: ModuleType, stored: str) -> None:
    boto3.client("secretsmanager").put_secret_value(SecretId="webhook", SecretString=stored)
    assert answered(handler, request(BODY, secret="rotated"))[0] == 202


def test_a_secret_that_can_mean_two_things_is_unavailable_and_says_why(
    handler: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    boto3.client("secretsmanager").put_secret_value(SecretId="webhook", SecretString='{"a": "canary", "b": "canary"}')
    assert answered(handler, request(BODY))[0] == 503
    (line,) = [one for one in capsys.readouterr().out.splitlines() if "delivery not taken" in one]
    assert "several keys or none; found: a, b" in json.loads(line)["reason"]
    assert "canary" not in line


def test_forged_deliveries_do_not_read_the_secret_again(handler: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    versions = handler.secret.versions

    def counted(*, fresh: bool = False) -> list[bytes]:
        asked.append(fresh)
        found: list[bytes] = versions(fresh=fresh)
        return found

    monkeypatch.setattr(handler.secret, "versions", counted)
    for _ in range(20):
        assert answered(handler, request(BODY, secret="another"))[0] == 401
    assert asked.count(True) == 1


def step_functions_is_away(handler: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = "arn:aws:states:us-east-1:123456789012:stateMachine:absent"
    monkeypatch.setattr(handler, "executions", handler.Executions(absent, boto3.client("stepfunctions")))


def test_a_delivery_that_cannot_be_started_is_kept(handler: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-6b04304e-ad252400117ad4ca70882da4;Sampled=1")
    step_functions_is_away(handler, monkeypatch)
    status, answer = answered(handler, request(BODY))
    assert (status, answer["result"]) == (202, "queued")
    (message,) = boto3.client("sqs").receive_message(
        QueueUrl=handler._replay_queue_url, MessageSystemAttributeNames=["AWSTraceHeader"]
    )["Messages"]
    kept = Job.read_json(message["Body"])
    assert kept.delivery_id == DELIVERY_ID
    assert message["Attributes"]["AWSTraceHeader"].startswith("Root=1-6b04304e")


def test_what_is_kept_holds_no_character_that_sqs_refuses(handler: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQS takes XML's characters alone; moto and the embedded AWS take any."""
    payload = json.loads(BODY)
    payload["pull_request"]["title"] = "odd \ufffe title \U0001f600"
    step_functions_is_away(handler, monkeypatch)
    assert answered(handler, request(json.dumps(payload).encode()))[0] == 202
    (message,) = boto3.client("sqs").receive_message(QueueUrl=handler._replay_queue_url)["Messages"]
    assert message["Body"].isascii()
    assert Job.read_json(message["Body"]).pull_request.title == "odd \ufffe title \U0001f600"


@pytest.mark.parametrize("outage", ["secretsmanager", "stepfunctions and sqs"])
def test_an_outage_is_503_with_retry_after(handler: ModuleType, monkeypatch: pytest.MonkeyPatch, outage: str) -> None:
    if outage == "secretsmanager":
        monkeypatch.setattr(
            handler,
            "secret",
            handler.WebhookSecret("no such secret", boto3.client("secretsmanager"), handler.telemetry),
        )
    else:
        step_functions_is_away(handler, monkeypatch)
        boto3.client("sqs").delete_queue(QueueUrl=handler._replay_queue_url)
    response = handler.lambda_handler(request(BODY), LambdaContext())
    assert response["statusCode"] == 503
    assert int(response["headers"]["Retry-After"]) > 0
    assert executions(handler) == []


def test_missing_configuration_fails_at_start_with_the_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_MACHINE_ARN", raising=False)
    monkeypatch.setenv("WEBHOOK_SECRET_ARN", "x")
    monkeypatch.setenv("REPLAY_QUEUE_URL", "x")
    monkeypatch.setenv("MAX_BODY_BYTES", "many")
    monkeypatch.delitem(sys.modules, "webhook.handler", raising=False)
    with pytest.raises(RuntimeError, match=r"STATE_MACHINE_ARN is not set; MAX_BODY_BYTES is not a positive"):
        importlib.import_module("webhook.handler")


def test_keys_of_one_delivery_do_not_reach_the_next_ones_log(
    handler: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    answered(handler, request(BODY))
    capsys.readouterr()
    answered(handler, request(BODY, secret="another", headers={"X-GitHub-Delivery": "another-delivery"}))
    output = capsys.readouterr().out
    assert "another-delivery" in output
    assert DELIVERY_ID not in output
    assert "octo-org" not in output


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    body=st.text() | JSON.map(json.dumps),
    headers=st.dictionaries(
        st.sampled_from(["Content-Type", "X-GitHub-Event", "X-GitHub-Delivery", "X-Hub-Signature-256", "x"]),
        st.text() | st.sampled_from(["application/json", "pull_request", DELIVERY_ID]),
    )
    | st.none(),
    is_base64=st.booleans(),
    signed=st.booleans(),
)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_request_raises_or_is_answered_5xx(
    handler: ModuleType, body: str, headers: dict[str, str] | None, is_base64: bool, signed: bool
) -> None:
    event = request(body)
    if not signed:
        event["headers"] = headers
    elif headers:
        event["headers"].update({name: value for name, value in headers.items() if name != "X-Hub-Signature-256"})
    event["isBase64Encoded"] = is_base64
    status, _ = answered(handler, event)
    assert status < 500
    assert signed or status != 202
