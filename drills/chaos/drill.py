"""`make chaos`: puts every fault of the table into the running stack, one after the other, and checks what must hold.

Of every row, besides what the row itself says:

- No job is lost: each delivery that the webhook accepted has an execution that succeeded, at the latest after its dead
  work was replayed; one that it refused with 5xx is delivered again.
- Nothing happens twice: commit statuses and objects are exactly those that the row names.
- Every execution ends, and no status is left pending.
- No task token and no secret appears in a log line, a trace, the table, an output, a status or an answer.
"""

from __future__ import annotations

import contextlib
import json
import queue
import re
import threading
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.markup import escape

from drills.chaos import report
from drills.chaos.fault import Fault
from drills.chaos.model import FUNCTIONS, Result
from drills.chaos.rig import Rig
from drills.chaos.rows import ROWS
from drills.chaos.scenes import one_delivery
from drills.chaos.trial import Trial
from local.stack import LocalStack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from local.progress import Progress

NOTHING = Fault("nothing is broken")
METRICS_SECONDS = 5.0
"""A function's log is written when its invocation has ended, which is after what it did."""
REFUSED_SECONDS = 2.0
"""A fault that is told to happen and does not within so long after the last execution's end will not."""
LANES = 3
"""Stacks that share the table: most of the drill's time is spent waiting."""
ROWS_WORTH_A_LANE = 8
"""Fewer are done before another stack has started."""


def chaos(directory: Path, progress: Progress, only: str | None = None) -> int:
    """Starts the stacks, runs the drill, writes ``chaos.json`` and the table in docs/faults.md, stops.

    Args:
        directory: for the stacks' files and the result.
        progress: hears of each step.
        only: a regular expression; the rows whose names contain it. The documentation is then left alone.

    Returns:
        The exit code: 0 when everything holds, 2 when no row has such a name.
    """
    rows = [row for row in ROWS if only is None or re.search(only, row.name)]
    if not rows:
        progress.console.print(f"[red]error:[/] no fault is named like {escape(str(only))}")
        return 2
    started = time.monotonic()
    with contextlib.ExitStack() as running:

        def stacks() -> Iterator[LocalStack]:
            first = running.enter_context(LocalStack(directory, progress, faults=True, app=False))
            yield first
            for lane in range(2, min(LANES, len(rows) // ROWS_WORTH_A_LANE + 1) + 1):
                stack = LocalStack(directory / f"lane-{lane}", progress, faults=True, build=first.build, app=False)
                yield running.enter_context(stack)

        results = drill(stacks(), rows, progress)
    seconds = time.monotonic() - started
    (directory / "chaos.json").write_text(json.dumps({"faults": [asdict(one) for one in results]}, indent=2) + "\n")
    if only is None:
        report.render(results, seconds)
    failed = [one for one in results if not one.held]
    colour = "red" if failed else "green"
    progress.console.print(
        f"\n[{colour}]{len(results) - len(failed)} of {len(results)} faults held[/] in {seconds:.0f} s"
        f"\n  {escape(str(directory / 'chaos.json'))}",
        soft_wrap=True,
    )
    return 1 if failed else 0


def drill(stacks: Iterable[LocalStack], rows: Sequence[Fault], progress: Progress) -> list[Result]:
    """Runs rows, each in one of the stacks.

    Args:
        stacks: running stacks with the fault proxy; one that is still to be started keeps none of the others waiting.
        rows: what to run.
        progress: hears of each row.

    Returns:
        What came of each, in the order of the table.
    """
    todo: queue.SimpleQueue[tuple[int, Fault]] = queue.SimpleQueue()
    # The long ones first, so that no lane waits for one in the end.
    for numbered in sorted(enumerate(rows), key=lambda one: -one[1].within):
        todo.put(numbered)
    results: dict[int, Result] = {}
    broken: list[BaseException] = []
    over = threading.Event()

    def lane(stack: LocalStack) -> None:
        try:
            rig = Rig(stack)
            rig.scale_waits()
            rig.stop_schedules()
            # A stack's first delivery starts every function's process, while another stack is being deployed: it may be
            # refused and come again, which would be no fault of the first row's.
            run(rig, NOTHING)
            while not over.is_set():
                try:
                    number, fault = todo.get_nowait()
                except queue.Empty:
                    return
                result = run(rig, fault)
                # What was under way when the stacks were stopped says nothing.
                if not over.is_set():
                    results[number] = result
                    _show(result, f"{len(results)}/{len(rows)}", progress)
        except BaseException as error:  # noqa: BLE001 - raised again by who waits for the lanes
            broken.append(error)
            over.set()

    threads = []
    try:
        for stack in stacks:
            # Daemons, so that Ctrl-C need not wait for the rows that are under way.
            threads.append(threading.Thread(target=lane, args=(stack,), daemon=True))
            threads[-1].start()
        for thread in threads:
            thread.join()
    finally:
        over.set()
    if broken:
        raise broken[0]
    return [results[number] for number in sorted(results)]


def run(rig: Rig, fault: Fault) -> Result:
    """One row, from its pull request to what came of it."""
    started = time.monotonic()
    trial = Trial(rig, fault)
    try:
        _play(trial, fault.scene or one_delivery)
    except Exception as error:  # noqa: BLE001 - whatever breaks a row is its result; the others go on
        trial.problems.append(f"{type(error).__name__}: {error}")
    result = _result(trial)
    if not result.held:
        _tidy(trial)
    result.seconds = round(time.monotonic() - started, 1)
    return result


def _play(trial: Trial, scene: Callable[[Trial], None]) -> None:
    fault, rig = trial.fault, trial.rig
    scene(trial)
    trial.until(trial.is_quiet if fault.lasts_until == "quiet" else trial.is_ended, "the end of what the fault met")
    if not rig.wait(trial.are_rules_used_up, fault.within if not trial.executions() else REFUSED_SECONDS):
        unused = [rule for rule in rig.rules() if rule["fired_count"] < rule.get("times", 1)]
        trial.problems.append(f"the fault did not happen: {unused}")
    if fault.lasts_until == "ended":
        trial.until_ended()
    unmet = [f"{one['method'] or 'any'} {one['path'] or '*'}" for one in rig.github.faults() if not one["met"]]
    if unmet:
        trial.problems.append(f"GitHub's fault did not happen: {unmet}")
    rig.clear()
    trial.until_quiet()
    rig.set_patient(fault.impatient)
    for delivery in list(trial.deliveries):
        if delivery.is_refused:
            trial.deliver(delivery)
    trial.until_quiet()
    _replay_dead_work(trial)
    trial.until_quiet()


def _tidy(trial: Trial) -> None:
    """What a row that did not hold has left behind must not be the next row's."""
    rig = trial.rig
    rig.clear()
    rig.wait(trial.is_quiet, trial.fault.within)
    rig.set_patient(trial.fault.impatient)
    rig.take_all("dead")
    rig.take_all("quarantine")


def _replay_dead_work(trial: Trial) -> None:
    """Moves the dead work to the replay queue, message for message, as `make replay` does."""
    ours = {delivery.id for delivery in trial.deliveries}
    for message in trial.rig.take_all("dead"):
        if not any(delivery in message["Body"] for delivery in ours):
            trial.problems.append("there is dead work of nobody's")
        trial.rig.put("replay", message["Body"])


def _result(trial: Trial) -> Result:
    expected = trial.fault.expected
    problems = list(trial.problems)
    executions = trial.executions()
    told = tuple(str(one) for one in executions)
    statuses = tuple(trial.statuses())
    objects = trial.objects()
    wanted_objects = expected.objects
    if wanted_objects is None:
        wanted_objects = 2 if trial.fault.action == "build" and told and "success" in told[-1] else 0

    def compare(what: str, found: object, wanted: object) -> None:
        if found != wanted:
            problems.append(f"{what}: {found}, not {wanted}")

    compare("answers", tuple(trial.answers), expected.answers)
    compare("executions", told, expected.executions)
    compare("statuses", statuses, expected.statuses)
    compare("objects", objects, wanted_objects)
    problems += _lost(trial)
    problems += [f"{one.name} took {one.seconds:.0f} s" for one in executions if one.seconds > trial.fault.within]
    if statuses and statuses[-1] == "pending":
        problems.append("the status is left pending")
    put_aside = trial.rig.take_all("quarantine")
    reasons = tuple(sorted(one["MessageAttributes"]["reason"]["StringValue"] for one in put_aside))
    compare("quarantine", reasons, tuple(sorted(expected.quarantined)))
    problems += _miscounted(trial)
    problems += _leaks(trial, reasons)
    outcome = f"{', '.join(trial.answers)} → {', '.join(told) or 'nothing started'}"
    return Result(trial.fault.name, not problems, outcome, len(statuses) + objects, 0.0, problems)


def _lost(trial: Trial) -> list[str]:
    problems = []
    for delivery in trial.deliveries:
        executions = trial.executions_of(delivery)
        if delivery.is_accepted and not any(one.status == "SUCCEEDED" for one in executions):
            problems.append(f"the job of {delivery.id} is lost")
        elif not delivery.is_accepted:
            problems.append(f"{delivery.id} was never accepted")
    return problems


def _miscounted(trial: Trial) -> list[str]:
    wanted = trial.fault.expected.metrics
    functions = [one for one in FUNCTIONS if any(name.startswith(f"{one}.") for name in wanted)]

    def wrong() -> list[str]:
        found = trial.metrics(functions)
        return [
            f"{name} is {found[name]}, not {value}"
            for name, value in wanted.items()
            if not (found[name] >= int(value[:-1]) if isinstance(value, str) else found[name] == value)
        ]

    trial.rig.wait(lambda: not wrong(), METRICS_SECONDS)
    return wrong()


def _leaks(trial: Trial, reasons: Sequence[str]) -> list[str]:
    """Where a token or a secret can be read that must not. Queues hold tokens by necessity."""
    rig = trial.rig
    tokens = rig.tokens()
    problems = [] if tokens or not trial.executions() else ["no token is known, so none was searched for"]
    with rig.stack.traces.open("rb") as traces:
        traces.seek(trial.trace_offset)
        traced = traces.read().decode(errors="replace")
    places: dict[str, Callable[[], str]] = {
        **{f"the log of {one}": lambda one=one: "\n".join(rig.log(one, trial.began_ms)) for one in FUNCTIONS},  # type: ignore[misc]
        "a trace": lambda: traced,
        "the table": lambda: json.dumps(rig.dynamodb.scan(TableName=rig.info.idempotency_table)["Items"], default=str),
        "an execution": lambda: "\n".join(one.text for one in trial.executions()),
        "a status": lambda: json.dumps(trial.posted()),
        "an answer": lambda: json.dumps(trial.answers),
        "a quarantined message's reason": lambda: json.dumps(reasons),
    }
    for place, read in places.items():
        text = read()
        problems += [f"a token is in {place}" for token in tokens if token in text]
        problems += [f"a secret is in {place}" for secret in rig.secrets if secret in text]
    return problems


def _show(result: Result, count: str, progress: Progress) -> None:
    mark = "[green]✓[/]" if result.held else "[red]✗[/]"
    lines = [
        f"  {mark} [dim]{count}[/] {escape(result.name)} [dim]{escape(result.outcome)} {result.seconds:.1f} s[/]",
        *(f"      [red]{escape(problem)}[/]" for problem in result.problems),
    ]
    # At once: the lanes print as they please.
    progress.console.print("\n".join(lines), soft_wrap=True)
