"""The composite alarms, which CloudFormation leaves out here: put through CloudWatch's API; and who is told of them."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samcli.lib.intrinsic_resolver.intrinsic_property_resolver import IntrinsicResolver  # type: ignore[import-untyped]
from samcli.lib.intrinsic_resolver.intrinsics_symbol_table import IntrinsicsSymbolTable  # type: ignore[import-untyped]
from samtranslator.yaml_helper import yaml_parse

from drills.chaos.rig import DrillError
from local.stack import aws_client, resources

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from local.stack import StackInfo

TYPE = "AWS::CloudWatch::CompositeAlarm"
SUPPRESSOR = "DeployingAlarm"
TOPICS = {"page": "PageTopicArn", "ticket": "TicketTopicArn"}
"""By level, the stack's output that names the topic."""
_CHILD = re.compile(r'ALARM\("?([^")]+)"?\)')


@dataclass(frozen=True)
class Composite:
    """A composite alarm, as CloudWatch takes it."""

    definition: dict[str, Any]

    @property
    def name(self) -> str:
        """The alarm's name."""
        return str(self.definition["AlarmName"])

    @property
    def children(self) -> frozenset[str]:
        """The alarms of which one is enough."""
        return frozenset(_CHILD.findall(self.definition["AlarmRule"]))


def read(template: Path, info: StackInfo) -> list[Composite]:
    """The composite alarms of a template, with the resources of the deployed stack in them.

    Raises:
        DrillError: one is not held back while CloudFormation changes the stack.
        ClientError, BotoCoreError: the embedded AWS does not answer.
    """
    source = yaml_parse(template.read_text())
    cloudformation = aws_client("cloudformation", info.aws_endpoint_url)
    (stack,) = cloudformation.describe_stacks(StackName=info.stack_name)["Stacks"]
    known: dict[str, Any] = {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}
    known |= {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources(info)}
    suppressor = known[SUPPRESSOR]
    cloudwatch = aws_client("cloudwatch", info.aws_endpoint_url)
    (described,) = cloudwatch.describe_alarms(AlarmNames=[suppressor])["MetricAlarms"]
    known[SUPPRESSOR] = {"Ref": suppressor, "Arn": described["AlarmArn"]}
    known |= {"AWS::StackName": info.stack_name, "AWS::Region": info.region}
    resolver = IntrinsicResolver(source, IntrinsicsSymbolTable(source, known))
    composites = [
        Composite(resolver.intrinsic_property_resolver(one["Properties"], ignore_errors=False))
        for one in source["Resources"].values()
        if one["Type"] == TYPE
    ]
    for one in composites:
        if one.definition["ActionsSuppressor"] != described["AlarmArn"]:
            raise DrillError(f"{one.name} is not held back by {suppressor}")
    return composites


class Inbox:
    """Who is told: a queue that subscribes to topics.

    Args:
        info: the running stack.
        topics: their ARNs.

    Raises:
        ClientError, BotoCoreError: the embedded AWS does not answer.
    """

    def __init__(self, info: StackInfo, topics: Iterable[str]) -> None:
        self._sqs = aws_client("sqs", info.aws_endpoint_url)
        sns = aws_client("sns", info.aws_endpoint_url)
        self._url = self._sqs.create_queue(QueueName=f"{info.stack_name}-drill")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        for topic in topics:
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    def take(self) -> Counter[tuple[str, str, str]]:
        """What has arrived since the last time: topic, alarm and new state, and how often."""
        told: Counter[tuple[str, str, str]] = Counter()
        while messages := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                envelope = json.loads(message["Body"])
                said = json.loads(envelope["Message"])
                told[envelope["TopicArn"], said["AlarmName"], said["NewStateValue"]] += 1
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return told
