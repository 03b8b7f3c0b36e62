from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.job import JOB_MAX_BYTES, Job
from tests.support import BASE_SHA, DELIVERY_ID, SHA
from webhook.delivery import Rejected
from webhook.projection import TEXT_MAX_BYTES, cut, decode, payload_actions, project


def payload(**changes: Any) -> dict[str, Any]:
    return {
        "action": "synchronize",
        "number": 7,
        "pull_request": {
            "number": 7,
            "title": "Say hello",
            "body": "Please.",
            "labels": [],
            "head": {"ref": "hello", "sha": SHA, "repo": {"id": 1}},
            "base": {"ref": "main", "sha": BASE_SHA},
        },
        "repository": {"id": 1, "full_name": "octo-org/hello", "private": False},
        "installation": {"id": 42, "node_id": "x"},
        "sender": {"login": "octocat", "id": 1},
        **changes,
    }


def test_keeps_the_fields_in_use_and_no_other() -> None:
    job = project(payload(), action="synchronize", delivery_id=DELIVERY_ID)
    assert json.loads(job.to_json()) == {
        "action": "synchronize",
        "delivery_id": DELIVERY_ID,
        "repository": {"full_name": "octo-org/hello"},
        "pull_request": {
            "number": 7,
            "title": "Say hello",
            "head": {"ref": "hello", "sha": SHA},
            "base": {"ref": "main", "sha": BASE_SHA},
        },
        "installation": {"id": 42},
        "sender": {"login": "octocat"},
    }


def test_keeps_what_tells_a_lag_from_a_newer_push() -> None:
    data = payload(before="d" * 40, changes={"base": {"ref": {"from": "main"}, "sha": {"from": BASE_SHA}}})
    data["pull_request"]["updated_at"] = "2026-11-01T12:00:00Z"
    job = json.loads(project(data, action="synchronize", delivery_id=DELIVERY_ID).to_json())
    assert job["before"] == "d" * 40
    assert job["pull_request"]["updated_at"] == "2026-11-01T12:00:00Z"
    assert job["changes"] == {"base": {"ref": {"from": "main"}, "sha": {"from": BASE_SHA}}}
    # As the state machine hands it on, and back again.
    assert Job.read(job).to_json() == json.dumps(job, separators=(",", ":"))


@pytest.mark.parametrize(
    "odd", [None, 1, "", "text", [], {}, {"base": 1}, {"base": {"ref": None}}, {"title": {"from": "x"}}]
)
def test_what_only_helps_costs_no_delivery(odd: Any) -> None:
    data = payload(before=odd, changes=odd)
    data["pull_request"]["updated_at"] = odd
    job = project(data, action="synchronize", delivery_id=DELIVERY_ID)
    assert (job.before, job.pull_request.updated_at) == (None, None)
    assert job.changes is None or job.changes.base is not None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"base": {"ref": {"from": "main"}}}, ("edited.base", "edited")),
        ({"title": {"from": "x"}}, ("edited",)),
        (None, ("edited",)),
    ],
)
def test_an_edit_of_the_base_has_a_word_of_its_own(changes: Any, words: tuple[str, ...]) -> None:
    assert payload_actions({"action": "edited", "changes": changes}) == words


def test_a_repository_webhook_has_no_installation() -> None:
    without = payload()
    del without["installation"]
    assert project(without, action="build", delivery_id=DELIVERY_ID).installation is None


def test_the_largest_legal_payload_stays_below_the_limit() -> None:
    emojis = "😀" * 65_536
    large = payload(sender={"login": emojis})
    large["pull_request"] |= {
        "title": emojis,
        "body": emojis,
        "labels": [{"name": "😀" * 50}] * 5_000,
        "head": {"ref": emojis, "sha": SHA},
        "base": {"ref": emojis, "sha": BASE_SHA},
    }
    large["repository"] = {"full_name": "o" * 100 + "/" + "r" * 100}
    job = project(decode(json.dumps(large).encode()), action="a" * 64, delivery_id="d" * 64)
    assert len(job.to_json().encode()) <= JOB_MAX_BYTES
    # Also when somebody writes it with escapes, as json.dumps does.
    assert len(json.dumps(json.loads(job.to_json()))) <= JOB_MAX_BYTES


@given(texts=st.lists(st.text(min_size=0, max_size=2_000), min_size=4, max_size=4), escape=st.booleans())
@settings(max_examples=200)
def test_any_text_fits_and_the_job_is_a_pure_function(texts: list[str], escape: bool) -> None:
    data = payload(sender={"login": texts[0]})
    data["pull_request"] |= {
        "title": texts[1] * 40,
        "head": {"ref": texts[2], "sha": SHA},
        "base": {"ref": texts[3], "sha": BASE_SHA},
    }
    body = json.dumps(data, ensure_ascii=escape).encode("utf-8", "surrogatepass")
    first = project(decode(body), action="build", delivery_id=DELIVERY_ID)
    again = project(decode(body), action="build", delivery_id=DELIVERY_ID)
    assert first.to_json() == again.to_json()
    assert len(json.dumps(json.loads(first.to_json()))) <= JOB_MAX_BYTES
    assert Job.read_json(first.to_json()) == first


@given(st.text())
def test_cut_is_a_prefix_of_at_most_the_limit(text: str) -> None:
    shorter = cut(text)
    assert text.startswith(shorter)
    assert len(shorter.encode()) <= TEXT_MAX_BYTES
    assert shorter == text or len(shorter.encode()) > TEXT_MAX_BYTES - 4


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"payload=%7B%7D", b'{"a": NaN}'])
def test_no_json_is_rejected(body: bytes) -> None:
    with pytest.raises(Rejected) as rejected:
        decode(body)
    assert (rejected.value.status, rejected.value.field) == (400, "body")


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"1"])
def test_no_object_is_rejected(body: bytes) -> None:
    with pytest.raises(Rejected) as rejected:
        decode(body)
    assert (rejected.value.status, rejected.value.field) == (400, "body")


def test_the_action_is_needed() -> None:
    with pytest.raises(Rejected) as rejected:
        payload_actions({"action": 1})
    assert (rejected.value.status, rejected.value.field) == (400, "action")


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (["repository"], None, "repository"),
        (["repository", "full_name"], "no-slash", "repository.full_name"),
        (["repository", "full_name"], "../..", "repository.full_name"),
        (["repository", "full_name"], "octo/..", "repository.full_name"),
        (["repository", "full_name"], "octo/hello\n", "repository.full_name"),
        (["pull_request"], "text", "pull_request"),
        (["pull_request", "number"], "7", "pull_request.number"),
        (["pull_request", "number"], 0, "pull_request.number"),
        (["pull_request", "number"], True, "pull_request.number"),
        (["pull_request", "head", "sha"], "A" * 40, "pull_request.head.sha"),
        (["pull_request", "head", "sha"], "a" * 39, "pull_request.head.sha"),
        (["pull_request", "head", "ref"], None, "pull_request.head.ref"),
        (["sender"], {}, "sender.login"),
        (["installation"], {"id": "42"}, "installation.id"),
    ],
)
def test_a_wrong_field_is_named_and_not_quoted(path: list[str], value: Any, field: str) -> None:
    data = payload()
    *parents, last = path
    holder = data
    for parent in parents:
        holder = holder[parent]
    holder[last] = value
    with pytest.raises(Rejected) as rejected:
        project(data, action="build", delivery_id=DELIVERY_ID)
    assert (rejected.value.status, rejected.value.field) == (400, field)
    if isinstance(value, str) and len(value) > 3:
        assert value not in rejected.value.message


def test_a_missing_pull_request_is_named() -> None:
    data = payload()
    del data["pull_request"]
    with pytest.raises(Rejected) as rejected:
        project(data, action="build", delivery_id=DELIVERY_ID)
    assert rejected.value.field == "pull_request"
