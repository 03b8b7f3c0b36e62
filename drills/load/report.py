"""What a load drill found: whether everything holds, how long it took, and how that grows with the size."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from drills.load.plan import Delivery, Flaw, Plan
    from local.github import PullRequest

STARTED_TOLERANCE_SECONDS = 0.5
"""So long after an execution's start its duplicate may be answered ``started``: docs/decisions, on duplicates."""
SDK_READ_TIMEOUT_MS = 2000.0
"""After so long the webhook's SDK sends StartExecution again (READ_TIMEOUT of functions/shared/aws.py). AWS answers the
second call as it would have the first; the embedded AWS says that the execution exists, so that the delivery that
started it is answered ``duplicate``."""
TAKEN = ("started", "queued")
"""The answers (202) to a delivery that has been taken."""
RUNNING = ("RUNNING", "PENDING_REDRIVE")


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of sending one delivery.

    Args:
        delivery: of the plan.
        sent_at: when it was sent first, in seconds since the epoch.
        asked_at: when it was sent last.
        ack_ms: from then until the whole answer.
        status: of the last answer; None when there was none.
        body: the answer's JSON; anything, when it is not the webhook's.
        unavailable: what each earlier try got, for which it was sent again.
    """

    delivery: Delivery
    sent_at: float
    asked_at: float
    ack_ms: float
    status: int | None
    body: Any
    unavailable: tuple[str, ...] = ()

    @property
    def result(self) -> str | None:
        """The answer's stable word."""
        return self.body.get("result") if isinstance(self.body, dict) else None

    @property
    def execution(self) -> str | None:
        """The name of the execution that the answer tells."""
        return self.body.get("execution") if isinstance(self.body, dict) else None

    @property
    def is_taken(self) -> bool:
        """Whether it says that this delivery has been taken."""
        return self.status == 202 and self.result in TAKEN

    @property
    def is_duplicate(self) -> bool:
        """Whether it says that the delivery was here before."""
        return (self.status, self.result) == (200, "duplicate")

    def __str__(self) -> str:
        return f"answered {self.status} {self.result or self.body}"


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution as Step Functions tells of it. Times in seconds since the epoch; input and output decoded."""

    name: str
    status: str
    started_at: float
    stopped_at: float | None = None
    input: Any = None
    output: Any = None
    error: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it will not change any more."""
        return self.status not in RUNNING


@dataclass
class Observed:
    """Everything that the drill saw.

    Args:
        plan: what was to be sent.
        pull_requests: by subject.
        answers: to the deliveries that were sent.
        executions: those whose name begins with the GUID of one of the deliveries.
        statuses: the commit statuses that GitHub has, oldest first.
        problems: what kept the drill from seeing more.
    """

    plan: Plan
    pull_requests: Sequence[PullRequest]
    answers: list[Answer] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """The result, ``load.json``.

    Args:
        n: deliveries that were to be sent.
        seed: of the plan.
        clients: that sent them.
        accepted: good deliveries that the webhook took.
        duplicates: second copies that were answered as such.
        rejected: bad deliveries that were refused with the right answer.
        retried: times that a delivery was sent again because the webhook was not available.
        retried_after: the same by what the webhook answered, or did.
        executions: by status.
        lost: good deliveries without exactly one execution that has ended.
        ack_ms: p50 and p99 over all deliveries, from sending to the whole answer.
        completion_ms: p50 and p99 over the executions that ended, from sending the delivery for the first time to the
            execution's ``stopDate``. Both are read from the clock of this machine; Step Functions cuts its dates to
            the millisecond, so a value may be short by that much.
        lagged: answers of GitHub that were older than the event that they were asked about.
        seconds: from the first delivery's sending to the last execution's end.
        throughput_per_s: executions that ended, by those seconds.
        peak_memory_mb: of the stack's processes together, in MB (1024²).
        memory_mb: by part, at that moment.
        cpu_seconds: by part, of the whole drill.
        violations: everything that does not hold.
    """

    n: int
    seed: int
    clients: int
    accepted: int
    duplicates: int
    rejected: int
    retried: int
    retried_after: dict[str, int]
    executions: dict[str, int]
    lost: int
    ack_ms: dict[str, float]
    completion_ms: dict[str, float]
    seconds: float
    throughput_per_s: float
    peak_memory_mb: float
    memory_mb: dict[str, float]
    violations: list[str]
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    lagged: int = 0

    @property
    def holds(self) -> bool:
        """Whether the drill has succeeded."""
        return not self.violations and self.lost == 0


def report(
    seen: Observed,
    *,
    n: int,
    seed: int,
    clients: int,
    memory_mb: Mapping[str, float],
    cpu_seconds: Mapping[str, float],
    lagged: int = 0,
) -> Report:
    """Judges what was seen; a pure function."""
    answers = {(one.delivery.id, one.delivery.kind): one for one in seen.answers}
    executions: defaultdict[str, list[Execution]] = defaultdict(list)
    for execution in seen.executions:
        executions[execution.name[:36]].append(execution)
    right: Counter[str] = Counter()
    violations = list(seen.problems)
    for delivery in seen.plan.deliveries:
        answer = answers.get((delivery.id, delivery.kind))
        twin = answers.get((delivery.id, "duplicate" if delivery.kind == "good" else "good"))
        wrong = _wrong_answer(delivery, answer, twin, executions[delivery.id])
        if wrong:
            violations.append(f"{delivery.id} ({_described(delivery)}): {wrong}")
        else:
            right[delivery.kind] += 1
    posted: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for status in seen.statuses:
        posted[status["sha"], status["context"]].append(status["state"])
    lost = 0
    for delivery in seen.plan.deliveries:
        found = executions[delivery.id]
        if delivery.kind == "bad":
            violations += [
                f"{delivery.id} (bad, {delivery.flaw and delivery.flaw.name}): started {one.name}" for one in found
            ]
        elif delivery.kind == "good":
            lost += len(found) != 1 or not found[0].has_ended
            pull_request = seen.pull_requests[delivery.subject]
            states = posted[pull_request.head_sha, f"pullback/{delivery.action}"]
            wrong = _wrong_execution(delivery, found, pull_request, states)
            violations += [f"{delivery.id} ({_described(delivery)}): {wrong}"] if wrong else []
    ended = {one.name: one.stopped_at for one in seen.executions if one.has_ended and one.stopped_at is not None}
    first_sent = min((one.sent_at for one in seen.answers), default=0.0)
    seconds = max(ended.values(), default=first_sent) - first_sent
    sent_at: dict[str, float] = {}
    for one in seen.answers:
        sent_at[one.delivery.id] = min(one.sent_at, sent_at.get(one.delivery.id, math.inf))
    completions = [(stopped - sent_at[name]) * 1000 for name, stopped in ended.items() if name in sent_at]
    unavailable = Counter(reason for one in seen.answers for reason in one.unavailable)
    return Report(
        n=n,
        seed=seed,
        clients=clients,
        accepted=right["good"],
        duplicates=right["duplicate"],
        rejected=right["bad"],
        retried=unavailable.total(),
        retried_after=dict(unavailable.most_common()),
        executions=dict(sorted(Counter(one.status for one in seen.executions).items())),
        lost=lost,
        ack_ms=_percentiles(one.ack_ms for one in seen.answers if one.status is not None),
        completion_ms=_percentiles(completions),
        seconds=round(seconds, 1),
        throughput_per_s=round(len(ended) / seconds, 1) if seconds > 0 else 0.0,
        peak_memory_mb=round(sum(memory_mb.values()), 1),
        memory_mb={part: round(size, 1) for part, size in memory_mb.items()},
        violations=violations,
        cpu_seconds={part: round(seconds, 2) for part, seconds in cpu_seconds.items()},
        lagged=lagged,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least this share of them does not exceed (nearest rank).

    Args:
        values: in any order, at least one.
        share: above 0, at most 1.
    """
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def table(results: Iterable[Mapping[str, Any]]) -> str:
    """The Markdown table of docs/reliability.md: a row for each size, growth against the smallest in brackets.

    Args:
        results: reports as ``load.json`` has them, at least one.
    """
    rows = sorted(results, key=lambda one: int(one["n"]))
    base = rows[0]
    head = "| deliveries | executions | lost | answer p50 / p99 | completion p50 / p99 | whole drill | per second |"
    lines = [f"{head} peak memory |", "|" + "---:|" * 8]
    for row in rows:
        cells = (
            f"{row['n']:,}{_growth(row['n'], base['n'])}",
            f"{sum(row['executions'].values()):,}",
            f"{row['lost']}",
            f"{row['ack_ms']['p50']:,.0f} / {row['ack_ms']['p99']:,.0f} ms",
            f"{row['completion_ms']['p50'] / 1000:.1f} / {row['completion_ms']['p99'] / 1000:.1f} s",
            f"{row['seconds']:.1f} s{_growth(row['seconds'], base['seconds'])}",
            f"{row['throughput_per_s']:.1f}",
            f"{row['peak_memory_mb']:,.0f} MB{_growth(row['peak_memory_mb'], base['peak_memory_mb'])}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _growth(value: float, base: float) -> str:
    """ "3.0 times" in brackets; nothing where there is nothing to compare."""
    return f" (\u00d7{value / base:.3g})" if base and value != base else ""


def _described(delivery: Delivery) -> str:
    detail = delivery.flaw.name if delivery.flaw else delivery.timing
    return f"{delivery.kind}, {detail}" if detail else delivery.kind


def _percentiles(values: Iterable[float]) -> dict[str, float]:
    known = list(values)
    return {f"p{p}": round(percentile(known, p / 100), 1) if known else 0.0 for p in (50, 99)}


def _wrong_answer(
    delivery: Delivery, answer: Answer | None, twin: Answer | None, executions: Sequence[Execution]
) -> str | None:
    """What is wrong with the answer to a delivery, or None; ``twin`` is the answer to the other one of its GUID."""
    if answer is None:
        return "was not sent"
    if delivery.flaw is not None:
        return _wrong_refusal(delivery.flaw, answer)
    if answer.result != "queued" and answer.execution != delivery.id:
        return f"{answer}, execution {answer.execution}"
    if delivery.kind == "duplicate":
        return _wrong_second_answer(delivery, answer, executions)
    # Second place is right for a first only when its twin overtook it, or when its own earlier try had arrived.
    overtaken = delivery.timing == "concurrent" and twin is not None and twin.is_taken
    tried_before = bool(answer.unavailable) or answer.ack_ms >= SDK_READ_TIMEOUT_MS
    is_right = answer.is_taken or (answer.is_duplicate and (overtaken or tried_before))
    return None if is_right else str(answer)


def _wrong_refusal(flaw: Flaw, answer: Answer) -> str | None:
    expected = f"{flaw.status} {flaw.result} {flaw.field}"
    named = answer.body.get("field") if isinstance(answer.body, dict) else None
    is_right = (answer.status, answer.result, named) == (flaw.status, flaw.result, flaw.field)
    return None if is_right else f"{answer} {named or ''}".rstrip() + f", not {expected}"


def _wrong_second_answer(delivery: Delivery, answer: Answer, executions: Sequence[Execution]) -> str | None:
    if answer.is_duplicate:
        return None
    if delivery.timing == "late" or not answer.is_taken:
        return str(answer)
    if answer.result == "started":
        late_by = answer.asked_at - min((one.started_at for one in executions), default=math.inf)
        if late_by > STARTED_TOLERANCE_SECONDS:
            return f"{answer} although it came {late_by:.1f} s after the execution's start"
    return None


def _wrong_execution(
    delivery: Delivery, executions: Sequence[Execution], pull_request: PullRequest, states: Sequence[str]
) -> str | None:
    """What is wrong with what a good delivery has caused, or None."""
    if not executions:
        return "has no execution"
    if len(executions) > 1 or executions[0].name != delivery.id:
        return f"has the executions {', '.join(sorted(one.name for one in executions))}"
    execution = executions[0]
    if execution.status != "SUCCEEDED":
        return f"its execution is {execution.status} {execution.error or ''}".rstrip()
    job, outcome = execution.input or {}, execution.output or {}
    found = (
        job.get("action"),
        job.get("delivery_id"),
        job.get("pull_request", {}).get("number"),
        job.get("pull_request", {}).get("head", {}).get("sha"),
    )
    if found != (delivery.action, delivery.id, pull_request.number, pull_request.head_sha):
        return f"its execution has the job of another one: {found}"
    if (outcome.get("action"), outcome.get("delivery_id")) != (delivery.action, delivery.id):
        return f"its outcome belongs to another job: {outcome.get('action')} {outcome.get('delivery_id')}"
    if outcome.get("conclusion") != "success":
        return f"concluded {outcome.get('conclusion')}: {outcome.get('summary')}"
    if list(states) != ["pending", "success"]:
        return f"the pull request shows {' '.join(states) or 'nothing'}, not pending, then success"
    return None
