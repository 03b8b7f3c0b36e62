"""The plan of the load drill: its shares, and that no two deliveries are mistaken for one."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drills.load.plan import FLAWS, Delivery, Plan, message, plan, shares
from local.github import deliveries
from tests.conftest import ROOT
from webhook.signature import is_valid

SECRET = "a secret"
BODY = (ROOT / "events/pull_request.synchronize.json").read_bytes()

plans = st.builds(plan, st.integers(1, 400), st.integers(0, 2**32))


@pytest.mark.parametrize(
    ("n", "good", "duplicate", "bad"), [(1, 1, 0, 0), (40, 30, 8, 2), (100, 75, 20, 5), (1000, 750, 200, 50)]
)
def test_a_fifth_is_duplicate_and_a_twentieth_is_bad(n: int, good: int, duplicate: int, bad: int) -> None:
    assert shares(n) == {"good": good, "duplicate": duplicate, "bad": bad}


@pytest.mark.parametrize("n", [0, -1])
def test_nothing_is_no_drill(n: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        plan(n, seed=1)


@given(plans)
def test_the_plan_has_the_shares(made: Plan) -> None:
    count = Counter(one.kind for one in made.deliveries)
    assert {kind: count[kind] for kind in shares(1)} == shares(len(made.deliveries))


@given(plans)
def test_every_delivery_but_a_duplicate_has_a_guid_of_its_own(made: Plan) -> None:
    own = [one.id for one in made.deliveries if one.kind != "duplicate"]
    assert len(set(own)) == len(own)
    assert all(str(uuid.UUID(one)) == one for one in own)


@given(plans)
def test_every_good_delivery_has_a_pull_request_of_its_own(made: Plan) -> None:
    assert [one.subject for one in made.good] == list(range(len(made.good)))


@given(plans)
def test_a_duplicate_is_its_first_once_more_and_comes_when_it_should(made: Plan) -> None:
    order = made.deliveries
    firsts = {one.id: one for one in order if one.kind == "good"}
    seconds = [one for one in order if one.kind == "duplicate"]
    assert len({one.id for one in seconds}) == len(seconds)
    turns = list(made.turns)
    for second in seconds:
        first = firsts[second.id]
        assert (second.action, second.subject, second.timing) == (first.action, first.subject, first.timing)
        if second.timing == "late":
            assert second in made.late
        elif second.timing == "after":
            assert (first, second) in turns
        else:
            # Side by side: else clients that wait for the other one of their pair could wait for each other.
            assert turns[turns.index((first,)) + 1] == (second,)
    assert len(made.late) == sum(1 for one in seconds if one.timing == "late")


@given(plans)
def test_what_is_bad_has_a_flaw_and_nothing_else_has(made: Plan) -> None:
    assert all((one.flaw is not None) == (one.kind == "bad") for one in made.deliveries)
    bad = Counter(one.flaw.name for one in made.deliveries if one.flaw)
    # Each in turn: none twice as often as it must be.
    assert not bad or max(bad.values()) - min(bad[flaw.name] for flaw in FLAWS) <= 1


@given(st.integers(1, 100), st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_plan(n: int, seed: int) -> None:
    assert plan(n, seed) == plan(n, seed)


def test_another_seed_gives_other_guids() -> None:
    assert not {one.id for one in plan(50, 1).deliveries} & {one.id for one in plan(50, 2).deliveries}


def test_all_kinds_of_everything_are_in_a_plan_of_two_hundred() -> None:
    made = plan(200, seed=3)
    assert {one.timing for one in made.deliveries if one.kind == "duplicate"} == {"after", "concurrent", "late"}
    assert {one.flaw for one in made.deliveries if one.flaw} == set(FLAWS)
    assert Counter(one.action for one in made.good) == {"synchronize": 120, "build": 30}


class TestMessage:
    def test_a_good_one_is_as_github_sends_it(self) -> None:
        delivery = Delivery("guid", "good", "synchronize", 0)
        headers, body = message(delivery, BODY, SECRET)
        assert body == BODY
        assert headers == deliveries.headers("pull_request", "guid", deliveries.sign(SECRET, BODY))

    def test_a_duplicate_is_the_same_to_the_byte(self) -> None:
        first = message(Delivery("guid", "good", "build", 0, "after"), BODY, SECRET)
        assert message(Delivery("guid", "duplicate", "build", 0, "after"), BODY, SECRET) == first

    @pytest.mark.parametrize("flaw", FLAWS, ids=lambda flaw: flaw.name)
    def test_a_bad_one_has_its_flaw_alone(self, flaw: object) -> None:
        assert flaw in FLAWS
        headers, body = message(Delivery("guid", "bad", "synchronize", 0, flaw=flaw), BODY, SECRET)
        signed = is_valid(body, headers.get("X-Hub-Signature-256"), [SECRET.encode()])
        payload = _parsed(body)
        flaws = {
            "wrong signature": not signed and "X-Hub-Signature-256" in headers,
            "no signature": "X-Hub-Signature-256" not in headers,
            "not JSON": payload is None,
            "form-encoded": headers["Content-Type"] != "application/json",
            "field missing": payload is not None and "repository" not in payload,
            "field of the wrong type": payload is not None and isinstance(payload["pull_request"]["number"], str),
        }
        assert [name for name, is_there in flaws.items() if is_there] == [flaw.name]


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        parsed: dict[str, Any] = json.loads(body)
    except ValueError:
        return None
    return parsed
