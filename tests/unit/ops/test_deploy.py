"""What is said and reserved before a deployment."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.progress import Progress
from ops import deploy as module
from ops.deploy import NAME_MAX, PROCESSORS, UNRESERVED, WEBHOOK, Account, NotReady, check_name, deploy, look, plan

if TYPE_CHECKING:
    from pathlib import Path


def an_account(unreserved: int, *, is_first: bool = True) -> Account:
    return Account("123456789012", "eu-west-1", unreserved, unreserved, is_first)


def test_a_usual_account_keeps_room_for_the_webhook_and_bounds_the_processors() -> None:
    overrides, _ = plan(an_account(1000), small=False)
    assert overrides == [f"WebhookReservedConcurrency={WEBHOOK}", f"ProcessorReservedConcurrency={PROCESSORS}"]


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
    assert plan(an_account(10, is_first=False), small=False)[0] == []


def test_a_name_is_not_too_long() -> None:
    check_name("p" * NAME_MAX)
    with pytest.raises(NotReady, match="61 characters"):
        check_name("p" * (NAME_MAX + 1))


class Aws:
    """The calls that are made, with an account's answers."""

    def __init__(self, stack_error: str | None) -> None:
        self._stack_error = stack_error

    def __call__(self, service: str, **_: Any) -> Aws:
        return self

    def get_account_settings(self) -> dict[str, Any]:
        return {"AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 900}}

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "123456789012"}

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803 - AWS's name
        if self._stack_error:
            raise ClientError({"Error": {"Code": self._stack_error, "Message": "no"}}, "DescribeStacks")
        return {"Stacks": [{"StackName": StackName}]}


@pytest.mark.parametrize(("error", "is_first"), [(None, False), ("ValidationError", True)])
def test_the_account_is_looked_at(monkeypatch: pytest.MonkeyPatch, error: str | None, *, is_first: bool) -> None:
    monkeypatch.setattr(boto3, "client", Aws(error))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert look("pullback") == Account("123456789012", "eu-west-1", 1000, 900, is_first)


def test_an_account_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "client", Aws("AccessDenied"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with pytest.raises(NotReady, match="AccessDenied"):
        look("pullback")


def test_sam_gets_what_was_planned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    called: list[list[str]] = []

    class Done:
        returncode = 3

    def run(command: list[str], **_: Any) -> Done:
        called.append(command)
        return Done()

    monkeypatch.setattr(module, "PROJECT", tmp_path)
    monkeypatch.setattr(module, "look", lambda _: an_account(1000))
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(NotReady, match="make build"):
        deploy("pullback", [], Progress(), small=False)
    (tmp_path / ".aws-sam" / "build").mkdir(parents=True)
    (tmp_path / ".aws-sam" / "build" / "template.yaml").touch()

    assert deploy("pullback", [], Progress(), small=False) == 3
    assert called[0][1:] == [
        "deploy",
        "--stack-name",
        "pullback",
        "--parameter-overrides",
        f"WebhookReservedConcurrency={WEBHOOK}",
        f"ProcessorReservedConcurrency={PROCESSORS}",
    ]
    deploy("pullback", ["--parameter-overrides", "LogLevel=DEBUG"], Progress(), small=False)
    assert called[1][-2:] == ["--parameter-overrides", "LogLevel=DEBUG"]
