from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from shared.aws import client as shared_client
from tests.support import log_to_current_stdout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

CREDENTIAL = "ghp_canarycanarycanary"
DEFINITION = '{"StartAt": "S", "States": {"S": {"Type": "Succeed"}}}'


@dataclass(frozen=True)
class Account:
    """An account in moto with what the handlers need."""

    state_machine_arn: str
    quarantine_url: str
    monkeypatch: pytest.MonkeyPatch

    def handler(self, module: str, **environ: str) -> ModuleType:
        """A handler's module, imported afresh with this account's environment."""
        for name, value in environ.items():
            self.monkeypatch.setenv(name, value)
        self.monkeypatch.delitem(sys.modules, module, raising=False)
        handler = importlib.import_module(module)
        log_to_current_stdout(handler.telemetry)
        return handler

    def quarantined(self) -> list[dict[str, Any]]:
        """The messages that were put aside; taken out by looking."""
        messages = boto3.client("sqs").receive_message(
            QueueUrl=self.quarantine_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        return messages.get("Messages", [])  # type: ignore[return-value]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    with mock_aws():
        shared_client.cache_clear()  # type: ignore[attr-defined]
        machine = boto3.client("stepfunctions").create_state_machine(
            name="pullback-processor", definition=DEFINITION, roleArn="arn:aws:iam::123456789012:role/r"
        )["stateMachineArn"]
        boto3.client("dynamodb").create_table(
            TableName="idempotency",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        quarantine = boto3.client("sqs").create_queue(QueueName="quarantine")["QueueUrl"]
        secret = boto3.client("secretsmanager").create_secret(Name="github", SecretString=CREDENTIAL)
        for name, value in {
            "STATE_MACHINE_ARN": machine,
            "QUARANTINE_QUEUE_URL": quarantine,
            "IDEMPOTENCY_TABLE": "idempotency",
            "GITHUB_CREDENTIAL_ARN": secret["ARN"],
            "GITHUB_API_URL": "https://github.example",
        }.items():
            monkeypatch.setenv(name, value)
        yield Account(machine, quarantine, monkeypatch)
        shared_client.cache_clear()  # type: ignore[attr-defined]
