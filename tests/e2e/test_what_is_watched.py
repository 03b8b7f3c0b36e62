"""Alarms and dashboard, against what the run of all these tests really emitted. Runs last, by its name.

A metric with another set of dimensions is another metric: an alarm on one that nobody publishes is always quiet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from local.cloudwatch import emf
from local.cloudwatch.series import MetricId
from ops.dashboard import search
from ops.dashboard.body import AlarmWidget, LogWidget, MetricWidget, read
from shared.metrics import COLD_START, COLD_START_DIMENSIONS, Metric
from tests.aws_published import PUBLISHED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ops.dashboard.body import Widget
    from tests.e2e.conftest import Deployed


@dataclass(frozen=True)
class Watched:
    """A metric, or a search for metrics, and who looks at it."""

    by: str
    metric: MetricId | None = None
    search: str | None = None

    def __str__(self) -> str:
        return f"{self.by}: {self.metric or self.search}"


@pytest.fixture(scope="module")
def alarms(deployed: Deployed) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = deployed.client("cloudwatch").describe_alarms(MaxRecords=100)["MetricAlarms"]
    return found


@pytest.fixture(scope="module")
def widgets(deployed: Deployed) -> list[Widget]:
    cloudwatch = deployed.client("cloudwatch")
    (entry,) = cloudwatch.list_dashboards()["DashboardEntries"]
    return read(cloudwatch.get_dashboard(DashboardName=entry["DashboardName"])["DashboardBody"])


@pytest.fixture(scope="module")
def groups(deployed: Deployed) -> set[str]:
    return {one["logGroupName"] for one in deployed.client("logs").describe_log_groups()["logGroups"]}


@pytest.fixture(scope="module")
def extracted(deployed: Deployed, groups: set[str]) -> emf.Extracted:
    """What CloudWatch would take out of the logs of the whole run."""
    return emf.read(
        (event["timestamp"], event["message"])
        for group in sorted(groups)
        for page in deployed.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
        for event in page["events"]
    )


@pytest.fixture(scope="module")
def emitted(extracted: emf.Extracted) -> set[MetricId]:
    return {sample.metric for sample in extracted.samples}


@pytest.fixture(scope="module")
def watched(alarms: list[dict[str, Any]], widgets: list[Widget]) -> list[Watched]:
    return [*_of_alarms(alarms), *_of_widgets(widgets)]


def _of_alarms(alarms: list[dict[str, Any]]) -> Iterator[Watched]:
    for alarm in alarms:
        metrics = [one["MetricStat"]["Metric"] for one in alarm.get("Metrics") or () if "MetricStat" in one]
        for one in metrics or [alarm]:
            dimensions = {pair["Name"]: pair["Value"] for pair in one["Dimensions"]}
            yield Watched(alarm["AlarmName"], MetricId.of(one["Namespace"], one["MetricName"], dimensions))


def _of_widgets(widgets: list[Widget]) -> Iterator[Watched]:
    for widget in widgets:
        if isinstance(widget, MetricWidget):
            for line in widget.lines:
                if line.metric is not None:
                    yield Watched(widget.title, line.metric)
                elif line.expression and search.is_search(line.expression):
                    yield Watched(widget.title, search=line.expression)


def test_what_is_watched_of_ours_was_emitted(watched: list[Watched], emitted: set[MetricId]) -> None:
    ours = [one for one in watched if one.metric is not None and not one.metric.namespace.startswith("AWS/")]
    assert len(ours) > 50
    missing = sorted({str(one) for one in ours if one.metric not in emitted})
    assert not missing, "\n".join(missing)


def test_what_is_searched_for_is_found(watched: list[Watched], emitted: set[MetricId]) -> None:
    searches = [one.search for one in watched if one.search is not None]
    assert len(searches) >= 4
    missing = [one for one in searches if not search.parse(one).find(emitted)]
    assert not missing, "\n".join(missing)


def test_what_is_watched_of_aws_is_published_for_something_that_is_there(
    deployed: Deployed, watched: list[Watched], groups: set[str]
) -> None:
    info = deployed.stack.info
    queues = deployed.client("sqs").list_queues()["QueueUrls"]
    apis = deployed.client("apigateway").get_rest_apis()["items"]
    there = {
        "FunctionName": {one["FunctionName"] for one in deployed.client("lambda").list_functions()["Functions"]},
        "StateMachineArn": {info.state_machine_arn},
        "QueueName": {url.rpartition("/")[2] for url in queues},
        "TableName": {info.idempotency_table},
        "Operation": {"GetItem", "PutItem", "UpdateItem", "DeleteItem"},
        "LogGroupName": groups,
        "ApiName": {api["name"] for api in apis},
        "Stage": {
            stage["stageName"]
            for api in apis
            for stage in deployed.client("apigateway").get_stages(restApiId=api["id"])["item"]
        },
    }
    of_aws = [one for one in watched if one.metric is not None and one.metric.namespace.startswith("AWS/")]
    assert len(of_aws) > 50
    for one in of_aws:
        assert one.metric is not None
        dimensions = dict(one.metric.dimensions)
        assert frozenset(dimensions) in PUBLISHED[one.metric.namespace][one.metric.name], str(one)
        for name, value in dimensions.items():
            assert value in there[name], str(one)


def test_nothing_is_emitted_but_what_the_catalogue_has(deployed: Deployed, extracted: emf.Extracted) -> None:
    catalogue = {(metric.label, metric.unit.value, names) for metric in Metric for names in metric.dimension_sets}
    catalogue.add((COLD_START, "Count", COLD_START_DIMENSIONS))
    emitted = {
        (one.metric.name, one.unit, frozenset(name for name, _ in one.metric.dimensions)) for one in extracted.samples
    }
    assert emitted <= catalogue
    assert {one.metric.namespace for one in extracted.samples} == {f"Pullback/{deployed.stack.info.stack_name}"}


def test_what_is_emitted_can_be_read(extracted: emf.Extracted) -> None:
    assert (extracted.parsing_errors, extracted.validation_errors) == (0, 0)


def test_what_the_dashboard_names_is_there(
    widgets: list[Widget], alarms: list[dict[str, Any]], groups: set[str]
) -> None:
    arns = {alarm["AlarmArn"] for alarm in alarms}
    shown = [one for widget in widgets if isinstance(widget, AlarmWidget) for one in widget.alarms]
    assert shown
    assert set(shown) <= arns
    logs = [one for widget in widgets if isinstance(widget, LogWidget) for one in widget.groups]
    assert logs
    assert set(logs) <= groups
