"""Alarms, who is told, and the dashboard, in the template. What they look at: tests/e2e/test_what_is_watched.py."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT
from tests.infrastructure.conftest import transformed_with
from tests.infrastructure.test_template import references, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

TELLING = (
    "DeliveriesPage",
    "WorkPage",
    "StuckPage",
    "DeliveriesTicket",
    "WorkTicket",
    "DeadWorkTicket",
    "QuarantineTicket",
    "OverdueTicket",
    "TelemetryTicket",
)
SUPPRESSOR = "DeployingAlarm"


def of_type(resources: dict[str, Any], kind: str) -> dict[str, Any]:
    return {name: one for name, one in resources.items() if one["Type"] == kind}


def metric_alarms() -> list[str]:
    return sorted(of_type(transformed_with()["Resources"], "AWS::CloudWatch::Alarm"))


def children(resources: dict[str, Any], composite: str) -> set[str]:
    """The alarms that a composite alarm's rule names."""
    return {name for name in references(resources[composite]["Properties"]["AlarmRule"]) if name.endswith("Alarm")}


@pytest.mark.parametrize("name", [*metric_alarms(), *TELLING])
def test_an_alarm_is_named_after_its_section_of_the_runbook(resources: dict[str, Any], name: str) -> None:
    properties = resources[name]["Properties"]
    stack, dash, slug = shown(properties["AlarmName"]).partition("-")
    assert (stack, dash) == ("${AWS::StackName}", "-")
    description = shown(properties["AlarmDescription"])
    assert re.fullmatch(rf"[A-Z][^#]+\. \$\{{RunbookUrl\}}#{slug}", description)
    assert f"\n### {slug}\n" in (ROOT / "docs" / "runbook.md").read_text()


@pytest.mark.parametrize("name", metric_alarms())
def test_an_alarm_says_when_and_what_missing_data_means(resources: dict[str, Any], name: str) -> None:
    properties = resources[name]["Properties"]
    # Silence is good news, but of the watch's: it speaks every minute.
    assert properties["TreatMissingData"] == ("breaching" if name == "WatchSilentAlarm" else "notBreaching")
    assert properties.get("DatapointsToAlarm", 1) <= properties["EvaluationPeriods"]
    # It notifies nobody by itself: one that did could not be suppressed, nor would it be page or ticket.
    assert not {"AlarmActions", "OKActions", "InsufficientDataActions"} & properties.keys()


@pytest.mark.parametrize("name", metric_alarms())
def test_an_expression_names_every_metric_and_fills_what_may_be_missing(resources: dict[str, Any], name: str) -> None:
    metrics = resources[name]["Properties"].get("Metrics")
    if metrics is None:
        return
    (value,) = [one for one in metrics if one.get("ReturnData")]
    inputs = [one.get("Fn::If", [None, one])[1] for one in metrics if one is not value]
    assert len(inputs) <= 10, "CloudWatch's limit"
    expression = value["Expression"]
    if "METRICS()" not in expression:
        for one in inputs:
            # "minutes" is there every minute.
            assert f"FILL({one['Id']}, 0)" in expression or one["Id"] == "minutes"
    assert all(one["ReturnData"] is False for one in inputs)


def test_every_alarm_is_told_once_as_page_or_as_ticket(resources: dict[str, Any]) -> None:
    composites = of_type(resources, "AWS::CloudWatch::CompositeAlarm")
    assert set(composites) == set(TELLING)
    told = Counter(name for composite in composites for name in children(resources, composite))
    assert told == Counter(set(metric_alarms()) - {SUPPRESSOR})


@pytest.mark.parametrize(
    ("lasting", "others"),
    [
        # What may stay red for days, and what must be told all the same. An overdue message is always also a message.
        ("DeadWorkAlarm", {"DeadWorkAgeAlarm", "QuarantineAlarm", "EndedExecutionsStuckAlarm"}),
        ("QuarantineAlarm", {"QuarantineAgeAlarm", "DeadWorkAlarm"}),
        ("NoSuccessAlarm", {"ExecutionsStuckAlarm", "WebhookErrorsAlarm", "ReplayQueueStuckAlarm"}),
    ],
)
def test_what_lasts_hides_nothing_else(resources: dict[str, Any], lasting: str, others: set[str]) -> None:
    (composite,) = [name for name in TELLING if lasting in children(resources, name)]
    assert not others & children(resources, composite)


def test_without_sweeps_no_rule_names_their_alarms(resources: dict[str, Any]) -> None:
    conditional = {name for name in metric_alarms() if resources[name].get("Condition")}
    assert conditional == {"SweepFailedAlarm", "SweepGivenUpAlarm"}
    condition, with_sweeps, without = resources["DeliveriesTicket"]["Properties"]["AlarmRule"]["Fn::If"]
    assert condition == "Sweep"
    assert set(references(with_sweeps)) - set(references(without)) == conditional


@pytest.mark.parametrize("name", TELLING)
def test_what_tells_is_silent_while_the_stack_is_deployed(resources: dict[str, Any], name: str) -> None:
    properties = resources[name]["Properties"]
    assert properties["ActionsSuppressor"] == {"Fn::GetAtt": [SUPPRESSOR, "Arn"]}
    assert properties["ActionsSuppressorWaitPeriod"] > 60, "the suppressor's period"
    assert properties["ActionsSuppressorExtensionPeriod"] >= 300
    kind = "Page" if name.endswith("Page") else "Ticket"
    topic = {"Fn::If": [f"Own{kind}Topic", {"Ref": f"{kind}Topic"}, {"Ref": f"{kind}TopicArn"}]}
    assert properties["AlarmActions"] == properties["OKActions"] == [topic]


@pytest.mark.parametrize("name", TELLING)
def test_a_rule_can_be_read(resources: dict[str, Any], name: str) -> None:
    rule = resources[name]["Properties"]["AlarmRule"]
    for one in rule.get("Fn::If", [None, rule])[1:]:
        text = shown(one)
        assert re.fullmatch(r'ALARM\("\$\{\w+\}"\)( OR\nALARM\("\$\{\w+\}"\))*', text)


def test_topics_are_encrypted_with_a_key_that_alarms_may_use(resources: dict[str, Any]) -> None:
    topics = of_type(resources, "AWS::SNS::Topic")
    assert set(topics) == {"PageTopic", "TicketTopic"}
    for topic in topics.values():
        assert topic["Properties"]["KmsMasterKeyId"] == {"Fn::GetAtt": ["AlarmKey", "Arn"]}
    administer, encrypt = resources["AlarmKey"]["Properties"]["KeyPolicy"]["Statement"]
    assert shown(administer["Principal"]["AWS"]) == "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"
    assert encrypt["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert encrypt["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    of_this_account = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert encrypt["Condition"] == of_this_account
    for kind in ("Page", "Ticket"):
        policy = resources[f"{kind}TopicPolicy"]["Properties"]
        assert policy["Topics"] == [{"Ref": f"{kind}Topic"}]
        publish = policy["PolicyDocument"]["Statement"][0]
        assert (publish["Principal"], publish["Action"]) == ({"Service": "cloudwatch.amazonaws.com"}, "sns:Publish")
        assert publish["Condition"] == of_this_account


def test_a_topic_of_ones_own_makes_none(template: dict[str, Any], resources: dict[str, Any]) -> None:
    conditions = template["Conditions"]
    assert conditions["OwnPageTopic"] == {"Fn::Equals": [{"Ref": "PageTopicArn"}, ""]}
    assert conditions["OwnTopics"] == {"Fn::Or": [{"Condition": "OwnPageTopic"}, {"Condition": "OwnTicketTopic"}]}
    assert resources["PageTopic"]["Condition"] == resources["PageTopicPolicy"]["Condition"] == "OwnPageTopic"
    assert resources["TicketTopic"]["Condition"] == resources["TicketTopicPolicy"]["Condition"] == "OwnTicketTopic"
    assert resources["AlarmKey"]["Condition"] == "OwnTopics"


@pytest.fixture(scope="module")
def body(resources: dict[str, Any]) -> dict[str, Any]:
    (dashboard,) = of_type(resources, "AWS::CloudWatch::Dashboard").values()
    # The account's dashboards share one list, whatever the region.
    assert shown(dashboard["Properties"]["DashboardName"]) == "${AWS::StackName}-${AWS::Region}"
    text, parts = dashboard["Properties"]["DashboardBody"]["Fn::Sub"]
    for name, part in parts.items():
        condition, yes, no = part["Fn::If"]
        assert condition in ("Sweep", "LinkRunbook")
        assert no == ""
        text = text.replace(f"${{{name}}}", shown(yes))
    whole: dict[str, Any] = json.loads(text)
    return whole


def test_widgets_fill_the_grid_without_overlap(body: dict[str, Any]) -> None:
    taken = Counter(
        (x, y)
        for one in body["widgets"]
        for x in range(one["x"], one["x"] + one["width"])
        for y in range(one["y"], one["y"] + one["height"])
    )
    rows = max(y for _, y in taken) + 1
    assert taken == Counter((x, y) for x in range(24) for y in range(rows))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def test_the_dashboard_works_in_any_region_and_for_several_stacks(body: dict[str, Any]) -> None:
    for one in body["widgets"]:
        if one["type"] in ("metric", "log"):
            assert one["properties"]["region"] == "${AWS::Region}"
            assert one["properties"]["title"]
    for text in _texts(body):
        assert not re.search(r"\b(us|eu|ap|sa|ca|me|af)-[a-z]+-\d\b|\d{12}", text), text
        assert "Pullback/" not in text or "Pullback/${AWS::StackName}" in text


def test_lines_in_graphs_are_where_alarms_and_limits_are(resources: dict[str, Any], body: dict[str, Any]) -> None:
    marks = {
        (one["properties"]["title"], mark["label"]): mark["value"]
        for one in body["widgets"]
        for mark in one["properties"].get("annotations", {}).get("horizontal", ())
    }
    processor = resources["ProcessorFunction"]["Properties"]["Timeout"] * 1000
    (invoke,) = [
        one["Properties"]
        for one in of_type(resources, "AWS::Lambda::EventInvokeConfig").values()
        if one["Properties"]["FunctionName"] == {"Ref": "ProcessorFunction"}
    ]
    of = {name: resources[name]["Properties"].get("Threshold") for name in metric_alarms()}
    assert marks.pop(("Answer time", "alarm")) == of["WebhookLatencyAlarm"]
    assert marks.pop(("Answer time", "GitHub gives up")) == 10_000
    assert marks.pop(("Oldest execution, and executions since the last success", "stuck")) == of["ExecutionsStuckAlarm"]
    assert marks.pop(("Duration of an invocation", "timeout")) == processor
    assert marks.pop(("Duration of an invocation", "alarm")) == of["ProcessorDurationAlarm"] == 0.8 * processor
    assert marks.pop(("Lambda's queue", "dropped at this age")) == invoke["MaximumEventAgeInSeconds"] * 1000
    assert marks.pop(("Age of the oldest message", "look by now")) == of["DeadWorkAgeAlarm"] == of["QuarantineAgeAlarm"]
    assert marks.pop(("Rate limit left", "alarm")) == of["GitHubRateLimitAlarm"]
    assert {title for title, _ in marks} == {"Success rate"}


def test_what_costs_is_reckoned_with_the_functions_memory(resources: dict[str, Any], body: dict[str, Any]) -> None:
    (widget,) = [one for one in body["widgets"] if one["properties"].get("title") == "Lambda, GB-seconds"]
    expressions = [one[0] for one in widget["properties"]["metrics"] if "expression" in one[0]]
    assert len(expressions) == 7
    for one in expressions:
        memory = resources[f"{one['label'].capitalize()}Function"]["Properties"]["MemorySize"]
        assert one["expression"] == f"{one['label']} / 1000 * {memory} / 1024"


def test_every_function_is_on_the_dashboard(resources: dict[str, Any], body: dict[str, Any]) -> None:
    functions = {name.removesuffix("Function") for name in of_type(resources, "AWS::Lambda::Function")}
    (errors,) = [one for one in body["widgets"] if one["properties"].get("title") == "Errors of functions"]
    shown_functions = set(re.findall(r"\$\{(\w+)Function\}", json.dumps(errors)))
    assert shown_functions == functions
