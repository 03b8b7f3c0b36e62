"""The stack whose dead work it is, local or deployed, and what AWS' refusals mean to the operator."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore import exceptions
from botocore.config import Config

from local.stack import REGION, StackInfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_stepfunctions.client import SFNClient

CONNECT_SECONDS = 5.0
READ_SECONDS = 15.0
ATTEMPTS = 6

_OUTPUTS = ("DeadWorkQueueUrl", "ReplayQueueUrl", "QuarantineQueueUrl", "StateMachineArn")
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "KMS.AccessDeniedException"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId"}
_THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "RequestThrottled",
    "TooManyRequestsException",
    "RequestLimitExceeded",
}
_GONE = {"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "StateMachineDoesNotExist"}


class ReplayError(Exception):
    """It cannot go on. The message says what to do; it may quote names that the operator gave, and nothing else."""


@dataclass(frozen=True)
class Operated:
    """A stack with the clients to operate it."""

    name: str
    is_local: bool
    dead_work_queue_url: str
    replay_queue_url: str
    quarantine_queue_url: str
    state_machine_arn: str
    sqs: SQSClient
    stepfunctions: SFNClient

    def execution_arn(self, name: str) -> str:
        """The ARN of the execution of this name."""
        return f"{self.state_machine_arn.replace(':stateMachine:', ':execution:', 1)}:{name}"


def open_stack(directory: Path, name: str | None) -> Operated:
    """The deployed stack of this name, or the local one that runs in the directory.

    Raises:
        ReplayError: there is none, or AWS cannot be asked.
    """
    return _local(directory) if name is None else _deployed(name)


def _local(directory: Path) -> Operated:
    try:
        info = StackInfo.load(directory / "stack.json")
    except FileNotFoundError:
        raise ReplayError("no stack runs here: `make up` starts one; STACK=name reads a deployed one") from None
    except (TypeError, ValueError):
        raise ReplayError("stack.json is of another version: `make down`, then `make up`") from None
    with explained():
        session = boto3.session.Session(
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - the embedded AWS' own
            region_name=REGION,
        )
        return Operated(
            info.stack_name,
            is_local=True,
            dead_work_queue_url=info.dead_work_queue_url,
            replay_queue_url=info.replay_queue_url,
            quarantine_queue_url=info.quarantine_queue_url,
            state_machine_arn=info.state_machine_arn,
            sqs=_client(session, "sqs", info.aws_endpoint_url),
            stepfunctions=_client(session, "stepfunctions", info.aws_endpoint_url),
        )


def _deployed(name: str) -> Operated:
    with explained():
        session = boto3.session.Session()
        try:
            stacks = _client(session, "cloudformation").describe_stacks(StackName=name)["Stacks"]
        except exceptions.ClientError as error:
            if _code(error) != "ValidationError":
                raise
            raise ReplayError(
                f"there is no stack {name!r} in {session.region_name} of this account: "
                "look at STACK=, AWS_REGION and AWS_PROFILE"
            ) from None
        outputs = {one["OutputKey"]: one["OutputValue"] for one in stacks[0].get("Outputs", [])}
        missing = [key for key in _OUTPUTS if key not in outputs]
        if missing:
            raise ReplayError(
                f"the stack {name!r} has no output {', '.join(missing)}: it is not Pullback's, or of an older version, "
                "which `sam deploy` brings up to date"
            )
        return Operated(
            name,
            is_local=False,
            dead_work_queue_url=outputs["DeadWorkQueueUrl"],
            replay_queue_url=outputs["ReplayQueueUrl"],
            quarantine_queue_url=outputs["QuarantineQueueUrl"],
            state_machine_arn=outputs["StateMachineArn"],
            sqs=_client(session, "sqs"),
            stepfunctions=_client(session, "stepfunctions"),
        )


def _client(session: boto3.session.Session, service: str, endpoint: str | None = None) -> Any:
    """A client whose calls are bounded in time and attempts, and that slows down when it is throttled."""
    return session.client(  # type: ignore[call-overload]
        service,
        endpoint_url=endpoint,
        config=Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "adaptive", "total_max_attempts": ATTEMPTS},
        ),
    )


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turns what boto3 raises into a ReplayError."""
    try:
        yield
    except (exceptions.ClientError, exceptions.BotoCoreError) as error:
        raise ReplayError(explain(error)) from None


def explain(error: exceptions.ClientError | exceptions.BotoCoreError) -> str:
    """What a failed call means, and what to do about it. Of AWS' own text nothing but the refused permission."""
    if isinstance(error, exceptions.ClientError):
        return _explain_refusal(error)
    match error:
        case exceptions.NoRegionError():
            return "no region: set AWS_REGION, or AWS_PROFILE to a profile that has one"
        case exceptions.ProfileNotFound():
            return "the profile of AWS_PROFILE is not in the AWS configuration"
        case exceptions.NoCredentialsError() | exceptions.PartialCredentialsError():
            return "no AWS credentials: set AWS_PROFILE, or sign in (`aws sso login`)"
        case (
            exceptions.SSOError()
            | exceptions.LoginError()
            | exceptions.TokenRetrievalError()
            | exceptions.CredentialRetrievalError()
        ):
            return "the AWS credentials could not be had: sign in again (`aws sso login`)"
        case exceptions.ConnectionError() | exceptions.HTTPClientError():
            return (
                f"AWS did not answer ({type(error).__name__}): look at the network and AWS_REGION; "
                "for the local stack, `make down` and `make up`"
            )
    return f"AWS could not be asked: {type(error).__name__}"


def _explain_refusal(error: exceptions.ClientError) -> str:
    code, operation = _code(error), error.operation_name
    if code in _DENIED:
        return (
            f"AWS denies {operation}: your role lacks that permission "
            "(docs/reliability.md lists those that `make replay` needs)"
        )
    if code in _EXPIRED:
        return "the AWS credentials have expired or are not valid: sign in again (`aws sso login`)"
    if code in _THROTTLED:
        return (
            f"AWS throttles {operation}, after {ATTEMPTS} attempts: wait a minute, or select less "
            "(ERROR=, REPOSITORY=, DELIVERY=)"
        )
    if code in _GONE:
        return f"{operation}: a queue or the state machine is gone ({code}): was the stack deleted?"
    return f"AWS refused {operation}: {code}"


def _code(error: exceptions.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "Unknown"))
