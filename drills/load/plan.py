"""What the load drill sends: so many deliveries, which of them are duplicates, which are bad, and in which order.

All of it is a pure function of the number of deliveries and a seed, so that a drill that failed can be sent again.
"""

from __future__ import annotations

import json
import random
import uuid
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Literal

from local.github import deliveries

DUPLICATE_SHARE = 0.20
BAD_SHARE = 0.05
BUILD_SHARE = 0.20
"""Of the good deliveries; the others are ``synchronize``, which is what GitHub sends most."""

Kind = Literal["good", "duplicate", "bad"]
Timing = Literal["after", "concurrent", "late"]
"""When a duplicate comes: behind the answer to the first, together with the first, or when its execution has ended."""
TIMINGS: tuple[Timing, ...] = ("after", "concurrent", "late")


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a bad delivery, and the answer that it must get (README.md, "What the webhook answers")."""

    name: str
    status: int
    result: str
    field: str


FLAWS = (
    Flaw("wrong signature", 401, "unauthorized", "x-hub-signature-256"),
    Flaw("not JSON", 400, "invalid", "body"),
    Flaw("form-encoded", 415, "unsupported", "content-type"),
    Flaw("field missing", 400, "invalid", "repository"),
    Flaw("no signature", 401, "unauthorized", "x-hub-signature-256"),
    Flaw("field of the wrong type", 400, "invalid", "pull_request.number"),
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of the drill.

    Args:
        id: the GUID; a duplicate has that of its first.
        kind: good, the second copy of a good one, or bad.
        action: the action that it asks for.
        subject: which pull request it is about, counted from 0. Each good delivery has one of its own, because
            deliveries for the same commit and action are one piece of work.
        timing: of a duplicate and of its first, None otherwise.
        flaw: of a bad one, None otherwise.
    """

    id: str
    kind: Kind
    action: str
    subject: int
    timing: Timing | None = None
    flaw: Flaw | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The deliveries, in the order in which the clients take them.

    Args:
        turns: what one client sends one after the other. The two of a concurrent pair are turns side by side.
        late: what is sent when every execution has ended.
    """

    turns: tuple[tuple[Delivery, ...], ...]
    late: tuple[Delivery, ...]

    @property
    def deliveries(self) -> list[Delivery]:
        """All deliveries, in the order of sending."""
        return [delivery for turn in self.turns for delivery in turn] + list(self.late)

    @property
    def good(self) -> list[Delivery]:
        """The good deliveries, by subject: each must have exactly one execution."""
        return sorted((one for one in self.deliveries if one.kind == "good"), key=lambda one: one.subject)


def shares(n: int) -> dict[Kind, int]:
    """How many of n deliveries are of each kind.

    Raises:
        ValueError: when n is less than 1.
    """
    if n < 1:
        raise ValueError("a load drill sends at least one delivery")
    duplicates, bad = round(n * DUPLICATE_SHARE), round(n * BAD_SHARE)
    return {"good": n - duplicates - bad, "duplicate": duplicates, "bad": bad}


def plan(n: int, seed: int) -> Plan:
    """The deliveries of a drill.

    Args:
        n: how many, duplicates and bad ones included.
        seed: the same seed gives the same plan, GUIDs included.

    Raises:
        ValueError: when n is less than 1.
    """
    rng = random.Random(seed)  # noqa: S311 - a plan, not a key
    count = shares(n)
    builds = set(rng.sample(range(count["good"]), round(count["good"] * BUILD_SHARE)))
    doubled = dict(zip(rng.sample(range(count["good"]), count["duplicate"]), cycle(TIMINGS), strict=False))
    blocks: list[list[tuple[Delivery, ...]]] = []
    late: list[Delivery] = []
    for subject in range(count["good"]):
        action, timing = "build" if subject in builds else "synchronize", doubled.get(subject)
        first = Delivery(_guid(rng), "good", action, subject, timing)
        second = Delivery(first.id, "duplicate", action, subject, timing)
        match timing:
            case "after":
                blocks.append([(first, second)])
            case "concurrent":
                blocks.append([(first,), (second,)])
            case _:
                blocks.append([(first,)])
                late += [second] if timing == "late" else []
    first_flaw = rng.randrange(len(FLAWS))
    for flaw in islice(cycle(FLAWS), first_flaw, first_flaw + count["bad"]):
        # About a pull request that exists: only its flaw must keep it from starting anything.
        subject = rng.randrange(count["good"])
        blocks.append([(Delivery(_guid(rng), "bad", "synchronize", subject, flaw=flaw),)])
    rng.shuffle(blocks)
    rng.shuffle(late)
    return Plan(tuple(turn for block in blocks for turn in block), tuple(late))


def message(delivery: Delivery, body: bytes, secret: str) -> tuple[dict[str, str], bytes]:
    """A delivery's headers and body, its flaw included.

    Args:
        delivery: of the plan.
        body: the payload made out to the delivery's pull request.
        secret: the webhook's.
    """
    flaw = delivery.flaw.name if delivery.flaw else None
    if flaw == "not JSON":
        body = body[: len(body) // 2]
    elif flaw in ("field missing", "field of the wrong type"):
        payload = json.loads(body)
        if flaw == "field missing":
            del payload["repository"]
        else:
            payload["pull_request"]["number"] = str(payload["pull_request"]["number"])
        body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    signature = None
    if flaw != "no signature":
        signature = deliveries.sign(f"not {secret}" if flaw == "wrong signature" else secret, body)
    content_type = "application/x-www-form-urlencoded" if flaw == "form-encoded" else "application/json"
    return deliveries.headers("pull_request", delivery.id, signature, content_type=content_type), body


def _guid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))
