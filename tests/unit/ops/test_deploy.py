"""What is said and reserved before a deployment."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from samcli.cli.types import CfnParameterOverridesType  # type: ignore[import-untyped]

from local.progress import Progress
from ops import deploy as module
from ops.deploy import (
    KEPT,
    NAME_MAX,
    NEVER_MADE,
    PROCESSORS,
    UNRESERVED,
    WEBHOOK,
    Account,
    NotReady,
    check_name,
    deploy,
    look,
    plan,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


RESERVATIONS = [f"WebhookReservedConcurrency={WEBHOOK}", f"ProcessorReservedConcurrency={PROCESSORS}"]


def an_account(unreserved: int, *, is_first: bool = True, reserved: Iterable[str] = ()) -> Account:
    return Account("123456789012", "eu-west-1", unreserved, unreserved, is_first, frozenset(reserved))


def test_a_usual_account_keeps_room_for_the_webhook_and_bounds_the_processors() -> None:
    overrides, _ = plan(an_account(1000), small=False)
    assert overrides == RESERVATIONS


@pytest.mark.parametrize(
    "given", ["ProcessorReservedConcurrency=7", "ParameterKey=ProcessorReservedConcurrency,ParameterValue=7"]
)
def test_what_somebody_asks_for_is_neither_planned_nor_told_otherwise(given: str) -> None:
    overrides, told = plan(an_account(1000), [given], small=False)
    assert overrides == RESERVATIONS[:1]
    assert told == [f"{WEBHOOK} concurrent executions are kept for the webhook"]


@pytest.mark.parametrize("unreserved", [UNRESERVED + WEBHOOK + 1, 150, 200])
def test_what_is_reserved_leaves_what_aws_wants_unreserved(unreserved: int) -> None:
    overrides, _ = plan(an_account(unreserved), small=False)
    reserved = sum(int(one.partition("=")[2]) for one in overrides)
    assert unreserved - reserved >= UNRESERVED
    assert all(int(one.partition("=")[2]) > 0 for one in overrides)


@pytest.mark.parametrize("unreserved", [10, 100, UNRESERVED + WEBHOOK])
def test_a_small_account_is_refused_with_the_command_that_asks_for_more(unreserved: int) -> None:
    with pytest.raises(NotReady, match=r"request-service-quota-increase.*L-B99A9384.*--region eu-west-1") as caught:
        plan(an_account(unreserved), small=False)
    assert "SMALL=1" in str(caught.value)
    overrides, told = plan(an_account(unreserved), small=True)
    assert overrides == []
    assert any("turn deliveries away" in line for line in told)


def test_an_update_changes_no_parameter() -> None:
    """Also not on an account that is small by now, or one that was set in an emergency."""
    for unreserved in (10, 1000):
        assert plan(an_account(unreserved, is_first=False), small=False)[0] == []


@pytest.mark.parametrize(
    ("unreserved", "reserved", "given", "missing"),
    [
        (1000, [], [], RESERVATIONS),
        (1000, ["ProcessorReservedConcurrency"], [], RESERVATIONS[:1]),
        (1000, [], RESERVATIONS[:1], RESERVATIONS[1:]),
        (1000, KEPT, [], []),
        (100, [], [], []),
    ],
)
def test_an_update_tells_what_there_is_room_for_by_now(
    unreserved: int, reserved: Iterable[str], given: list[str], missing: list[str]
) -> None:
    _, told = plan(an_account(unreserved, is_first=False, reserved=reserved), given, small=False)
    assert [line for line in told if "OVERRIDES" in line] == (
        [f'there is room for concurrency that the stack does not keep: OVERRIDES="{" ".join(missing)}" keeps it']
        if missing
        else []
    )


def test_a_name_is_not_too_long() -> None:
    check_name("p" * NAME_MAX)
    with pytest.raises(NotReady, match="61 characters"):
        check_name("p" * (NAME_MAX + 1))


class Aws:
    """The calls that are made, with an account's answers."""

    def __init__(self, stack: str | dict[str, Any]) -> None:
        """``stack`` is what CloudFormation says of it, or the code of its error."""
        self._stack = stack

    def __call__(self, service: str, **_: Any) -> Aws:
        return self

    def get_account_settings(self) -> dict[str, Any]:
        return {"AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 900}}

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "123456789012"}

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803 - AWS's name
        if isinstance(self._stack, str):
            raise ClientError({"Error": {"Code": self._stack, "Message": "no"}}, "DescribeStacks")
        return {"Stacks": [{"StackName": StackName} | self._stack]}


@pytest.mark.parametrize(
    ("stack", "is_first"),
    [
        ("ValidationError", True),
        # A change set was made for a new stack, and never executed.
        ({"StackStatus": "REVIEW_IN_PROGRESS"}, True),
        ({"StackStatus": "UPDATE_ROLLBACK_COMPLETE"}, False),
    ],
)
def test_the_account_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, stack: str | dict[str, Any], *, is_first: bool
) -> None:
    monkeypatch.setattr(boto3, "client", Aws(stack))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert look("pullback") == Account("123456789012", "eu-west-1", 1000, 900, is_first)


def test_what_the_stack_has_reserved_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"LogLevel": "INFO", "WebhookReservedConcurrency": "25", "ProcessorReservedConcurrency": "0"}
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]
    monkeypatch.setattr(boto3, "client", Aws({"StackStatus": "CREATE_COMPLETE", "Parameters": parameters}))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert look("pullback").reserved == {"WebhookReservedConcurrency"}


@pytest.mark.parametrize("status", NEVER_MADE)
def test_a_stack_that_was_never_made_is_to_be_deleted_first(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    monkeypatch.setattr(boto3, "client", Aws({"StackStatus": status}))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with pytest.raises(NotReady, match="delete-stack --stack-name pullback --region eu-west-1"):
        look("pullback")


def test_an_account_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "client", Aws("AccessDenied"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with pytest.raises(NotReady, match="AccessDenied"):
        look("pullback")


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """The commands that are run, in a project that is built."""
    called: list[list[str]] = []

    class Done:
        returncode = 3

    def run(command: list[str], **_: Any) -> Done:
        called.append(command)
        return Done()

    monkeypatch.setattr(module, "PROJECT", tmp_path)
    monkeypatch.setattr(module, "look", lambda _: an_account(1000))
    monkeypatch.setattr(subprocess, "run", run)
    (tmp_path / ".aws-sam" / "build").mkdir(parents=True)
    (tmp_path / ".aws-sam" / "build" / "template.yaml").touch()
    return called


def overrides_of(command: list[str]) -> dict[str, str]:
    """The overrides at the end of a command, as sam itself reads them."""
    start = command.index("--parameter-overrides") + 1
    read: dict[str, str] = CfnParameterOverridesType().convert(tuple(command[start:]), None, None)
    return read


PLANNED = {"WebhookReservedConcurrency": str(WEBHOOK), "ProcessorReservedConcurrency": str(PROCESSORS)}


def test_nothing_is_deployed_that_is_not_built(called: list[list[str]], tmp_path: Path) -> None:
    (tmp_path / ".aws-sam" / "build" / "template.yaml").unlink()
    with pytest.raises(NotReady, match="make build"):
        deploy("pullback", [], Progress(), small=False)
    assert not called


def test_sam_gets_what_was_planned(called: list[list[str]]) -> None:
    assert deploy("pullback", [], Progress(), small=False) == 3
    assert called[0][1:] == ["deploy", "--stack-name", "pullback", "--parameter-overrides", *RESERVATIONS]


def test_what_somebody_asks_for_comes_on_top(called: list[list[str]]) -> None:
    arguments = ["--parameter-overrides", "LogLevel=DEBUG", "ProcessorReservedConcurrency=7", "--region", "eu-west-2"]
    deploy("pullback", arguments, Progress(), small=False)
    assert called[0][4:6] == ["--region", "eu-west-2"]
    assert overrides_of(called[0]) == PLANNED | {"LogLevel": "DEBUG", "ProcessorReservedConcurrency": "7"}


@pytest.mark.parametrize(
    "configured",
    [
        '"LogLevel=DEBUG RunbookUrl=\\"a b\\" EnableWaf=true"',
        '["LogLevel=DEBUG", "RunbookUrl=\\"a b\\"", "EnableWaf=true"]',
        '{LogLevel = "DEBUG", RunbookUrl = "a b", EnableWaf = "true"}',
    ],
)
def test_what_samconfig_asks_for_is_not_lost(called: list[list[str]], tmp_path: Path, configured: str) -> None:
    (tmp_path / "samconfig.toml").write_text(f"[default.deploy.parameters]\nparameter_overrides = {configured}\n")
    deploy("pullback", ["--parameter-overrides", "LogLevel=INFO"], Progress(), small=False)
    assert overrides_of(called[0]) == PLANNED | {"LogLevel": "INFO", "RunbookUrl": "a b", "EnableWaf": "true"}


def test_the_configuration_that_sam_is_told_of_is_the_one_that_counts(called: list[list[str]], tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text('[live.global.parameters]\nparameter_overrides = "EnableWaf=true"\n')
    arguments = ["--config-file", "other.toml", "--config-env", "live"]
    deploy("pullback", arguments, Progress(), small=False)
    assert called[0][4:8] == arguments
    assert overrides_of(called[0]) == PLANNED | {"EnableWaf": "true"}


def test_a_configuration_that_cannot_be_read_is_said(called: list[list[str]], tmp_path: Path) -> None:
    (tmp_path / "samconfig.toml").write_text("[")
    with pytest.raises(NotReady, match=r"samconfig\.toml cannot be read"):
        deploy("pullback", [], Progress(), small=False)
    assert not called


def test_an_update_leaves_configuration_to_sam(
    called: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was given once stays: sam passes on the values of before for all that is not named."""
    monkeypatch.setattr(module, "look", lambda _: an_account(1000, is_first=False))
    (tmp_path / "samconfig.toml").write_text('[default.deploy.parameters]\nparameter_overrides = "EnableWaf=true"\n')
    deploy("pullback", [], Progress(), small=False)
    deploy("pullback", ["--parameter-overrides", "LogLevel=DEBUG"], Progress(), small=False)
    assert "--parameter-overrides" not in called[0]
    assert overrides_of(called[1]) == {"LogLevel": "DEBUG"}
