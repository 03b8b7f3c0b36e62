"""What the alarm drill says of what it saw."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from drills.alarms.composites import Composite
from drills.alarms.drill import evidence, hidden, judge, write
from drills.alarms.drilled import Drilled
from drills.alarms.report import table, threshold, watched

if TYPE_CHECKING:
    from pathlib import Path

FAILED: dict[str, Any] = {
    "AlarmName": "shop-failed",
    "Namespace": "Pullback/shop",
    "MetricName": "Failed",
    "Dimensions": [{"Name": "service", "Value": "processor"}],
    "Statistic": "Sum",
    "Period": 300,
    "EvaluationPeriods": 3,
    "DatapointsToAlarm": 2,
    "Threshold": 259200.0,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
}
SHARE: dict[str, Any] = {
    "AlarmName": "shop-share",
    "EvaluationPeriods": 1,
    "Threshold": 0.5,
    "ComparisonOperator": "LessThanThreshold",
    "Metrics": [
        {"Id": "share", "Label": "percent", "Expression": "a | b", "ReturnData": True},
        *(
            {"Id": one, "ReturnData": False, "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}
            for one, metric in (
                ("a", {"Namespace": "AWS/SQS", "MetricName": "ApproximateAgeOfOldestMessage"}),
                ("b", {"Namespace": "AWS/States", "MetricName": "ExecutionsFailed"}),
            )
        ),
    ],
}
PAGE = {"AlarmName": "shop-page", "AlarmRule": 'ALARM("shop-failed") OR\nALARM("shop-share")'}


@pytest.mark.parametrize(
    ("said", "problems"),
    [
        ([("a", "ALARM"), ("b", "ALARM"), ("b", "OK"), ("a", "OK")], []),
        ([("a", "ALARM"), ("a", "OK")], ["did not fire: b"]),
        ([("a", "ALARM"), ("b", "ALARM"), ("a", "OK")], ["did not clear: b"]),
        ([("a", "ALARM"), ("a", "OK"), ("a", "ALARM"), ("b", "ALARM"), ("b", "OK")], ["did not clear: a"]),
        ([("b", "ALARM"), ("c", "ALARM"), ("c", "OK"), ("a", "ALARM"), ("a", "OK"), ("b", "OK")], ["also fired: c"]),
        (
            [("c", "INSUFFICIENT_DATA"), ("a", "ALARM"), ("a", "INSUFFICIENT_DATA")],
            ["did not fire: b", "did not clear: a"],
        ),
    ],
)
def test_exactly_the_row_s_alarms_fire_and_clear(said: list[tuple[str, str]], problems: list[str]) -> None:
    assert judge(["a", "b"], said) == problems


@pytest.mark.parametrize(
    ("said", "problems"),
    [
        ([("shop-b", "ALARM"), ("shop-a", "ALARM"), ("shop-b", "OK"), ("shop-a", "OK")], []),
        ([("shop-a", "ALARM"), ("shop-a", "OK"), ("shop-b", "ALARM"), ("shop-a", "ALARM")], []),
        ([("shop-a", "ALARM"), ("shop-b", "ALARM")], ["did not fire while b was in ALARM: a"]),
        ([("shop-b", "ALARM"), ("shop-b", "OK"), ("shop-a", "ALARM")], ["did not fire while b was in ALARM: a"]),
        ([("shop-b", "ALARM"), ("shop-a", "OK")], ["did not fire while b was in ALARM: a"]),
        ([], ["did not fire while b was in ALARM: a"]),
    ],
)
def test_an_alarm_fires_although_another_one_is_on(said: list[tuple[str, str]], problems: list[str]) -> None:
    assert hidden([("a", "b")], said, "shop") == problems


def test_the_result_is_json_with_four_fields_an_alarm(tmp_path: Path) -> None:
    write([Drilled("a", True, False, "fault: «x»"), Drilled("b", False, False, "")], tmp_path / "alarms.json")
    assert json.loads((tmp_path / "alarms.json").read_text()) == {
        "alarms": [
            {"name": "a", "fired": True, "cleared": False, "by": "fault: «x»"},
            {"name": "b", "fired": False, "cleared": False, "by": ""},
        ]
    }


def test_a_composite_alarm_s_children_are_those_of_its_rule() -> None:
    assert Composite(PAGE).children == {"shop-failed", "shop-share"}
    assert Composite({"AlarmRule": "ALARM(plain)"}).children == {"plain"}


def test_the_evidence_of_an_alarm_is_named() -> None:
    assert evidence(FAILED) == "EMF of Failed"
    assert evidence(SHARE) == (
        "ApproximateAgeOfOldestMessage worked out from looks at the queue, in CloudWatch's time, "
        "ExecutionsFailed worked out from the list of executions"
    )


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        (FAILED, "Sum ≥ 259,200 in 2 of 3 periods of 5 min"),
        (FAILED | {"DatapointsToAlarm": None}, "Sum ≥ 259,200 in 3 of 3 periods of 5 min"),
        (
            FAILED | {"EvaluationPeriods": 1, "Statistic": "Average", "ExtendedStatistic": "p99"},
            "p99 ≥ 259,200 in 5 min",
        ),
        (SHARE, "percent < 0.5 in 1 min"),
        (PAGE, "one of them"),
    ],
)
def test_a_threshold_is_told_in_words(definition: dict[str, Any], words: str) -> None:
    assert threshold(definition) == words


def test_the_table_has_a_row_an_alarm_without_the_stack_s_name() -> None:
    drilled = [Drilled("shop-failed", True, True, "fault: a | b"), Drilled("shop-page", True, True, "shop-failed")]
    levels = {"shop-failed": "page", "shop-page": "page"}
    lines = table(drilled, {"shop-failed": FAILED, "shop-page": PAGE}, levels, "shop").splitlines()[2:]
    assert lines == [
        (
            "| [`failed`](runbook.md#failed) | page | `Pullback Failed` | Sum ≥ 259,200 in 2 of 3 periods of 5 min "
            "| fault: a \\| b |"
        ),
        "| [`page`](runbook.md#page) | page | the alarms below it | one of them | failed |",
    ]
    assert watched(SHARE, "shop") == "`AWS/SQS ApproximateAgeOfOldestMessage`, `AWS/States ExecutionsFailed`"
