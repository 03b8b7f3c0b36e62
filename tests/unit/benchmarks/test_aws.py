"""The AWS of the benchmarks answers what the handlers ask, and refuses the rest."""

from __future__ import annotations

import json

import pytest

from benchmarks.inside.aws import SECRET, answer, operation_of


@pytest.mark.parametrize(
    ("target", "path", "operation"),
    [
        ("AWSStepFunctions.StartExecution", "/", "StartExecution"),
        ("DynamoDB_20120810.PutItem", "/", "PutItem"),
        (None, "/2015-03-31/functions/function/invocations", "Invoke"),
        (None, "/", ""),
    ],
)
def test_an_operation_is_known_by_its_header_or_its_path(target: str | None, path: str, operation: str) -> None:
    assert operation_of(target, path) == operation


def test_the_secret_has_no_previous_version() -> None:
    status, body = answer("GetSecretValue", b'{"SecretId": "s", "VersionStage": "AWSCURRENT"}')
    assert (status, json.loads(body)["SecretString"]) == (200, SECRET)
    assert answer("GetSecretValue", b'{"SecretId": "s", "VersionStage": "AWSPREVIOUS"}')[0] == 400


def test_an_execution_has_its_name() -> None:
    status, body = answer("StartExecution", b'{"name": "one"}')
    assert status == 200
    assert json.loads(body)["executionArn"].endswith(":execution:pullback:one")


def test_nothing_else_is_answered() -> None:
    assert answer("DeleteTable", b"{}")[0] == 400
