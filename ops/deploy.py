"""`make deploy`: looks at the account first, then calls `sam deploy`; nothing is asked for that can go wrong.

A new account may run ten functions at once. Ten processors of up to ten minutes, or three event sources, would take all
of that, and the webhook would be turned away: deliveries are lost on an ordinary busy morning, and AWS lets nothing be
reserved there, because 100 have to stay unreserved. So what can be reserved is reserved, and where nothing can, that is
said with the command that asks for more.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tomllib
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

KEPT = {
    "WebhookReservedConcurrency": "{} concurrent executions are kept for the webhook",
    "ProcessorReservedConcurrency": "processors take {} at most",
}
"""The template's parameters that are planned here, and what is said of each."""

NEVER_MADE = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED")
"""A stack whose first deployment failed: CloudFormation can only delete it."""

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
        reserved: of KEPT, the parameters for which the stack has another value than 0.
    """

    id: str
    region: str
    concurrency: int
    unreserved: int
    is_first: bool
    reserved: frozenset[str] = frozenset()


def plan(account: Account, given: Sequence[str] = (), *, small: bool) -> tuple[list[str], list[str]]:
    """What is passed to a first deployment, and what there is to say.

    Args:
        account: the account.
        given: overrides of parameters that somebody has asked for. A parameter that they name is not planned.
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
    named = " ".join(given)
    room = account.unreserved - UNRESERVED
    planned = {}
    if room >= WEBHOOK + 1:
        values = zip(KEPT, (WEBHOOK, min(PROCESSORS, room - WEBHOOK)), strict=True)
        planned = {name: value for name, value in values if name not in named}
    if not account.is_first:
        told = ["the stack is there: parameters stay as they are"]
        if missing := [f"{name}={value}" for name, value in planned.items() if name not in account.reserved]:
            told.append(
                f'there is room for concurrency that the stack does not keep: OVERRIDES="{" ".join(missing)}" keeps it'
            )
        return [], told
    if room >= WEBHOOK + 1:
        told = [KEPT[name].format(value) for name, value in planned.items()]
        return [f"{name}={value}" for name, value in planned.items()], told
    problem = (
        f"account {account.id} may run {account.concurrency} functions at once in {account.region}, and "
        f"{account.unreserved} of them are unreserved: nothing can be kept for the webhook, and busy processors would "
        f"turn deliveries away.\n"
        f"Ask for more (it takes hours to days, and costs nothing):\n  {more}"
    )
    if small:
        return [], [
            problem,
            "SMALL=1: deployed all the same, for trying; once there is room, the next `make deploy` says what to set",
        ]
    raise NotReady(f"{problem}\nTo try it on a few pull requests all the same: make deploy SMALL=1")


def check_name(stack: str) -> None:
    """Raises NotReady for a stack's name that makes names which AWS does not take."""
    if len(stack) > NAME_MAX:
        raise NotReady(
            f"the stack's name has {len(stack)} characters; {NAME_MAX} are the most that its names leave room for"
        )


def look(stack: str) -> Account:
    """Asks AWS.

    Raises:
        NotReady: AWS did not answer, the credentials are none, or the stack can only be deleted.
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
            (found,) = client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            found = {"StackStatus": "REVIEW_IN_PROGRESS"}
        if found["StackStatus"] in NEVER_MADE:
            raise NotReady(
                f"the first deployment of {stack} failed, and what is left of it cannot be deployed to.\n"
                f"Delete it, then deploy again:\n  aws cloudformation delete-stack --stack-name {stack} "
                f"--region {session.region_name}"
            )
        return Account(
            client("sts").get_caller_identity()["Account"],
            session.region_name,
            limits["ConcurrentExecutions"],
            limits["UnreservedConcurrentExecutions"],
            # Somebody has begun with a stack that is under review, but nothing of it is there.
            found["StackStatus"] == "REVIEW_IN_PROGRESS",
            frozenset(
                one["ParameterKey"]
                for one in found.get("Parameters", ())
                if one["ParameterKey"] in KEPT and one["ParameterValue"] != "0"
            ),
        )
    except (ClientError, BotoCoreError) as error:
        raise NotReady(f"AWS did not say how much room there is: {error}") from None


def _parser(option: str, **options: Any) -> argparse.ArgumentParser:
    """Finds one option of `sam deploy`, and leaves all others alone."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(option, **options)
    return parser


def _configured(arguments: Sequence[str]) -> list[str]:
    """The overrides of samconfig.toml, as arguments; those of a file in another format are not seen.

    Raises:
        NotReady: it cannot be read.
    """
    file = PROJECT / _parser("--config-file", default="samconfig.toml").parse_known_args(arguments)[0].config_file
    environment = _parser("--config-env", default="default").parse_known_args(arguments)[0].config_env
    if file.suffix != ".toml" or not file.exists():
        return []
    try:
        config: dict[str, Any] = tomllib.loads(file.read_text()).get(environment, {})
    except ValueError as error:
        raise NotReady(f"{file.name} cannot be read: {error}") from None
    sections = [config.get(command, {}).get("parameters", {}) for command in ("global", "deploy")]
    return _texts((sections[0] | sections[1]).get("parameter_overrides", []))


def _texts(value: Any) -> list[str]:
    """The three forms that samconfig.toml may have overrides in, as arguments."""
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    if isinstance(value, dict):
        # Quoted: blanks would end the value.
        return [
            '{}="{}"'.format(name, ",".join(map(str, one)) if isinstance(one, list) else str(one).replace('"', '\\"'))
            for name, one in value.items()
        ]
    return [str(value)]


def deploy(stack: str, arguments: Sequence[str], progress: Progress, *, small: bool) -> int:
    """Looks, says what it found, and calls `sam deploy`.

    Overrides on the command line replace those of samconfig.toml, and a first deployment has no values of before that
    would stay. So it gets both, behind what is planned: of a parameter that is named twice, sam takes the last value.

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
    split, given = _parser("--parameter-overrides", nargs="*", default=[]).parse_known_args(arguments)
    account = look(stack)
    asked = split.parameter_overrides
    if account.is_first:
        asked = [*_configured(given), *asked]
    overrides, told = plan(account, asked, small=small)
    for line in told:
        progress.console.print(line, soft_wrap=True, markup=False)
    if overrides or asked:
        given += ["--parameter-overrides", *overrides, *asked]
    sam = str(Path(sys.executable).with_name("sam"))
    command = [sam, "deploy", "--stack-name", stack, *given]
    return subprocess.run(command, cwd=PROJECT, env={**os.environ, "SAM_CLI_TELEMETRY": "0"}, check=False).returncode
