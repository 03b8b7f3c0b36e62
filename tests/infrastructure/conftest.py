from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from local.stack import REGION, aws_environment
from tests.conftest import ROOT
from tests.integration.webhook.test_webhook_on_moto import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ACCOUNT = "123456789012"
DEFINITION = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}


class _NoManagedPolicies:
    """Loads none: the template may not use any, its roles list every action."""

    def load(self) -> dict[str, str]:
        return {}


def transformed_with(change: Callable[[dict[str, Any]], None] = lambda source: None) -> dict[str, Any]:
    """The template as CloudFormation gets it, after a change."""
    source = yaml_parse((ROOT / "template.yaml").read_text())
    change(source)
    # As `sam package` leaves it: the transform wants code and definitions in S3.
    for resource in source["Resources"].values():
        if resource["Type"] == "AWS::Serverless::StateMachine":
            resource["Properties"]["DefinitionUri"] = "s3://bucket/definition"
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            resource["Properties"]["ContentUri"] = "s3://bucket/layer"
    source["Globals"]["Function"]["CodeUri"] = "s3://bucket/code"
    template: dict[str, Any] = transform(source, {}, _NoManagedPolicies())
    return template


@pytest.fixture(scope="session")
def template() -> dict[str, Any]:
    return transformed_with()


@pytest.fixture(scope="session")
def resources(template: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"]
    return found


@pytest.fixture(scope="session")
def definition() -> dict[str, Any]:
    machine: dict[str, Any] = json.loads((ROOT / "statemachine" / "processor.asl.json").read_text())
    return machine


@pytest.fixture(scope="session")
def local_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages for the Python of the machine, as the embedded AWS runs them."""
    directory = tmp_path_factory.mktemp("local-package")
    build(directory, {"PULLBACK_BUILD": "local", "PYTHON": sys.executable})
    return directory / "build"


def build(directory: Path, options: dict[str, str]) -> None:
    bin_directory = os.path.dirname(sys.executable)  # noqa: PTH120 - a virtual environment's link must stay
    environ = aws_environment() | {"PATH": f"{bin_directory}{os.pathsep}{os.environ['PATH']}"} | options
    command = ["sam", "build", "--build-dir", str(directory / "build"), "--cache-dir", str(directory / "cache")]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def variables() -> Iterator[dict[str, str]]:
    """The environment of the functions, of an account that a server of moto's has."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    environ = aws_environment(endpoint)
    session = boto3.Session("testing", "testing", region_name=REGION)

    def client(service: str) -> Any:
        return session.client(service, endpoint_url=endpoint)  # type: ignore[call-overload]

    queues = {name: client("sqs").create_queue(QueueName=name)["QueueUrl"] for name in ("q", "replay", "dead", "ended")}
    machine = client("stepfunctions").create_state_machine(
        name="pullback", definition=json.dumps(DEFINITION), roleArn=f"arn:aws:iam::{ACCOUNT}:role/r"
    )
    client("dynamodb").create_table(
        TableName="idempotency",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    secrets = client("secretsmanager")
    with contextlib.suppress(ClientError):
        # moto loads what it answers with at the first call, for longer than our clients wait.
        client("cloudformation").describe_stacks(StackName="pullback")
    yield environ | {
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "POWERTOOLS_METRICS_NAMESPACE": "Pullback/test",
        "POWERTOOLS_LOGGER_LOG_EVENT": "false",
        "STATE_MACHINE_ARN": machine["stateMachineArn"],
        "PROCESSOR_FUNCTION_ARN": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:nowhere:live",
        "WEBHOOK_SECRET_ARN": secrets.create_secret(Name="webhook", SecretString=SECRET)["ARN"],
        "GITHUB_CREDENTIAL_ARN": secrets.create_secret(Name="github", SecretString="ghp_" + "0" * 36)["ARN"],
        # Nobody answers there.
        "GITHUB_API_URL": "http://127.0.0.1:9",
        "IDEMPOTENCY_TABLE": "idempotency",
        "ARTIFACT_BUCKET": "artifacts",
        "ARTIFACT_LINK": "https://s3/{bucket}/{key}",
        "QUARANTINE_QUEUE_URL": queues["q"],
        "REPLAY_QUEUE_URL": queues["replay"],
        "DEAD_WORK_QUEUE_URL": queues["dead"],
        "ENDED_EXECUTIONS_QUEUE_URL": queues["ended"],
        "HEARTBEAT_INTERVAL_SECONDS": "30",
        "RECONCILE_AFTER_SECONDS": "300",
        "SUCCESS_WITHIN_SECONDS": "1800",
        "STACK_ID": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/pullback/1",
        "SWEEP_HOOKS": "octo-org/hello:1",
        "MAX_BODY_BYTES": "1000000",
    }
    server.stop()
