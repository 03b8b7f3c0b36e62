"""The alarm drill's table, against the template: nobody has seen an alarm work that nothing sets off."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from drills.alarms.composites import SUPPRESSOR, TOPICS, TYPE
from drills.alarms.rows import ROWS
from tests.infrastructure.conftest import transformed_with

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "${AWS::StackName}-"
PUBLISHED = {
    "webhook-throttles": "an alias' concurrency is not enforced by the embedded AWS",
    "processor-throttles": "as above",
}
"""The alarms whose metric the drill publishes by itself, and why: no fault brings it about here."""


def name_of(resource: dict[str, Any]) -> str:
    return str(resource["Properties"]["AlarmName"]["Fn::Sub"]).removeprefix(PREFIX)


def of_type(resources: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {logical: one for logical, one in resources.items() if one["Type"] == kind}


def texts(value: Any) -> Iterator[str]:
    """Every text in a value, whatever condition it hangs on."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


@pytest.fixture(scope="module")
def alarms(resources: dict[str, Any]) -> dict[str, str]:
    """The names of the metric alarms, by logical name."""
    return {logical: name_of(one) for logical, one in of_type(resources, "AWS::CloudWatch::Alarm").items()}


def test_every_alarm_is_set_off_by_a_row_and_no_row_names_another(alarms: dict[str, str]) -> None:
    assert {alarm for row in ROWS for alarm in row.alarms} == set(alarms.values())


def test_an_alarm_that_no_fault_sets_off_would_be_found() -> None:
    def add(source: dict[str, Any]) -> None:
        quiet = {**source["Resources"]["DeployingAlarm"]["Properties"], "AlarmName": {"Fn::Sub": f"{PREFIX}quiet"}}
        source["Resources"]["QuietAlarm"] = {"Type": "AWS::CloudWatch::Alarm", "Properties": quiet}

    names = {name_of(one) for one in of_type(transformed_with(add)["Resources"], "AWS::CloudWatch::Alarm").values()}
    assert names - {alarm for row in ROWS for alarm in row.alarms} == {"quiet"}


def test_every_composite_alarm_is_set_off_by_a_row(resources: dict[str, Any], alarms: dict[str, str]) -> None:
    drilled = {alarm for row in ROWS for alarm in row.alarms}
    found = of_type(resources, TYPE)
    assert found
    for one in found.values():
        rule = " ".join(texts(one["Properties"]["AlarmRule"]))
        children = [alarms[logical] for logical in re.findall(r'ALARM\("\$\{(\w+)\}"\)', rule)]
        # Nothing but ORs of alarms: the drill reads the rule so.
        assert len(children) == rule.count("ALARM")
        assert "AND" not in rule
        assert "NOT" not in rule
        assert children
        assert drilled >= set(children)


def test_an_alarm_that_is_told_although_another_one_is_on_has_a_composite_of_its_own(
    resources: dict[str, Any],
) -> None:
    composites = {name_of(one) for one in of_type(resources, TYPE).values()}
    named = [pair for row in ROWS for pair in row.although]
    assert named
    for name, other in named:
        assert {name, other} <= composites
        # The same people are told: somebody else would be told anyway.
        assert name.split("-")[0] == other.split("-")[0]


def test_every_composite_alarm_tells_its_topic_and_is_held_back_while_the_stack_changes(
    resources: dict[str, Any],
) -> None:
    for one in of_type(resources, TYPE).values():
        properties = one["Properties"]
        level = name_of(one).split("-")[0]
        for actions in ("AlarmActions", "OKActions"):
            assert TOPICS[level] in texts(properties[actions])
        assert properties["ActionsSuppressor"] == {"Fn::GetAtt": [SUPPRESSOR, "Arn"]}
        # Until the watch has told of the deployment, and until the alarms have seen that it is over.
        assert properties["ActionsSuppressorWaitPeriod"] >= 120
        assert properties["ActionsSuppressorExtensionPeriod"] >= 300


def test_only_what_no_fault_can_bring_about_is_published() -> None:
    published = {alarm for row in ROWS if row.published for alarm in row.alarms}
    assert published == set(PUBLISHED)
    # None of them fires by a fault as well, which would be the better proof.
    assert not published & {alarm for row in ROWS if not row.published for alarm in row.alarms}


def test_rows_have_names_of_their_own() -> None:
    names = [row.fault.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert all(len(set(row.alarms)) == len(row.alarms) > 0 for row in ROWS)
