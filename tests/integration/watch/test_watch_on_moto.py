"""The watch against moto's Step Functions, and against lists that moto cannot make."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from shared.metrics import Metric
from tests.support import CountingTelemetry, LambdaContext

if TYPE_CHECKING:
    from types import ModuleType

    from tests.integration.conftest import Account

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
TICK = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}


STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/pullback/1"


@pytest.fixture
def watch(account: Account, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The watch, at NOW, of a stack that nobody changes."""
    sqs = boto3.client("sqs")
    handler = account.handler(
        "watch.handler",
        STACK_ID=STACK,
        SUCCESS_WITHIN_SECONDS="1200",
        RECONCILE_AFTER_SECONDS="300",
        ENDED_EXECUTIONS_QUEUE_URL=sqs.create_queue(QueueName="ended")["QueueUrl"],
        DEAD_WORK_QUEUE_URL=sqs.create_queue(QueueName="dead")["QueueUrl"],
    )
    monkeypatch.setattr(handler, "clock", NOW.timestamp)
    monkeypatch.setattr(handler, "telemetry", CountingTelemetry())
    stack_is(handler, "UPDATE_COMPLETE", monkeypatch)
    return handler


def stack_is(handler: ModuleType, status: str, monkeypatch: pytest.MonkeyPatch, **more: Any) -> None:
    """CloudFormation describes the stack, and no other, with this status."""

    def describe(StackName: str) -> dict[str, Any]:  # noqa: N803 - AWS's name
        assert StackName == STACK
        return {"Stacks": [{"StackName": "pullback", "CreationTime": NOW, "StackStatus": status, **more}]}

    monkeypatch.setattr(handler.cloudformation, "describe_stacks", describe)


def minutes_ago(minutes: int) -> datetime:
    return NOW - timedelta(minutes=minutes)


def execution(name: str, *, status: str, started: datetime, stopped: datetime | None = None) -> dict[str, Any]:
    arn = f"arn:aws:states:us-east-1:123456789012:execution:pullback-processor:{name}"
    machine = "arn:aws:states:us-east-1:123456789012:stateMachine:pullback-processor"
    whole = {"executionArn": arn, "stateMachineArn": machine, "name": name, "status": status, "startDate": started}
    return whole | ({"stopDate": stopped} if stopped else {})


def listing(handler: ModuleType, *pages: list[dict[str, Any]]) -> Stubber:
    """Step Functions answers with these pages, one after the other, each but an empty one with more to come."""
    stubber = Stubber(handler.stepfunctions)
    for number, page in enumerate(pages):
        more = {"nextToken": f"page-{number + 1}"} if page and page[0].get("more") else {}
        shown = [{key: value for key, value in one.items() if key != "more"} for one in page]
        stubber.add_response("list_executions", {"executions": shown, **more})
    return stubber


def counted(handler: ModuleType) -> dict[Metric, float]:
    return {metric: value for metric, value, _ in handler.telemetry.values}


def test_nothing_runs_and_nothing_has_ever_succeeded(watch: ModuleType) -> None:
    watch.lambda_handler(TICK, LambdaContext())

    assert counted(watch) == {
        Metric.DEPLOY_IN_PROGRESS: 0,
        Metric.EXECUTIONS_RUNNING: 0,
        Metric.OLDEST_EXECUTION_AGE: 0,
        Metric.EXECUTIONS_SINCE_SUCCESS: 0,
    }


def test_executions_in_moto_are_counted(watch: ModuleType, account: Account) -> None:
    stepfunctions = boto3.client("stepfunctions")
    for number in range(3):
        stepfunctions.start_execution(stateMachineArn=account.state_machine_arn, name=f"one-{number}", input="{}")

    watch.lambda_handler(TICK, LambdaContext())

    assert counted(watch)[Metric.EXECUTIONS_RUNNING] == 3


def test_the_oldest_is_found_on_whichever_page_it_is(watch: ModuleType) -> None:
    newest = execution("newest", status="RUNNING", started=NOW - timedelta(minutes=1)) | {"more": True}
    oldest = execution("oldest", status="RUNNING", started=NOW - timedelta(hours=3))
    with listing(watch, [newest], [oldest], [], []):
        watch.lambda_handler(TICK, LambdaContext())

    assert counted(watch)[Metric.EXECUTIONS_RUNNING] == 2
    assert counted(watch)[Metric.OLDEST_EXECUTION_AGE] == 3 * 60 * 60


def test_the_last_success_is_the_last_to_end_not_the_last_to_start(watch: ModuleType) -> None:
    quick = execution("quick", status="SUCCEEDED", started=minutes_ago(10), stopped=minutes_ago(9))
    slow = execution("slow", status="SUCCEEDED", started=minutes_ago(20), stopped=minutes_ago(2))
    with listing(watch, [], [quick, slow], []):
        watch.lambda_handler(TICK, LambdaContext())

    assert counted(watch)[Metric.LAST_SUCCESS_AGE] == 120


@pytest.mark.parametrize(
    ("started_minutes_ago", "succeeded_minutes_ago", "expected"),
    [
        # Three that should have succeeded by now, and nothing ever has.
        ([90, 60, 25], None, 3),
        # The last success was before them.
        ([90, 60, 25], 100, 3),
        # Something has succeeded since: the one of minute 25 alone is overdue.
        ([90, 60, 25], 30, 1),
        # Nothing new has come for long: whoever was told has been told.
        ([300, 240, 200], 600, 0),
        # A burst that has just begun says nothing, however long it was quiet before.
        ([3, 2, 1], 600, 0),
        ([], None, 0),
    ],
)
def test_what_should_have_succeeded_by_now_is_counted(
    watch: ModuleType, started_minutes_ago: list[int], succeeded_minutes_ago: int | None, expected: int
) -> None:
    all_of_them = [
        execution(f"one-{minutes}", status="FAILED", started=minutes_ago(minutes), stopped=NOW)
        for minutes in started_minutes_ago
    ]
    succeeded = []
    if succeeded_minutes_ago is not None:
        at = minutes_ago(succeeded_minutes_ago)
        succeeded = [execution("good", status="SUCCEEDED", started=at - timedelta(minutes=1), stopped=at)]
    by_end = sorted([*all_of_them, *succeeded], key=lambda one: one["stopDate"], reverse=True)
    by_start = sorted(by_end, key=lambda one: one["startDate"], reverse=True)
    for order in (by_end, by_start):
        watch.telemetry.values.clear()
        with listing(watch, [], succeeded, order):
            watch.lambda_handler(TICK, LambdaContext())
        assert counted(watch)[Metric.EXECUTIONS_SINCE_SUCCESS] == expected


@pytest.mark.parametrize("key", ["stopDate", "startDate"])
def test_an_execution_that_started_before_the_success_and_failed_later_hides_nothing(
    watch: ModuleType, key: str
) -> None:
    """Step Functions lists what has ended by its end; moto and others do so by its start."""
    good = execution("good", status="SUCCEEDED", started=minutes_ago(61), stopped=minutes_ago(60))
    long = execution("long", status="FAILED", started=minutes_ago(62), stopped=minutes_ago(10))
    six = [
        execution(f"one-{number}", status="FAILED", started=minutes_ago(55 - number), stopped=minutes_ago(50 - number))
        for number in range(6)
    ]
    listed = sorted([good, long, *six], key=lambda one: one[key], reverse=True)
    with listing(watch, [], [good], listed):
        watch.lambda_handler(TICK, LambdaContext())

    assert counted(watch)[Metric.EXECUTIONS_SINCE_SUCCESS] == 6


def test_the_list_is_read_no_further_than_it_matters(watch: ModuleType) -> None:
    old = execution("old", status="FAILED", started=minutes_ago(600), stopped=minutes_ago(590))
    with listing(watch, [], [], [old | {"more": True}]) as stubber:
        watch.lambda_handler(TICK, LambdaContext())
        # A further page would have been asked for, and there is none.
        stubber.assert_no_pending_responses()


def test_what_is_overdue_is_found_behind_any_number_that_is_not(watch: ModuleType) -> None:
    young = [execution(f"young-{number}", status="RUNNING", started=minutes_ago(1)) for number in range(1500)]
    old = [execution(f"old-{number}", status="FAILED", started=minutes_ago(30), stopped=NOW) for number in range(5)]
    aborted = [execution("aborted", status="ABORTED", started=minutes_ago(30), stopped=NOW)]
    pages = ([young[0] | {"more": True}, *young[1:1000]], [*young[1000:], *old, *aborted])
    with listing(watch, [], [], *pages):
        watch.lambda_handler(TICK, LambdaContext())

    assert counted(watch)[Metric.EXECUTIONS_SINCE_SUCCESS] == 5


def test_pages_are_read_up_to_a_limit_also_when_they_are_short(
    watch: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MAX_PAGES", 2)
    page = [execution("one", status="RUNNING", started=minutes_ago(1)) | {"more": True}]
    with listing(watch, page, page, [], []):
        watch.lambda_handler(TICK, LambdaContext())

    assert counted(watch)[Metric.EXECUTIONS_RUNNING] == 2


def test_a_start_in_the_future_of_this_clock_is_no_negative_age(watch: ModuleType) -> None:
    with listing(watch, [execution("one", status="RUNNING", started=NOW + timedelta(seconds=2))], [], []):
        watch.lambda_handler(TICK, LambdaContext())

    assert counted(watch)[Metric.OLDEST_EXECUTION_AGE] == 0


def test_when_step_functions_is_away_nothing_is_told_of_it_and_the_invocation_fails(watch: ModuleType) -> None:
    stubber = Stubber(watch.stepfunctions)
    stubber.add_client_error("list_executions", "ThrottlingException", "canary")
    with stubber, pytest.raises(watch.ExecutionsNotListed, match=r"^ThrottlingException$"):
        watch.lambda_handler(TICK, LambdaContext())

    assert counted(watch) == {Metric.DEPLOY_IN_PROGRESS: 0}


@pytest.mark.parametrize(
    ("status", "deploying"),
    [
        ("CREATE_IN_PROGRESS", 1),
        ("UPDATE_IN_PROGRESS", 1),
        ("UPDATE_ROLLBACK_IN_PROGRESS", 1),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", 1),
        ("UPDATE_COMPLETE", 0),
        ("UPDATE_ROLLBACK_FAILED", 0),
    ],
)
def test_a_deployment_is_seen(watch: ModuleType, status: str, deploying: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stack_is(watch, status, monkeypatch)
    watch.lambda_handler(TICK, LambdaContext())

    assert counted(watch)[Metric.DEPLOY_IN_PROGRESS] == deploying


@pytest.mark.parametrize(("minutes", "deploying"), [(29, 1), (31, 0)])
def test_a_stack_that_hangs_mutes_nobody_for_long(
    watch: ModuleType, minutes: int, deploying: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack_is(watch, "UPDATE_IN_PROGRESS", monkeypatch, LastUpdatedTime=minutes_ago(minutes))
    watch.lambda_handler(TICK, LambdaContext())

    assert counted(watch)[Metric.DEPLOY_IN_PROGRESS] == deploying


def test_when_cloudformation_is_away_the_executions_are_counted_all_the_same(
    watch: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "Throttling", "Message": "canary"}}, "DescribeStacks")

    monkeypatch.setattr(watch.cloudformation, "describe_stacks", away)
    watch.lambda_handler(TICK, LambdaContext())

    assert Metric.DEPLOY_IN_PROGRESS not in counted(watch)
    assert counted(watch)[Metric.EXECUTIONS_RUNNING] == 0
