"""The catalogue of metrics, the page made from it, and what the telemetry makes of a metric."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import pytest

from drills.record import filled
from pullback.docs import PAGE, answers_table, metrics_page
from shared.metrics import Metric
from shared.telemetry import Telemetry
from tests.conftest import ROOT
from tests.support import LambdaContext

NEVER = {"delivery_id", "pull_request", "repository", "head_sha", "execution", "token", "token_fingerprint", "sender"}


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == metrics_page(), "run `make docs`"


def test_what_answers_mean_is_up_to_date() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    assert filled(page, "answers", answers_table()) == page, "run `make docs`"


def test_names_are_unique_and_dimensions_are_few() -> None:
    assert len({metric.label for metric in Metric}) == len(Metric)
    for metric in Metric:
        assert re.fullmatch(r"[A-Z][A-Za-z]+", metric.label)
        assert not set(metric.by) & NEVER
        assert len(metric.by) <= 2


def test_every_metric_is_emitted_somewhere() -> None:
    used = {
        node.attr
        for file in (ROOT / "functions").rglob("*.py")
        if file.name != "metrics.py"
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Metric"
    }
    assert used == {metric.name for metric in Metric}


def test_only_the_telemetry_makes_metrics() -> None:
    for file in (ROOT / "functions").rglob("*.py"):
        if file.name not in ("telemetry.py", "metrics.py"):
            assert "aws_lambda_powertools.metrics" not in file.read_text(), file


def emitted(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    return [line for line in lines if "_aws" in line]


def sets_of(line: dict[str, Any]) -> list[dict[str, str]]:
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    return [{name: line[name] for name in names} for names in directive["Dimensions"]]


def test_a_metric_is_emitted_for_its_function_and_in_parts(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = Telemetry("catalogue")

    @telemetry.handler
    def handler(event: Any, context: Any) -> None:
        telemetry.count(Metric.DELIVERY_RECEIVED)
        telemetry.count(Metric.DELIVERY_REJECTED, reason="unauthorized")

    handler({}, LambdaContext())
    # The first invocation of a process is a cold start besides.
    rejected, received = (line for line in emitted(capsys) if "ColdStart" not in line)
    assert sets_of(rejected) == [{"service": "catalogue"}, {"service": "catalogue", "reason": "unauthorized"}]
    assert rejected["DeliveryRejected"] == [1.0]
    # The parts of one metric are none of the others'.
    assert sets_of(received) == [{"service": "catalogue"}]
    assert received["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Pullback/test"


def test_what_was_counted_before_a_failure_is_emitted(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = Telemetry("catalogue")

    @telemetry.handler
    def handler(event: Any, context: Any) -> None:
        telemetry.count(Metric.TASK_DISPATCHED)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        handler({}, LambdaContext())
    assert any("TaskDispatched" in line for line in emitted(capsys))


@pytest.mark.parametrize(
    ("metric", "by"),
    [
        (Metric.DELIVERY_RECEIVED, {"reason": "x"}),
        (Metric.DELIVERY_REJECTED, {}),
        (Metric.WORK_SUCCEEDED, {"action": "build"}),
        (Metric.WORK_FAILED, {"repository": "o/r"}),
    ],
)
def test_dimensions_that_are_not_the_catalogues_are_refused(metric: Metric, by: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="broken down by"):
        Telemetry("test").count(metric, **by)
