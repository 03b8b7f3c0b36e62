"""Alarms on the embedded CloudWatch, through its API: the mendings of local/cloudwatch/mend.py at work."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local.process import LocalProcess
from local.stack import aws_client, aws_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALARM: dict[str, Any] = {
    "AlarmName": "failures",
    "Namespace": "Test",
    "MetricName": "Failed",
    "Dimensions": [{"Name": "service", "Value": "processor"}],
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 3,
    "DatapointsToAlarm": 2,
    "Threshold": 0.0,
    "ComparisonOperator": "GreaterThanThreshold",
    "TreatMissingData": "notBreaching",
}
SHARE: dict[str, Any] = {
    "AlarmName": "share",
    "EvaluationPeriods": 1,
    "Threshold": 0.5,
    "ComparisonOperator": "GreaterThanThreshold",
    "TreatMissingData": "notBreaching",
    "Metrics": [
        {"Id": "share", "Expression": "failed / (failed + FILL(worked, 0))", "ReturnData": True},
        *(
            {
                "Id": name.lower(),
                "ReturnData": False,
                "MetricStat": {
                    "Metric": {"Namespace": "Test", "MetricName": name, "Dimensions": ALARM["Dimensions"]},
                    "Period": 60,
                    "Stat": "Sum",
                },
            }
            for name in ("Failed", "Worked")
        ),
    ],
}


class Engine:
    """The embedded AWS, and CloudWatch's clock."""

    def __init__(self, port: int, clock: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.cloudwatch = aws_client("cloudwatch", self.url)
        self._clock = clock
        self._ahead = 0.0

    @property
    def now(self) -> float:
        return time.time() + self._ahead

    def wait(self, seconds: float) -> None:
        self._ahead += seconds
        self._clock.write_text(str(self._ahead))

    def put(self, name: str, service: str, *minutes_ago: int, value: float = 1.0) -> None:
        self.cloudwatch.put_metric_data(
            Namespace="Test",
            MetricData=[
                {
                    "MetricName": name,
                    "Dimensions": [{"Name": "service", "Value": service}],
                    "Timestamp": self.now - 60 * ago,
                    "Value": value,
                }
                for ago in minutes_ago
            ],
        )

    def described(self, name: str) -> dict[str, Any]:
        (alarm,) = self.cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        found: dict[str, Any] = alarm
        return found

    def state(self, name: str) -> str:
        return str(self.described(name)["StateValue"])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    directory = tmp_path_factory.mktemp("engine")
    clock = directory / "clock"
    process = LocalProcess(
        "local.engine", ["--traces", str(directory / "traces"), "--clock", str(clock)], directory, aws_environment()
    )
    yield Engine(process.port, clock)
    process.stop()


@pytest.fixture
def engine(running: Engine) -> Iterator[Engine]:
    """Without alarms, without samples that are younger than a day, and with a minute that is young."""
    running.wait(24 * 3600 + 65 - running.now % 60)
    yield running
    names = [alarm["AlarmName"] for alarm in running.cloudwatch.describe_alarms()["MetricAlarms"]]
    running.cloudwatch.delete_alarms(AlarmNames=names)


def test_an_alarm_sees_its_own_dimensions_alone_and_ends_when_time_passes(engine: Engine) -> None:
    engine.cloudwatch.put_metric_alarm(**ALARM)
    assert engine.state("failures") == "OK"
    engine.put("Failed", "webhook", 1, 2, 3)
    assert engine.state("failures") == "OK"
    # One of three is not enough, two are; and not before the minute is over in which they were.
    engine.put("Failed", "processor", 0, 1)
    assert engine.state("failures") == "OK"
    engine.wait(60)
    assert engine.state("failures") == "ALARM"
    engine.wait(600)
    assert engine.state("failures") == "OK"
    history = engine.cloudwatch.describe_alarm_history(AlarmName="failures", HistoryItemType="StateUpdate")
    assert [item["HistorySummary"] for item in history["AlarmHistoryItems"]][:3] == [
        "Alarm updated from ALARM to OK",
        "Alarm updated from OK to ALARM",
        "Alarm updated from INSUFFICIENT_DATA to OK",
    ]


def test_an_alarm_on_an_expression_is_evaluated_and_described(engine: Engine) -> None:
    engine.cloudwatch.put_metric_alarm(**SHARE)
    described = engine.described("share")
    assert described["Metrics"] == SHARE["Metrics"]
    assert not described.keys() & {"Namespace", "MetricName", "Statistic", "Period"}
    assert described["StateValue"] == "OK"
    engine.put("Failed", "processor", 1)
    engine.put("Worked", "processor", 1)
    assert engine.state("share") == "OK"
    engine.put("Failed", "processor", 1)
    assert engine.state("share") == "ALARM"


def test_cloudformation_makes_an_alarm_on_an_expression_and_changes_it(engine: Engine) -> None:
    cloudformation = aws_client("cloudformation", engine.url)
    resource = {"Type": "AWS::CloudWatch::Alarm", "Properties": SHARE | {"AlarmName": "deployed"}}
    cloudformation.create_stack(StackName="alarms", TemplateBody=json.dumps({"Resources": {"Share": resource}}))
    cloudformation.get_waiter("stack_create_complete").wait(StackName="alarms", WaiterConfig={"Delay": 1})
    assert engine.described("deployed")["Metrics"] == SHARE["Metrics"]
    engine.put("Failed", "processor", 1)
    assert engine.state("deployed") == "ALARM"

    resource["Properties"] = ALARM | {"AlarmName": "deployed"}
    cloudformation.update_stack(StackName="alarms", TemplateBody=json.dumps({"Resources": {"Share": resource}}))
    cloudformation.get_waiter("stack_update_complete").wait(StackName="alarms", WaiterConfig={"Delay": 1})
    assert "Metrics" not in engine.described("deployed")
    assert engine.state("deployed") == "OK"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"Metrics": [{"Id": "share", "Expression": "STDDEV(nobody)"}, *SHARE["Metrics"][1:]]}, "STDDEV"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "GreaterThanUpperThreshold"),
        ({"TreatMissingData": "whatever"}, "whatever"),
    ],
)
def test_an_alarm_that_cannot_be_evaluated_is_refused(engine: Engine, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ClientError, match=named) as caught:
        engine.cloudwatch.put_metric_alarm(**SHARE | changes)
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert engine.cloudwatch.describe_alarms(AlarmNames=["share"])["MetricAlarms"] == []


def test_who_listens_to_an_alarm_hears_of_each_change(engine: Engine) -> None:
    sns, sqs = aws_client("sns", engine.url), aws_client("sqs", engine.url)
    topic = sns.create_topic(Name="operators")["TopicArn"]
    queue = sqs.create_queue(QueueName="operators")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allowed = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:*", "Resource": arn}
    policy = {"Version": "2012-10-17", "Statement": [allowed]}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    engine.cloudwatch.put_metric_alarm(**ALARM, AlarmActions=[topic], OKActions=[topic])
    engine.put("Failed", "processor", 1, 2)
    engine.wait(600)
    assert engine.state("failures") == "OK"
    told = []
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            told.append(json.loads(json.loads(message["Body"])["Message"])["NewStateValue"])
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert sorted(told) == ["ALARM", "OK", "OK"]


@pytest.mark.parametrize(
    ("statistic", "value"), [("SampleCount", 4), ("Sum", 10), ("Average", 2.5), ("Minimum", 1), ("Maximum", 5)]
)
def test_a_set_of_statistics_counts_as_what_it_is_of(engine: Engine, statistic: str, value: float) -> None:
    engine.cloudwatch.put_metric_data(
        Namespace="Test",
        MetricData=[
            {
                "MetricName": "Failed",
                "Dimensions": ALARM["Dimensions"],
                "Timestamp": engine.now - 60,
                "StatisticValues": {"SampleCount": 4, "Sum": 10, "Minimum": 1, "Maximum": 5},
            }
        ],
    )
    for threshold, expected in ((value, "ALARM"), (value + 0.001, "OK")):
        changes = {
            "Statistic": statistic,
            "Threshold": threshold,
            "EvaluationPeriods": 1,
            "DatapointsToAlarm": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        }
        engine.cloudwatch.put_metric_alarm(**ALARM | changes)
        assert engine.state("failures") == expected


def test_the_clock_is_cloudwatch_s_alone(engine: Engine) -> None:
    engine.put("Failed", "processor", 0)
    assert engine.now - time.time() >= 24 * 3600
    sqs = aws_client("sqs", engine.url)
    queue = sqs.create_queue(QueueName="now")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["CreatedTimestamp"])["Attributes"]
    assert abs(int(attributes["CreatedTimestamp"]) - time.time()) < 60
    engine.cloudwatch.put_metric_alarm(**ALARM)
    assert abs(engine.described("failures")["StateUpdatedTimestamp"].timestamp() - engine.now) < 60
