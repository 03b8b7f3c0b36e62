"""What is done in a row. A scene returns while its fault is in force; the drill waits for the alarms, and clears."""

from __future__ import annotations

import json
import threading
import time
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import requests

from drills.chaos import scenes as chaos
from drills.chaos.rig import DrillError
from drills.chaos.trial import DELIVERY_TIMEOUT_SECONDS
from local.cloudwatch.aws import LEFT_OUT_AFTER
from local.cloudwatch.series import MetricId
from local.stack import SWEPT_HOOK, aws_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from drills.alarms.cloudwatch import CloudWatch
    from drills.chaos.model import Function
    from drills.chaos.trial import Trial

    Scene = Callable[[Trial, CloudWatch], None]

MINUTE, HOUR, DAY = 60, 3600, 24 * 3600
FORGED = 20
TURNED_AWAY = 5
REFUSED_AT_ONCE = 10
OVERDUE = 3
OVERDUE_SECONDS = 5
"""The drill's parameter SuccessWithinSeconds, so that work is overdue soon."""
REDELIVERIES = 7
"""So many the sweeper asks for before it gives a delivery up (functions/sweeper/sweep.py)."""


def several(trial: Trial, number: int) -> None:
    """Deliveries for as many pull requests, each new."""
    for _ in range(number):
        trial.pull_request = trial.rig.github.open_pull_request({"drill.txt": uuid.uuid4().hex})
        trial.shas.append(trial.pull_request.head_sha)
        trial.deliver()


def forged(trial: Trial, cloudwatch: CloudWatch) -> None:
    """Deliveries that are signed with another secret."""
    rig = trial.rig
    real, rig.webhook_secret = rig.webhook_secret, "somebody else's"
    try:
        for _ in range(FORGED):
            trial.deliver()
    finally:
        rig.webhook_secret = real
        trial.deliveries.clear()
    cloudwatch.pass_minutes()


def refused_twice(trial: Trial, cloudwatch: CloudWatch) -> None:
    """A delivery in each of two minutes."""
    trial.apply()
    for _ in range(2):
        trial.deliver()
        cloudwatch.pass_minutes()


def refused_now_and_then(trial: Trial, cloudwatch: CloudWatch) -> None:
    """Two deliveries, half an hour apart: never in minutes that are neighbours."""
    trial.apply()
    trial.deliver()
    cloudwatch.pass_minutes(30)
    trial.deliver()
    cloudwatch.pass_minutes()


def unstartable_webhook(trial: Trial, cloudwatch: CloudWatch) -> None:
    """A deployment broke the webhook: it dies when it is started, and deliveries are half an hour apart."""
    with trial.rig.version("webhook", Handler="webhook.nowhere.lambda_handler"):
        trial.deliver()
        cloudwatch.pass_minutes(30)
        trial.deliver()
        cloudwatch.pass_minutes()
    trial.deliveries.clear()


def turned_away(trial: Trial, cloudwatch: CloudWatch) -> None:
    """Requests that API Gateway refuses by itself: the webhook never sees them."""
    for _ in range(TURNED_AWAY):
        answer = requests.post(f"{trial.rig.info.webhook_url}/elsewhere", json={}, timeout=DELIVERY_TIMEOUT_SECONDS)
        if answer.status_code != HTTPStatus.FORBIDDEN:
            raise DrillError(f"the API answers {answer.status_code} at another path")
    cloudwatch.pass_minutes()


def slow(trial: Trial, cloudwatch: CloudWatch) -> None:
    """A delivery in each of three minutes, each of them under way for some seconds."""
    trial.apply()
    for number in range(1, 4):
        delivering = threading.Thread(target=several, args=(trial, 1), daemon=True)
        delivering.start()
        trial.until_fired(times=number)
        cloudwatch.pass_time(6)
        delivering.join()
        cloudwatch.pass_minutes()


def kept(trial: Trial, cloudwatch: CloudWatch) -> None:
    """Three deliveries every five minutes, for a quarter of an hour."""
    trial.apply()
    for number in range(1, 4):
        several(trial, 3)
        trial.until(
            lambda wanted=3 * number: trial.metrics(("replay",))["replay.MessageReturned"] >= wanted,  # type: ignore[misc]
            "messages that are given back",
        )
        cloudwatch.pass_minutes(5)
    cloudwatch.pass_minutes(4)


def refused_work(trial: Trial, cloudwatch: CloudWatch) -> None:
    """Ten pull requests that GitHub refuses, and ten more five minutes later."""
    trial.apply()
    for _ in range(2):
        started = time.monotonic()
        several(trial, REFUSED_AT_ONCE)
        trial.until_ended()
        trial.until(lambda since=started: time.monotonic() - since > OVERDUE_SECONDS, "overdue work")  # type: ignore[misc]
        cloudwatch.pass_minutes(5)


def waiting_for_github(trial: Trial, cloudwatch: CloudWatch) -> None:
    """Executions that wait for GitHub's limit, until nothing has succeeded for long, and until an hour and a half."""
    trial.apply()
    started = time.monotonic()
    several(trial, OVERDUE)
    trial.until(lambda: trial.metrics(("processor",))["processor.GitHubError"] >= OVERDUE, "GitHub's refusals")
    trial.until(lambda: time.monotonic() - started > OVERDUE_SECONDS, "overdue work")
    cloudwatch.pass_minutes(10)
    cloudwatch.pass_time(1.5 * HOUR)


def long_work(trial: Trial, cloudwatch: CloudWatch) -> None:
    """Work for which GitHub needs more than eight minutes, while other work goes on."""
    trial.apply()
    trial.deliver()
    trial.until_status("pending")
    cloudwatch.pass_time(300)
    several(trial, 1)
    trial.until(lambda: "SUCCEEDED" in [one.status for one in trial.executions()], "the other work")
    cloudwatch.pass_time(190)
    trial.until_ended()
    cloudwatch.pass_minutes()


def _until_given_back(trial: Trial, function: Function) -> None:
    """Waits until a consumer has failed so often that SQS leaves its message out of the age of the oldest."""
    returned = f"{function}.MessageReturned"
    trial.until(
        lambda: trial.metrics((function,))[returned] >= LEFT_OUT_AFTER,
        f"a message that {function} gives back {LEFT_OUT_AFTER} times",
    )


def killed_three_times(trial: Trial, cloudwatch: CloudWatch) -> None:
    """The processor dies in each of its attempts."""
    chaos.killed_three_times(trial)
    trial.until_ended()
    cloudwatch.pass_minutes()


def unclosed(trial: Trial, cloudwatch: CloudWatch) -> None:
    """An execution fails, and for a quarter of an hour the closing function tries to close its status."""
    trial.apply()
    trial.deliver()
    trial.until_ended()
    _until_given_back(trial, "closing")
    cloudwatch.pass_minutes(15)


def left_for_days(trial: Trial, cloudwatch: CloudWatch) -> None:
    """Dead work, and a message that cannot be read, which were told of, and for which nobody comes."""
    trial.apply()
    trial.rig.put("replay", chaos.POISON[0])
    trial.deliver()
    trial.until_quiet()
    trial.until(lambda: not trial.rig.is_empty("dead") and not trial.rig.is_empty("quarantine"), "what is left")
    cloudwatch.pass_minutes(5)
    cloudwatch.pass_time(3 * DAY)


def failing_sweeps(trial: Trial, cloudwatch: CloudWatch) -> None:
    """Three sweeps, of which none gets an answer."""
    rig = trial.rig
    rig.github.set_hook(rig.info.webhook_url, rig.webhook_secret)
    trial.apply()
    for _ in range(3):
        cloudwatch.invoke("sweeper")
        cloudwatch.pass_minutes(5)


def hopeless_delivery(trial: Trial, cloudwatch: CloudWatch) -> None:
    """A delivery that fails, and no redelivery. The sweeper's pauses, which are hours, are over at once."""
    rig = trial.rig
    rig.github.set_hook(rig.info.webhook_url, rig.webhook_secret)
    trial.apply()
    delivery = trial.new_delivery()
    trial.deliveries.clear()
    # Dated back: what is new is left to the next sweep.
    rig.github.deliver(delivery.body, guid=delivery.id, ago=10 * MINUTE)
    for _ in range(REDELIVERIES + 1):
        _expire(trial, f"sweep#{SWEPT_HOOK}", "swept_until")
        _expire(trial, f"redelivery#{SWEPT_HOOK}#{delivery.id}", "due_at", "asked_at")
        cloudwatch.invoke("sweeper")
    cloudwatch.pass_minutes()


def _expire(trial: Trial, key: str, *times: str) -> None:
    """Sets times in an item of the sweeper's to long ago."""
    trial.rig.dynamodb.update_item(
        TableName=trial.rig.info.idempotency_table,
        Key={"id": {"S": key}},
        UpdateExpression="SET " + ", ".join(f"{one} = :zero" for one in times),
        ExpressionAttributeValues={":zero": {"N": "0"}},
    )


def unwatched(trial: Trial, cloudwatch: CloudWatch) -> None:  # noqa: ARG001 - what runs is not touched
    """Nobody invokes the watch for longer than its alarm looks back."""
    with cloudwatch.unwatched():
        cloudwatch.pass_minutes(10)


def deploying(trial: Trial, cloudwatch: CloudWatch) -> None:
    """CloudFormation changes the stack, for as long as a resource that is added waits for a signal."""
    stack = trial.rig.info.stack_name
    cloudformation = aws_client("cloudformation", trial.rig.info.aws_endpoint_url)
    body = cloudformation.get_template(StackName=stack, TemplateStage="Processed")["TemplateBody"]
    template = body if isinstance(body, dict) else json.loads(body)
    wait = {"ResourceSignal": {"Timeout": "PT2M"}}
    template["Resources"]["DrillWait"] = {"Type": "AWS::CloudFormation::WaitCondition", "CreationPolicy": wait}
    bucket, key = trial.rig.info.artifact_bucket, "drill.json"
    trial.rig.s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(template).encode())
    (described,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    cloudformation.update_stack(
        StackName=stack,
        TemplateURL=f"{trial.rig.info.aws_endpoint_url}/{bucket}/{key}",
        Parameters=[{"ParameterKey": one["ParameterKey"], "UsePreviousValue": True} for one in described["Parameters"]],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    )

    def status() -> str:
        return str(cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"])

    try:
        if status() != "UPDATE_IN_PROGRESS":
            raise DrillError(f"the stack is {status()}")
        cloudwatch.pass_minutes(2)
    finally:
        trial.until(lambda: _signalled(cloudformation, stack), "the resource that waits")
        trial.until(lambda: not status().endswith("_IN_PROGRESS"), "the end of the deployment")
    if status() != "UPDATE_COMPLETE":
        raise DrillError(f"the stack is {status()}")


def _signalled(cloudformation: Any, stack: str) -> bool:
    try:
        cloudformation.signal_resource(
            StackName=stack, LogicalResourceId="DrillWait", UniqueId=str(uuid.uuid4()), Status="SUCCESS"
        )
    except cloudformation.exceptions.ClientError:
        # It does not wait yet.
        return False
    return True


def published(namespace: str, name: str, *, of: Function | None = None, minutes: int = 1) -> Scene:
    """A metric as AWS would publish it: one each minute.

    Args:
        namespace: AWS's.
        name: the metric's.
        of: the function whose it is; None for the state machine.
        minutes: so many.
    """

    def scene(trial: Trial, cloudwatch: CloudWatch) -> None:
        dimensions = (
            {"FunctionName": cloudwatch.function(of)} if of else {"StateMachineArn": trial.rig.info.state_machine_arn}
        )
        for _ in range(minutes):
            cloudwatch.publish(MetricId.of(namespace, name, dimensions), 1)
            cloudwatch.pass_minutes()

    return scene
