"""`make deploy`: looks at the account first, then calls `sam deploy`; nothing is asked for that can go wrong.

A new account may run ten functions at once. Ten processors of up to ten minutes, or three event sources, would take all
of that, and the webhook would be turned away: deliveries are lost on an ordinary busy morning, and AWS lets nothing be
reserved there, because 100 have to stay unreserved. So what can be reserved is reserved, and where nothing can, that is
said with the command that asks for more.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.stack import PROJECT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.progress import Progress

UNRESERVED = 100
"""So many have to stay unreserved: docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html."""

WEBHOOK = 25
"""A webhook call takes some 50 ms: enough for 500 deliveries a second, ten times what the stage lets through."""

PROCESSORS = 100
"""So many processors at once at most; further work waits in Lambda's queue and, from there, in the state machine."""

QUOTA = "L-B99A9384"
"""Service Quotas' code of Lambda's "Concurrent executions"."""

NAME_MAX = 60
"""The longest name that the stack makes is that of the state machine and its executions' ARN, `<stack>-processor`: 80
characters at most, and Lambda's own names get a suffix of 20."""


class NotReady(RuntimeError):
    """The account or the command is not ready for a deployment; the text says what to do."""


@dataclass(frozen=True)
class Account:
    """What matters of an AWS account.

    Args:
        id: its number.
        region: the region that is deployed to.
        concurrency: functions that it may run at once.
        unreserved: those of them that nobody has reserved.
        is_first: whether the stack is not there yet.
    """

    id: str
    region: str
    concurrency: int
    unreserved: int
    is_first: bool


def plan(account: Account, *, small: bool) -> tuple[list[str], list[str]]:
    """What is passed to a first deployment, and what there is to say.

    Args:
        account: the account.
        small: whether somebody has said that a small account is all right.

    Returns:
        Values of template parameters, and lines for the person who deploys.

    Raises:
        NotReady: the account is too small.
    """
    more = (
        f"aws service-quotas request-service-quota-increase --service-code lambda --quota-code {QUOTA} "
        f"--desired-value 1000 --region {account.region}"
    )
    if not account.is_first:
        return [], ["the stack is there: parameters stay as they are"]
    room = account.unreserved - UNRESERVED
    if room >= WEBHOOK + 1:
        processors = min(PROCESSORS, room - WEBHOOK)
        return (
            [f"WebhookReservedConcurrency={WEBHOOK}", f"ProcessorReservedConcurrency={processors}"],
            [f"{WEBHOOK} concurrent executions are kept for the webhook; processors take {processors} at most"],
        )
    told = (
        f"account {account.id} may run {account.concurrency} functions at once in {account.region}, and "
        f"{account.unreserved} of them are unreserved: nothing can be kept for the webhook, and busy processors would "
        f"turn deliveries away.\n"
        f"Ask for more (it takes hours to days, and costs nothing):\n  {more}"
    )
    if small:
        return [], [told, "SMALL=1: deployed all the same, for trying"]
    raise NotReady(f"{told}\nTo try it on a few pull requests all the same: make deploy SMALL=1")


def check_name(stack: str) -> None:
    """Raises NotReady for a stack's name that makes names which AWS does not take."""
    if len(stack) > NAME_MAX:
        raise NotReady(
            f"the stack's name has {len(stack)} characters; {NAME_MAX} are the most that its names leave room for"
        )


def look(stack: str) -> Account:
    """Asks AWS.

    Raises:
        NotReady: AWS did not answer, or the credentials are none.
    """
    config = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 3, "mode": "standard"})

    def client(service: str) -> Any:
        return boto3.client(service, config=config)  # type: ignore[call-overload]

    try:
        session = boto3.session.Session()
        if not session.region_name:
            raise NotReady("no region: set AWS_REGION, or AWS_PROFILE to a profile that has one")
        limits = client("lambda").get_account_settings()["AccountLimit"]
        try:
            client("cloudformation").describe_stacks(StackName=stack)
            is_first = False
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            is_first = True
        return Account(
            client("sts").get_caller_identity()["Account"],
            session.region_name,
            limits["ConcurrentExecutions"],
            limits["UnreservedConcurrentExecutions"],
            is_first,
        )
    except (ClientError, BotoCoreError) as error:
        raise NotReady(f"AWS did not say how much room there is: {error}") from None


def deploy(stack: str, arguments: Sequence[str], progress: Progress, *, small: bool) -> int:
    """Looks, says what it found, and calls `sam deploy`.

    Args:
        stack: the stack's name.
        arguments: passed on to `sam deploy`, such as ``--parameter-overrides``.
        progress: hears what is found.
        small: see ``plan``.

    Returns:
        The exit code of `sam deploy`.

    Raises:
        NotReady: see there.
    """
    check_name(stack)
    if not (PROJECT / ".aws-sam" / "build" / "template.yaml").exists():
        raise NotReady("nothing is built: `make build` first")
    overrides, told = plan(look(stack), small=small)
    for line in told:
        progress.console.print(line, soft_wrap=True, markup=False)
    given = list(arguments)
    if overrides and "--parameter-overrides" not in given:
        given += ["--parameter-overrides", *overrides]
    sam = str(Path(sys.executable).with_name("sam"))
    command = [sam, "deploy", "--stack-name", stack, *given]
    return subprocess.run(command, cwd=PROJECT, env={**os.environ, "SAM_CLI_TELEMETRY": "0"}, check=False).returncode
