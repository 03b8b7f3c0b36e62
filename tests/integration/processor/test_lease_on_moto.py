"""Work that takes longer than the lease keeps its claim; an attempt that was closed meanwhile says nothing more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from pullrequest.result import Result
from shared.metrics import Metric
from tests.integration.processor import test_attempt_on_moto as attempts

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.processor.test_attempt_on_moto import Stage

stage = attempts.stage
event = attempts.event


@pytest.fixture(autouse=True)
def heartbeats_come_fast(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.handler, "HEARTBEAT_INTERVAL_SECONDS", 0.05)


def until(condition: Callable[[], bool]) -> bool:
    for _ in range(100):
        if condition():
            return True
        time.sleep(0.05)
    return False


def work_record(stage: Stage) -> dict[str, Any]:
    (record,) = (item for item in stage.items() if item["id"]["S"].startswith("work#"))
    return record


def lease_runs_out(stage: Stage) -> None:
    """As if the work had gone on for longer than the lease since it was taken."""
    boto3.client("dynamodb").update_item(
        TableName="idempotency",
        Key={"id": work_record(stage)["id"]},
        UpdateExpression="SET lease_until = :past",
        ExpressionAttributeValues={":past": {"N": "1"}},
    )


def test_work_longer_than_the_lease_keeps_its_claim_beside_a_second_delivery(
    stage: Stage, event: dict[str, Any]
) -> None:
    def long(job: Any, work: Any) -> Result:
        if stage.action.runs == 1:
            held = work_record(stage)["claim"]
            lease_runs_out(stage)
            until(lambda: work_record(stage)["lease_until"] != {"N": "1"})
            stage.invoke({**event, "delivery_id": "another", "taskToken": "another", "execution": "another"})
            assert work_record(stage)["claim"] == held
        return Result(conclusion="success", summary="once")

    stage.action.behaviour = long
    stage.invoke(event)
    assert stage.action.runs == 1, "the second delivery has taken the work over"
    (other, own) = stage.stepfunctions.ended()
    assert (other[0], other[1]["error"]) == ("failure", "WorkInProgress")
    assert own[0] == "success"


def test_a_task_that_closes_after_the_last_checkpoint_is_not_completed(
    stage: Stage, event: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result is shown and kept; the callback would be refused, and is not even tried."""
    shown = stage.github.set_status
    counted: list[Metric] = []
    watches: list[Any] = []
    made = stage.handler.Heartbeat

    def attended(*arguments: Any) -> Any:
        watches.append(made(*arguments))
        return watches[-1]

    def closing(state: str, description: str, target_url: str | None = None) -> None:
        shown(state, description, target_url)
        if state == "success":
            stage.stepfunctions.errors["heartbeat"] = "TaskTimedOut"
            assert until(lambda: watches[0].is_closed)

    monkeypatch.setattr(stage.handler, "Heartbeat", attended)
    monkeypatch.setattr(stage.github, "set_status", closing)
    monkeypatch.setattr(stage.handler.telemetry, "count", lambda metric, *_, **by: counted.append(metric))
    assert stage.invoke(event) is None
    assert stage.github.states == ["pending", "success"]
    assert stage.stepfunctions.ended() == []
    assert counted.count(Metric.CALLBACK_REFUSED) == 1
