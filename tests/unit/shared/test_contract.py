from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract import InvalidContract, read_object
from shared.job import Job, Outcome, TaskEvent

SECRET = "a-canary-that-nobody-may-quote"


def changed(job_data: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(job_data))
    *parents, last = path.split(".")
    holder = data
    for parent in parents:
        holder = holder[parent]
    holder[last] = value
    return data


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("action", f"{SECRET}"),
        ("delivery_id", SECRET * 3),
        ("repository.full_name", f"octo/hello\n{SECRET}"),
        ("pull_request.head.sha", SECRET),
        ("pull_request.number", SECRET),
        ("pull_request.number", True),
        ("pull_request.title", SECRET * 20),
        ("pull_request.updated_at", SECRET),
        ("pull_request.base", SECRET),
        ("taskToken", ""),
        ("taskToken", SECRET * 200),
        ("retry_count", -1),
        ("entered_at", "2026-01-01T00:00:00"),
    ],
)
def test_an_error_names_the_field_and_quotes_nothing(job_data: dict[str, Any], path: str, value: Any) -> None:
    data = changed(job_data, path, value)
    for read, given_as in ((TaskEvent.read, data), (TaskEvent.read_json, json.dumps(data))):
        with pytest.raises(InvalidContract) as caught:
            read(given_as)
        assert caught.value.field == path
        assert SECRET not in f"{caught.value!r} {caught.value}"
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_a_missing_field_is_named_with_its_place(job_data: dict[str, Any]) -> None:
    del job_data["pull_request"]["head"]["sha"]
    with pytest.raises(InvalidContract) as caught:
        Job.read(job_data)
    assert (caught.value.field, caught.value.problem) == ("pull_request.head.sha", "missing")


def test_a_word_that_is_none_of_a_set_is_not_quoted() -> None:
    data = {"action": "build", "delivery_id": "d", "conclusion": SECRET, "summary": "", "duration_ms": 1}
    with pytest.raises(InvalidContract) as caught:
        Outcome.read(data)
    assert (caught.value.field, caught.value.problem) == ("conclusion", "not one of the words that are known")


@pytest.mark.parametrize("path", ["action", "delivery_id", "repository.full_name", "pull_request.head.sha"])
def test_a_pattern_ends_at_the_end(job_data: dict[str, Any], path: str) -> None:
    # Python's `$` would let one line break pass.
    value = job_data
    for part in path.split("."):
        value = value[part]
    with pytest.raises(InvalidContract):
        Job.read(changed(job_data, path, f"{value}\n"))


def test_the_token_is_in_no_representation(job_data: dict[str, Any]) -> None:
    event = TaskEvent.read(job_data | {"taskToken": SECRET})
    assert event.taskToken == SECRET
    assert SECRET not in f"{event} {event!r} {[event]!r}"


def test_half_of_a_surrogate_pair_is_no_text(job_data: dict[str, Any]) -> None:
    with pytest.raises(InvalidContract, match="not Unicode"):
        Job.read(changed(job_data, "pull_request.title", "\ud800"))


def test_models_do_not_change(job_data: dict[str, Any]) -> None:
    job = Job.read(job_data)
    with pytest.raises(AttributeError):
        job.action = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}', "[" * 100_000, '{"a": 1} x', "[]", "null", '"x"'],
)
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidContract) as caught:
        read_object(text)
    assert caught.value.field == ""
    with pytest.raises(InvalidContract):
        Job.read_json(text)


@given(
    st.dictionaries(
        st.text(),
        st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(), st.lists, max_leaves=5),
    )
)
def test_any_object_is_read_as_the_standard_library_reads_it(data: dict[str, Any]) -> None:
    text = json.dumps(data)
    assert read_object(text) == json.loads(text)
    assert read_object(text.encode()) == data
