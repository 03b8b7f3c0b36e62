from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.dead_work import PoisonMessage, read
from shared.job import Job
from tests.conftest import ROOT
from tests.dead_work import TOKEN, destination_record, execution_arn, replayed_event, status_event, task_event


def test_a_destination_record_has_the_job_the_token_and_the_error(job_data: dict[str, Any]) -> None:
    dead = read(json.dumps(destination_record(job_data)))
    assert (dead.shape, dead.error, dead.token) == ("destination", "Runtime.ExitError", TOKEN)
    assert dead.job == Job.read(job_data)
    assert type(dead.job) is Job, "without the token"
    assert dead.ended_at == datetime(2026, 11, 24, 7, tzinfo=UTC)
    assert dead.execution == job_data["delivery_id"]


def test_a_record_of_an_event_that_was_too_old_has_its_condition(job_data: dict[str, Any]) -> None:
    record = destination_record(job_data)
    record["requestContext"]["condition"] = "EventAgeExceeded"
    del record["responsePayload"], record["responseContext"]
    assert read(json.dumps(record)).error == "EventAgeExceeded"


def test_a_record_as_the_embedded_aws_writes_it_is_read_too(job_data: dict[str, Any]) -> None:
    record = destination_record(job_data)
    del record["version"], record["timestamp"]
    assert read(json.dumps(record)).ended_at is None


def test_a_dead_letter_is_the_event(job_data: dict[str, Any]) -> None:
    dead = read(json.dumps(task_event(job_data)))
    assert (dead.shape, dead.token, dead.error) == ("event", TOKEN, None)


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED", "SUCCEEDED"])
def test_a_status_event_has_the_job_in_its_input(job_data: dict[str, Any], status: str) -> None:
    dead = read(json.dumps(status_event(job_data, status, name="name-2")))
    assert (dead.shape, dead.status, dead.execution) == ("execution", status, "name-2")
    assert dead.execution_arn == execution_arn("name-2")
    assert dead.error == ("GitHubRefused" if status == "FAILED" else None)
    assert dead.job == Job.read(job_data)
    assert dead.ended_at == datetime.fromtimestamp(1_795_000_060, UTC)


def test_a_replayed_event_is_the_event_with_a_name(job_data: dict[str, Any]) -> None:
    assert read(json.dumps(replayed_event(job_data))) == read(json.dumps(status_event(job_data)))


def test_a_kept_delivery_is_its_job(job_data: dict[str, Any]) -> None:
    dead = read(Job.read(job_data).to_json())
    assert (dead.shape, dead.token) == ("delivery", None)


def test_the_token_is_not_in_what_is_shown(job_data: dict[str, Any]) -> None:
    assert TOKEN not in repr(read(json.dumps(destination_record(job_data))))


@pytest.mark.parametrize("error", ["text of the work: ghp_secret", "a" * 200, "", 7, None, {"a": 1}])
def test_an_error_that_is_no_name_is_not_shown(job_data: dict[str, Any], error: Any) -> None:
    assert read(json.dumps(destination_record(job_data, error=error))).error == "RetriesExhausted"


POISON: dict[str, Any] = {
    "not JSON": "{",
    "empty": "",
    "deep": "[" * 100_000,
    "a list": [],
    "text": '"text"',
    "nothing known": {},
    "another event": {"detail-type": "EC2 Instance State-change Notification", "source": "aws.ec2", "detail": {}},
    "another source": {"detail-type": "Step Functions Execution Status Change", "source": "my.app", "detail": {}},
    "no detail": {"detail-type": "Step Functions Execution Status Change", "source": "aws.states"},
    "a record without payload": {"requestPayload": None, "requestContext": {}},
}


@pytest.mark.parametrize("case", POISON)
def test_what_has_no_shape_is_poison(case: str) -> None:
    body = POISON[case] if isinstance(POISON[case], str) else json.dumps(POISON[case])
    with pytest.raises(PoisonMessage):
        read(body)


@pytest.mark.parametrize(
    ("changes", "field"), [({"input": None}, "input"), ({"input": "{}"}, "action"), ({"status": "LOST"}, "status")]
)
def test_poison_is_named_by_its_fields(job_data: dict[str, Any], changes: dict[str, Any], field: str) -> None:
    with pytest.raises(PoisonMessage, match=field):
        read(json.dumps(status_event(job_data, **changes)))


def test_poison_does_not_quote_the_message(job_data: dict[str, Any]) -> None:
    record = destination_record({**job_data, "pull_request": TOKEN})
    with pytest.raises(PoisonMessage) as poison:
        read(json.dumps(record))
    assert TOKEN not in str(poison.value)
    assert "requestPayload.pull_request" in str(poison.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = ["requestPayload", "requestContext", "responsePayload", "detail-type", "source", "detail", "taskToken", "input"]


@given(st.dictionaries(st.sampled_from(KEYS), JSON).map(json.dumps) | JSON.map(json.dumps) | st.text())
def test_nothing_but_poison_comes_of_any_text(body: str) -> None:
    with pytest.raises(PoisonMessage):
        read(body)


@given(st.data())
def test_nothing_but_poison_comes_of_a_damaged_event(data: st.DataObject) -> None:
    job = {
        "action": "build",
        "delivery_id": "d",
        "repository": {"full_name": "o/r"},
        "pull_request": {
            "number": 1,
            "title": "t",
            "head": {"ref": "h", "sha": "a" * 40},
            "base": {"ref": "b", "sha": "b" * 40},
        },
        "sender": {"login": "s"},
    }
    message: Any = data.draw(st.sampled_from([destination_record(job), status_event(job), task_event(job), job]))
    message = json.loads(json.dumps(message))
    target = message
    while isinstance(target, dict) and target:
        key = data.draw(st.sampled_from(sorted(target)))
        if data.draw(st.booleans()) or not isinstance(target[key], dict):
            target[key] = data.draw(JSON)
            break
        target = target[key]
    try:
        told = type(read(json.dumps(message)).job).__name__
    except PoisonMessage as poison:
        told = str(poison)
    assert told == "Job" or (told and TOKEN not in told)


def test_the_reader_loads_no_sdk() -> None:
    code = "import sys, shared.dead_work; sys.exit('boto3' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT / "functions", check=True)
