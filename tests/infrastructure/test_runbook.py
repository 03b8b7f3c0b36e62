"""docs/runbook.md and the template tell the same, and every command of the page is one.

That the commands do what the page says is tests/e2e/test_runbook.py's business.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from botocore.session import Session
from samtranslator.yaml_helper import yaml_parse

from local.stack import aws_environment
from shared.metrics import SERVICE, Metric
from tests import aws_cli
from tests.conftest import ROOT
from tests.runbook import PAGE, PARTS, STEPS, Section, blocks, commands, of_chapter, sections, setup

if TYPE_CHECKING:
    from pathlib import Path

ALARMS = of_chapter("Pages", "Tickets")
COMPOSITES = of_chapter("Composite alarms")
PROCEDURES = of_chapter("Procedures")
OPERATORS = {"GreaterThanOrEqualToThreshold": ">=", "LessThanThreshold": "<"}
READS = ("describe-", "get-", "list-", "lookup-", "filter-")
"""How the names of operations begin that change nothing."""


def named(*sections: Section) -> dict[str, Any]:
    """Arguments of parametrize."""
    return {"argvalues": sections, "ids": [section.anchor for section in sections]}


def name_of(alarm: dict[str, Any]) -> str:
    """An alarm's name without the stack's."""
    name: str = alarm["Properties"]["AlarmName"]["Fn::Sub"]
    return name.removeprefix("${AWS::StackName}-")


def of_type(resources: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The alarms of a type, by name, in the template's order."""
    return {name_of(one): one["Properties"] for one in resources.values() if one["Type"] == f"AWS::CloudWatch::{kind}"}


def children(composite: dict[str, Any], resources: dict[str, Any]) -> list[str]:
    """The names of the alarms that a composite tells of; all of them, whatever the parameters."""
    rule = composite["AlarmRule"]
    text = max((one["Fn::Sub"] for one in rule["Fn::If"][1:]), key=len) if "Fn::If" in rule else rule["Fn::Sub"]
    return [name_of(resources[one]) for one in re.findall(r'ALARM\("\$\{(\w+)\}"\)', text)]


def threshold(alarm: dict[str, Any]) -> str:
    """What decides over an alarm, in one line."""
    if "Metrics" in alarm:
        (value,) = [one for one in alarm["Metrics"] if one.get("ReturnData")]
        (period,) = {one["MetricStat"]["Period"] for one in alarm["Metrics"] if "MetricStat" in one}
        what = value["Label"]
    else:
        what, period = (
            f"{alarm.get('Statistic') or alarm['ExtendedStatistic']} of {alarm['MetricName']}",
            alarm["Period"],
        )
    periods = alarm["EvaluationPeriods"]
    return (
        f"`{what} {OPERATORS[alarm['ComparisonOperator']]} {alarm['Threshold']} in {period} s, "
        f"{alarm.get('DatapointsToAlarm', periods)} of {periods}, missing data {alarm['TreatMissingData']}`"
    )


def test_every_alarm_has_its_section_where_its_description_says(resources: dict[str, Any]) -> None:
    documented = {"Alarm": ALARMS, "CompositeAlarm": COMPOSITES}
    for kind, of_kind in documented.items():
        alarms = of_type(resources, kind)
        assert {one.anchor for one in of_kind} == alarms.keys()
        for name, alarm in alarms.items():
            assert alarm["AlarmDescription"]["Fn::Sub"].endswith(f"${{RunbookUrl}}#{name}")
    # The dashboard links to the page itself.
    assert PAGE.relative_to(ROOT).as_posix() == "docs/runbook.md"


def test_pages_come_first_and_each_chapter_is_in_the_order_in_which_is_told() -> None:
    # The transform sorts.
    resources = yaml_parse((ROOT / "template.yaml").read_text())["Resources"]
    composites = of_type(resources, "CompositeAlarm")
    paged = [
        child for name, one in composites.items() if name.startswith("page-") for child in children(one, resources)
    ]
    assert [one.anchor for one in of_chapter("Pages")] == paged
    ticketed = [
        child for name, one in composites.items() if name.startswith("ticket-") for child in children(one, resources)
    ]
    untold = [name for name in of_type(resources, "Alarm") if name not in (*paged, *ticketed)]
    assert [one.anchor for one in of_chapter("Tickets")] == [*ticketed, *untold]


@pytest.mark.parametrize("section", **named(*COMPOSITES))
def test_a_composite_leads_to_its_children(section: Section, resources: dict[str, Any]) -> None:
    composite = of_type(resources, "CompositeAlarm")[section.anchor]
    assert re.findall(r"\]\(#([\w-]+)\)", section.text) == children(composite, resources)


@pytest.mark.parametrize("section", **named(*ALARMS))
def test_a_section_has_all_its_parts(section: Section, resources: dict[str, Any]) -> None:
    parts = section.parts()
    assert list(parts) == PARTS
    assert all(parts.values())
    assert parts["Threshold"].replace("\n", " ").startswith(threshold(of_type(resources, "Alarm")[section.anchor]))
    # What is said after the numbers is why.
    why = parts["Threshold"].split("`", 2)[2].replace("\n", " ")
    assert "issing data" in why or "is never missing" in why


@pytest.mark.parametrize("section", **named(*ALARMS))
def test_the_first_three_commands_change_nothing(section: Section) -> None:
    (first,) = blocks(section.parts()["First"])
    lines = first.splitlines()
    assert len(lines) == 3
    for line in lines:
        words = line.split()
        if words[0] == "make":
            assert words[1] in ("replay", "trace")
            assert not re.search(r"\b(ERROR|DELIVERY|REPOSITORY|ALL|YES)=", line), "this one would start work"
        else:
            assert words[0] == "aws"
            assert words[2].startswith(READS)
            assert words[2] not in ("get-secret-value", "get-execution-history"), "it shows a secret or a token"
    assert blocks(section.parts()["Verify"])


@pytest.mark.parametrize("section", **named(*PROCEDURES))
def test_a_procedure_tells_when_how_whether_and_how_to_go_back(section: Section) -> None:
    parts = section.parts()
    assert [part for part in parts if part in STEPS] == STEPS
    assert all(parts[step] for step in STEPS)


@pytest.fixture(scope="module")
def page_commands(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[str]]]:
    """The commands of each section, each section in a shell of its own after the setup."""
    found = {}
    for section in sections().values():
        directory = tmp_path_factory.mktemp("shell")
        (directory / "credential").write_text("x")
        text = "".join(blocks(section.text))
        # In backquotes within the text they are commands, too.
        for inline in re.findall(r"`((?:aws|make) [a-z][^`]+)`", section.text):
            text += inline.replace("\n", " ") + "\n"
        found[section.anchor] = commands(text if section.anchor == "shell" else setup() + text, directory)
    return found


@pytest.fixture(scope="module")
def mistakes(
    page_commands: dict[str, list[list[str]]], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, ...], str]:
    """What the AWS CLI has to say against commands of the page."""
    every = {tuple(one[1:]) for found in page_commands.values() for one in found if one[0] == "aws"}
    return mistakes_in([list(one) for one in every], tmp_path_factory.mktemp("cli"))


def mistakes_in(found: list[list[str]], directory: Path) -> dict[tuple[str, ...], str]:
    """What the AWS CLI has to say against commands, with the files that the page has by then."""
    for name in ("credential", "webhook-secret"):
        (directory / name).write_text("x")
    return aws_cli.mistakes(found, directory, aws_environment())


@pytest.mark.parametrize("section", **named(*sections().values()))
def test_every_command_is_one(
    section: Section,
    page_commands: dict[str, list[list[str]]],
    mistakes: dict[tuple[str, ...], str],
    template: dict[str, Any],
) -> None:
    for program, *arguments in page_commands[section.anchor]:
        if program == "make":
            check_make(arguments)
        else:
            assert tuple(arguments) not in mistakes, mistakes[tuple(arguments)]
            check_names(arguments, template)
            assert not is_cut(arguments)


def test_mistakes_in_commands_are_seen(tmp_path: Path) -> None:
    wrong = [
        "sqs get-queue-attribute --queue-url x",
        "sqs get-queue-attributes --attribute-names QueueArn",
        "sqs get-queue-attributes --queue-url x --attributes QueueArn",
        "sqs get-queue-attributes --queue-url x --query a[",
        "cloudwatch get-metric-statistics --namespace a --metric-name b --start-time 0 --end-time 0 --period x",
        "cloudwatch describe-alarms --alarm-names a --output words",
        "secretsmanager update-secret-version-stage --secret-id a --version-stage b --move-to-version-id short",
    ]
    right = "sqs get-queue-attributes --queue-url x --attribute-names QueueArn --query Attributes"
    seen = mistakes_in([one.split() for one in (*wrong, right)], tmp_path)
    assert seen.keys() == {tuple(one.split()) for one in wrong}


def test_commands_that_hide_something_are_seen() -> None:
    found = "logs filter-log-events --log-group-name a --query events[].[message] --output text"
    assert is_cut(f"{found} --max-items 20".split())
    assert not is_cut(found.split())
    listed = "stepfunctions list-executions --state-machine-arn a --output"
    for query in ("sort_by(executions,&startDate)[].name", "length(executions)", "executions[:10].name"):
        assert is_cut([*listed.split(), "text", "--query", query])
        assert not is_cut([*listed.split(), "json", "--query", query])
    assert not is_cut([*listed.split(), "text", "--query", "executions[].name"])
    # One page has it all.
    assert not is_cut(["sqs", "list-queue-tags", "--queue-url", "a", "--query", "length(Tags)", "--output", "text"])


def is_cut(arguments: list[str]) -> bool:
    """Whether a command does not show what it seems to.

    CloudWatch Logs begins with the oldest line, so the first few are not those of now. And for text output the CLI asks
    the query of each page by itself.
    """
    service, operation, *options = arguments
    given = {name: value for name, value in pairwise(options) if name.startswith("--")}
    if operation == "filter-log-events":
        return "--max-items" in given
    of_all = re.search(r"\b(sort|sort_by|length|reverse|min_by|max_by)\(|\[-?\d*:", given.get("--query", ""))
    return of_all is not None and given.get("--output") != "json" and comes_in_pages(service, operation)


@cache
def comes_in_pages(service: str, operation: str) -> bool:
    """Whether the CLI makes several calls of a command."""
    client = Session().create_client(service, region_name="us-east-1")
    return bool(client.can_paginate(operation.replace("-", "_")))


def check_make(arguments: list[str]) -> None:
    target, *variables = arguments
    makefile = (ROOT / "Makefile").read_text()
    (recipe,) = re.findall(rf"^{target}: .*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    for variable in variables:
        assert f"$({variable.partition('=')[0]})" in recipe


def check_names(arguments: list[str], template: dict[str, Any]) -> None:
    """What a command names of ours is there: resources, outputs, metrics, log groups and log events."""
    operation, *options = arguments[1:]
    given = {name: value for name, value in pairwise(options) if name.startswith("--")}
    if operation == "describe-stack-resource":
        assert given["--logical-resource-id"] in template["Resources"]
    if operation == "describe-stacks" and (output := re.search(r"OutputKey=='(\w+)'", given.get("--query", ""))):
        assert output[1] in template["Outputs"]
    if operation == "get-metric-statistics" and given["--namespace"] == "Pullback/pullback":
        (metric,) = [one for one in Metric if one.label == given["--metric-name"]]
        dimensions = re.findall(r"Name=(\w+),Value=", " ".join(options))
        assert frozenset(dimensions) in metric.dimension_sets
        assert SERVICE in dimensions
    if operation == "filter-log-events":
        group = given["--log-group-name"].replace("pullback", "${AWS::StackName}")
        named = [one["Properties"].get("LogGroupName") for one in template["Resources"].values() if "Properties" in one]
        assert {"Fn::Sub": group} in named
        for message in re.findall(r'\$\.message = "([^"]+)"', given["--filter-pattern"]):
            assert f"| `{message}` |" in (ROOT / "docs" / "logs.md").read_text()


def test_links_within_the_page_lead_somewhere() -> None:
    anchors = sections().keys()
    text = PAGE.read_text()
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors
    for file in re.findall(r"\]\(([\w./]+\.md)", text):
        assert (PAGE.parent / file).exists(), file
    # Each alarm and each procedure is in the list at the top.
    contents = text.partition("\n## ")[0]
    assert {one.anchor for one in (*ALARMS, *PROCEDURES)} <= set(re.findall(r"\]\(#([^)]+)\)", contents))
