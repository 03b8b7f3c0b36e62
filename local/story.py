"""What a delivery's segments tell: which trace follows which, which attempt is which, who waited for whom."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from local.traces import Segment

LOST = "no segment"
MARKED_WAIT_SECONDS = 0.1
_FUNCTION = "AWS::Lambda::Function"
_WAITING = {"AWS::StepFunctions::StateMachine", "AWS::Lambda", "AWS::SQS::Queue"}
"""Whose segments also cover the time in which nothing runs: waits for a token, for a retry, in a queue."""


@dataclass(frozen=True)
class Row:
    """One line of a waterfall; times in seconds."""

    segment: Segment
    depth: int
    end: float
    """The segment's; of one that is in progress the last that is known to have happened."""
    attempt: int | None = None
    """Which attempt of its execution this is, if there was more than one."""
    attempts: int | None = None
    outcome: str | None = None
    """What the attempt came to: a conclusion, or ``failed`` with the error if that is known."""
    waited: float | None = None
    """Since its caller ended, or since the attempt before it did."""

    @property
    def label(self) -> str:
        """What it is, in one or two words."""
        return clean(self.segment.label)

    @property
    def is_lost(self) -> bool:
        """Whether only its calls tell of it."""
        return self.segment.name == LOST

    @property
    def kind(self) -> str:
        """How it is drawn: lost, fault, refused, function, call or aws."""
        one = self.segment
        if self.is_lost:
            return "lost"
        if one.problem == "fault" or (self.outcome or "").startswith("failed"):
            return "fault"
        if one.problem:
            return "refused"
        if one.service:
            return "function"
        return "call" if one.operation else "aws"

    @property
    def took(self) -> str:
        """Its duration in milliseconds, at least, if it is in progress."""
        known = f"{(self.end - self.segment.start) * 1000:.0f} ms"
        return f"≥ {known}" if self.segment.in_progress or self.is_lost else known

    @property
    def marks(self) -> list[str]:
        """What is to be said of it besides: attempt, wait, outcome."""
        one, marks = self.segment, []
        if self.attempt:
            marks.append(f"attempt {self.attempt}/{self.attempts}")
        if self.waited and self.waited >= MARKED_WAIT_SECONDS:
            marks.append(f"after {self.waited:.1f} s")
        if self.outcome:
            marks.append(clean(self.outcome))
        if self.is_lost:
            marks.append("died, or still at work")
        if one.in_progress:
            marks.append("in progress")
        if one.problem and not (self.outcome or "").startswith("failed"):
            marks.append(f"{one.problem} {one.status or ''}".rstrip())
        elif one.status and not one.operation:
            marks.append(str(one.status))
        return marks

    @property
    def bad_marks(self) -> list[str]:
        """Those of the marks that an operator looks for."""
        return [mark for mark in self.marks if mark.startswith(("failed", "fault", "died"))]


@dataclass(frozen=True)
class Trace:
    """One trace of a delivery."""

    id: str
    title: str
    """Such as ``delivery`` or ``replay of trace 1``."""
    rows: list[Row]

    @property
    def start(self) -> float:
        """Seconds since the epoch."""
        return min(row.segment.start for row in self.rows)


def clean(text: str) -> str:
    """Text of somebody else on one line, without control characters."""
    return "".join(character if character.isprintable() else "�" for character in text)


def story(segments: Iterable[Segment]) -> list[Trace]:
    """The traces of one delivery, in the order of their start.

    Args:
        segments: of these traces, in any order; see ``traces.of_delivery``.
    """
    by_trace: dict[str, list[Segment]] = {}
    for one in sorted(segments, key=lambda one: one.start):
        by_trace.setdefault(one.trace_id, []).append(one)
    numbers = {trace_id: number for number, trace_id in enumerate(by_trace, 1)}
    told: list[Trace] = []
    for trace_id, of_trace in by_trace.items():
        services = {one.service for one in of_trace}
        follows = next((str(link) for one in of_trace if (link := one.annotations.get("follows_trace"))), "")
        if "replay" in services:
            # Without a link it goes on from what was started before it: a delivery's executions follow each other.
            follows = follows or next(
                (one.id for one in reversed(told) if one.title.startswith(("deliver", "repl"))), ""
            )
            before = f"trace {numbers[follows]}" if follows in numbers else clean(follows)
            title = f"replay of {before}" if before else "replay"
        elif "crash" in services:
            title = "report of a crash"
        elif "closing" in services:
            title = "closing of the commit status"
        elif "webhook" in services:
            title = "delivered again" if any(one.title.startswith("deliver") for one in told) else "delivery"
        else:
            title = "more of this delivery"
        told.append(Trace(trace_id, title, _rows(of_trace)))
    return told


def _rows(segments: list[Segment]) -> list[Row]:
    """The rows of one trace, each below its caller."""
    known, callers = {one.id for one in segments}, {one.parent_id for one in segments}
    # What X-Ray infers of a service without segments of its own is the call once more.
    told = [one for one in segments if not one.is_inferred or one.id in callers or one.parent_id not in known]
    tree = _Tree(_with_lost(_rehung(told)))
    numbers = _attempts(tree)
    ended: dict[tuple[str, int], float] = {}
    for one in tree.segments:
        if one.id in numbers:
            execution, number, _ = numbers[one.id]
            ended[execution, number] = max(ended.get((execution, number), 0), tree.end(one))
    rows = []
    for one, depth in tree.in_order():
        execution, attempt, attempts = numbers.get(one.id, ("", None, None))
        caller = tree.by_id.get(one.parent_id or "")
        before = caller.end if caller and not caller.in_progress and not one.operation else one.start
        if attempt and one.service == "task":
            before = ended.get((execution, attempt - 1), before)
        waited = one.start - before
        rows.append(
            Row(
                one,
                depth,
                tree.end(one),
                attempt=attempt,
                attempts=attempts,
                outcome=_outcome(one, tree) if one.service == "processor" else None,
                waited=waited if waited > 0 else None,
            )
        )
    return rows


def _outcome(processor: Segment, tree: _Tree) -> str | None:
    if "conclusion" in processor.annotations:
        return str(processor.annotations["conclusion"])
    if error := processor.annotations.get("error"):
        return f"failed: {error}"
    has_failed = processor.problem or any(one.operation == "SendTaskFailure" for one, _ in tree.below(processor, 0))
    return "failed" if has_failed else None


def _attempts(tree: _Tree) -> dict[str, tuple[str, int, int]]:
    """By segment, for executions with several attempts: the execution, the attempt's number, and how many there are."""
    executions: dict[str, list[Segment]] = {}
    for one in tree.segments:
        above = list(tree.above(one))
        execution = next((caller.id for caller in above if caller.operation == "StartExecution"), "")
        # What was lost and no task function invoked is one itself.
        is_lost_task = one.name == LOST and execution and not any(caller.service == "task" for caller in above)
        if one.service == "task" or is_lost_task:
            executions.setdefault(execution, []).append(one)
    numbers: dict[str, tuple[str, int, int]] = {}
    for execution, tasks in executions.items():
        if len(tasks) > 1:
            numbers |= {task.id: (execution, number, len(tasks)) for number, task in enumerate(tasks, 1)}
    for one in tree.segments:
        if one.service == "processor" or (one.name == LOST and one.id not in numbers):
            task_id = next((caller.id for caller in tree.above(one) if caller.id in numbers), None)
            if task_id:
                numbers[one.id] = numbers[task_id]
    return numbers


def _rehung(segments: list[Segment]) -> list[Segment]:
    """Hangs each function from the invocation that it came from.

    In a warm worker the X-Ray SDK keeps the caller for as long as the trace is the same (LambdaContext), so a retry's
    function says that the first attempt called it. Then it is of the last invocation before it that no function is of.
    """
    tree = _Tree(segments)
    invocations = {one.id: one for one in tree.segments if one.operation == "Invoke" or tree.is_invocation(one)}
    taken: set[str] = set()
    callers: dict[str, str] = {}
    for one in tree.segments:
        named = next((caller for caller in tree.above(one) if caller.id in invocations), None)
        if not one.service or named is None:
            continue
        free = [
            other.id
            for other in invocations.values()
            if (other.name, other.operation) == (named.name, named.operation)
            and other.start <= one.start
            and other.id not in taken
        ]
        if named.id in taken and free:
            callers[one.id] = free[-1]
        taken.add(callers.get(one.id, named.id))
    return [replace(one, parent_id=callers[one.id]) if one.id in callers else one for one in segments]


def _with_lost(segments: list[Segment]) -> list[Segment]:
    """Adds a segment for each that calls tell of and that was never sent.

    A handler's segment is sent when the handler ends: one whose process died is known by its calls alone. It hangs from
    the invocation before it of which no function tells: the one that it must have come from. Without such a one it was
    the state machine that invoked it.
    """
    known = {one.id for one in segments}
    lost: dict[str, list[Segment]] = {}
    for one in segments:
        if one.operation and one.parent_id and one.parent_id not in known:
            lost.setdefault(one.parent_id, []).append(one)
    found = list(segments)
    for own_id, calls in lost.items():
        tree = _Tree(found)
        start = min(one.start for one in calls)
        before = [one for one in found if one.start <= start and one not in calls and not one.service]
        invocations = [
            one
            for one in before
            if (one.operation == "Invoke" or tree.is_invocation(one))
            and not any(below.service or below.name == LOST for below, _ in tree.below(one, 0))
        ] or [one for one in before if one.operation == "StartExecution"]
        caller = max(invocations, key=lambda one: one.start, default=None)
        found.append(
            replace(
                calls[0],
                id=own_id,
                parent_id=caller.id if caller else None,
                name=LOST,
                start=start,
                end=max(one.end for one in calls),
                operation=None,
                annotations={},
                failed=True,
                problem=None,
                cause=(),
                status=None,
                request_id=None,
            )
        )
    return found


class _Tree:
    """Segments of one trace by caller. Shapes are somebody else's: a caller may be missing, or be in a circle."""

    def __init__(self, segments: list[Segment]) -> None:
        self.segments = sorted(segments, key=lambda one: one.start)
        self.by_id = {one.id: one for one in self.segments}
        self._by_caller: dict[str, list[Segment]] = {}
        for one in self.segments:
            self._by_caller.setdefault(one.parent_id or "", []).append(one)

    def above(self, one: Segment) -> Iterator[Segment]:
        """Its caller, that one's caller, and so on."""
        seen = {one.id}
        while (caller := self.by_id.get(one.parent_id or "")) is not None and caller.id not in seen:
            seen.add(caller.id)
            yield caller
            one = caller

    def below(self, one: Segment, depth: int) -> Iterator[tuple[Segment, int]]:
        """All that it called, and what that called, each with its depth, in the order of a waterfall."""
        stack, seen = [(called, depth + 1) for called in reversed(self._by_caller.get(one.id, ()))], {one.id}
        while stack:
            current, level = stack.pop()
            if current.id in seen:
                continue
            seen.add(current.id)
            yield current, level
            stack += [(called, level + 1) for called in reversed(self._by_caller.get(current.id, ()))]

    def in_order(self) -> Iterator[tuple[Segment, int]]:
        """Every segment, with its depth."""
        seen: set[str] = set()
        starts = [one for one in self.segments if (one.parent_id or "") not in self.by_id]
        # The second time for those in a circle, which no start leads to.
        for one in [*starts, *self.segments]:
            if one.id not in seen:
                for current, depth in [(one, 0), *self.below(one, 0)]:
                    seen.add(current.id)
                    yield current, depth

    def is_invocation(self, one: Segment) -> bool:
        """Whether it is Lambda's own segment of an invocation, not a subsegment of that."""
        caller = self.by_id.get(one.parent_id or "")
        return one.origin == _FUNCTION and (caller is None or caller.origin != _FUNCTION)

    def end(self, one: Segment) -> float:
        """Its end, or, while it is in progress, the last that is known to have happened in it."""
        return max([one.end, *(below.end for below, _ in self.below(one, 0))]) if one.in_progress else one.end


@dataclass(frozen=True)
class Fold:
    """A time in which nothing ran, drawn shorter than it was."""

    at: float
    """Where it begins, from 0 to 1."""
    width: float
    """How much of the axis it takes, from 0 to 1."""
    seconds: float


class Axis:
    """One scale for all rows: linear, but where nothing ran for much longer than anything did, that time is folded.

    Without that, the attempts of an execution that waited a minute for a retry would be dots.

    Args:
        rows: of all traces that are shown together; none makes an axis of no length.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.start = min((row.segment.start for row in rows), default=0.0)
        self.end = max((row.end for row in rows), default=0.0)
        self.folds: list[Fold] = []
        busy = [(row.segment.start, row.end) for row in rows if row.segment.origin not in _WAITING]
        gaps: list[tuple[float, float]] = []
        reached = self.start
        for start, end in sorted([*busy, (self.end, self.end)]):
            if start > reached:
                gaps.append((reached, start))
            reached = max(reached, end)
        idle = sum(end - start for start, end in gaps)
        ran = self.end - self.start - idle
        cap = _cap([end - start for start, end in gaps], ran) if idle > _FOLD_FROM * ran else idle
        # Times, and how much of the axis is before each.
        self._times, self._before = [self.start], [0.0]
        for start, end in gaps:
            self._add(start, start - self._times[-1])
            self._add(end, min(end - start, cap))
        self._add(self.end, self.end - self._times[-1])
        self._length = self._before[-1] or 1.0
        self.folds = [
            Fold(self.at(start), self.at(end) - self.at(start), end - start) for start, end in gaps if end - start > cap
        ]

    def _add(self, time: float, length: float) -> None:
        self._times.append(time)
        self._before.append(self._before[-1] + length)

    def at(self, time: float) -> float:
        """Where a time is, from 0 to 1."""
        return min(max(_between(time, self._times, self._before) / self._length, 0.0), 1.0)

    def time(self, at: float) -> float:
        """Which time is at a place from 0 to 1."""
        return _between(at * self._length, self._before, self._times)


def _between(value: float, known: list[float], wanted: list[float]) -> float:
    """What is wanted for a value, between the two known ones around it."""
    left = min(bisect_right(known, value), len(known) - 1) - 1
    length = known[left + 1] - known[left]
    share = (value - known[left]) / length if length else 0.0
    return wanted[left] + share * (wanted[left + 1] - wanted[left])


def _cap(gaps: list[float], room: float) -> float:
    """How long a gap may be drawn so that all of them fit in the room: the short ones keep their length."""
    for done, gap in enumerate(sorted(gaps)):
        share = room / (len(gaps) - done)
        if gap > share:
            return share
        room -= gap
    return max(gaps, default=0.0)


_FOLD_FROM = 4.0
"""So many times longer than anything ran must nothing have run."""
