"""AWS clients: one session for all of a function's clients, every call bounded in time and attempts."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Literal, overload

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError
    from mypy_boto3_cloudformation.client import CloudFormationClient
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_lambda.client import LambdaClient
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_secretsmanager.client import SecretsManagerClient
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_stepfunctions.client import SFNClient

# Seconds and attempts: one call takes at most ATTEMPTS * (CONNECT_TIMEOUT + READ_TIMEOUT), and a little for the pauses
# between them. The functions' timeouts stand on that (tests/infrastructure/test_statemachine.py).
CONNECT_TIMEOUT = 1.0
READ_TIMEOUT = 2.0
ATTEMPTS = 2

# A callback's refusals that are final: the task has timed out, was aborted, or is completed already. InvalidToken
# belongs here because a token that Step Functions gave us cannot become valid later.
TASK_OVER = frozenset({"TaskTimedOut", "TaskDoesNotExist", "InvalidToken"})

# DynamoDB's answer to a conditional write whose condition does not hold.
CONDITION_FAILED = "ConditionalCheckFailedException"


@cache
def _session() -> boto3.session.Session:
    # A second session costs as much as the first one: it parses botocore's service data again.
    return boto3.session.Session()


@overload
def client(service: Literal["cloudformation"]) -> CloudFormationClient: ...
@overload
def client(service: Literal["dynamodb"], *, attempts: int = ...) -> DynamoDBClient: ...
@overload
def client(service: Literal["lambda"]) -> LambdaClient: ...
@overload
def client(service: Literal["s3"], *, read_timeout: float = ...) -> S3Client: ...
@overload
def client(service: Literal["secretsmanager"]) -> SecretsManagerClient: ...
@overload
def client(service: Literal["sqs"], *, attempts: int = ...) -> SQSClient: ...
@overload
def client(service: Literal["stepfunctions"], *, attempts: int = ...) -> SFNClient: ...
@cache
def client(service: str, *, read_timeout: float = READ_TIMEOUT, attempts: int = ATTEMPTS) -> object:
    """The function's client for a service, made once.

    Args:
        service: botocore's service name.
        read_timeout: seconds to wait for bytes of an answer; raise it for uploads.
        attempts: how often to try a call.
    """
    return _session().client(  # type: ignore[call-overload]
        service,
        config=Config(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=read_timeout,
            retries={"mode": "standard", "total_max_attempts": attempts},
            # The embedded AWS answers on one loopback address; on AWS this is what S3 recommends anyway.
            s3={"addressing_style": "virtual" if _on_aws() else "path"},
        ),
    )


def _on_aws() -> bool:
    return "AWS_ENDPOINT_URL" not in os.environ


def error_code(error: ClientError | BotoCoreError) -> str:
    """What may be said of a failed call: AWS' error code, or the name of what kept it from answering.

    Its message is left out: it may quote the request.
    """
    if isinstance(error, ClientError):
        return error.response.get("Error", {}).get("Code", "Unknown")
    return type(error).__name__
