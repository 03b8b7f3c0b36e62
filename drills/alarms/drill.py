"""Runs the rows, one after the other, and checks that exactly their alarms fire, clear, and are told of."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from drills.alarms import composites, report
from drills.alarms.cloudwatch import CloudWatch
from drills.alarms.composites import TOPICS, Inbox
from drills.alarms.drilled import Drilled
from drills.alarms.rows import ROWS
from drills.alarms.scenes import OVERDUE_SECONDS
from drills.alarms.timeline import AGES, DURATIONS
from drills.chaos.fault import Fault
from drills.chaos.rig import DrillError, Rig
from drills.chaos.trial import Trial
from drills.record import fill
from local.cloudwatch.alarms import ALARM, OK, metrics_of
from local.stack import PROJECT, LocalStack

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from drills.alarms.rows import Row
    from local.progress import Progress

PAGE = PROJECT / "docs" / "alarms.md"
PARAMETERS = {"SuccessWithinSeconds": str(OVERDUE_SECONDS)}
"""Of the template, besides those of every local stack."""
EVIDENCE_SECONDS = 8.0
"""Logs and traces tell of something when it is over."""
QUIET_SECONDS = 60.0
REDELIVERIES = 3
CLEAR_MINUTES = 90
"""Minutes of CloudWatch's time in which an alarm must have cleared: longer than each looks back."""
CLEAR_STEP_MINUTES = 5
BETWEEN_SECONDS = 3600
"""Of CloudWatch's time, between two rows. An alarm without data looks back for some, by up to three of its periods."""
DEAD_SECONDS = 5.0
"""The event of an execution that failed reaches the queue of dead work a little later."""

_WORKED_OUT_FROM = {
    "AWS/ApiGateway": "the API's segments",
    "AWS/DynamoDB": "the traced calls of the table",
    "AWS/Lambda": "the function's log and segments",
    "AWS/Logs": "the log groups",
    "AWS/SQS": "looks at the queue",
    "AWS/States": "the list of executions",
}


@dataclass
class Outcome:
    """What came of one row."""

    row: Row
    said: list[tuple[str, str]] = field(default_factory=list)
    """Whose state changed, and to what, in order."""
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


def alarm_drill(directory: Path, progress: Progress, only: str | None = None) -> int:
    """Starts a stack, runs the drill, writes ``alarms.json`` and, when all of it held, the table of docs/alarms.md.

    Args:
        directory: for the stack's files and the result.
        progress: hears of each step.
        only: a regular expression; the rows whose name or alarms contain it. The documentation is then left alone.

    Returns:
        The exit code: 0 when every alarm fired and cleared and no other did, 2 when no row has such a name.
    """
    rows = [row for row in ROWS if only is None or re.search(only, " ".join((row.fault.name, *row.alarms)))]
    if not rows:
        progress.console.print(f"[red]error:[/] no fault and no alarm is named like {escape(str(only))}")
        return 2
    started = time.monotonic()
    with LocalStack(directory, progress, faults=True, clock=True, parameters=PARAMETERS, app=False) as stack:
        drill = Drill(stack, progress)
        with progress.step("wait until every alarm is OK"):
            drill.begin()
        outcomes = drill.run(rows)
    alarms = drill.names if only is None else None
    drilled = drill.drilled(outcomes, alarms)
    write(drilled, directory / "alarms.json")
    problems = sum(bool(outcome.problems) for outcome in outcomes)
    held = not problems and all(one.fired and one.cleared for one in drilled)
    if held and only is None:
        fill("alarms", drill.table(drilled), PAGE)
    _summarise(drilled, problems, progress)
    seconds = time.monotonic() - started
    file = directory / "alarms.json"
    shown = file.relative_to(PROJECT) if file.is_relative_to(PROJECT) else file
    progress.console.print(f"  {seconds:.0f} s; {escape(str(shown))}", soft_wrap=True)
    return 0 if held else 1


def write(drilled: Iterable[Drilled], file: Path) -> None:
    """Writes the result as JSON."""
    file.write_text(json.dumps({"alarms": [asdict(one) for one in drilled]}, indent=2, ensure_ascii=False) + "\n")


class Drill:
    """The drill in a stack.

    Args:
        stack: a running stack with its fault proxy, its clock and the drill's PARAMETERS.
        progress: hears of each row.

    Raises:
        DrillError: the stack is not such a one, or a composite alarm is not as it should be.
        ClientError, BotoCoreError: the embedded AWS does not answer.
    """

    def __init__(self, stack: LocalStack, progress: Progress) -> None:
        self._progress = progress
        self._stack_name = stack.info.stack_name
        self._rig = Rig(stack)
        self._cloudwatch = CloudWatch(stack)
        self._composites = composites.read(stack.build / "template.yaml", stack.info)
        self._topics = {self._rig.output(output): level for level, output in TOPICS.items()}
        self._inbox = Inbox(stack.info, self._topics)
        self._definitions: dict[str, dict[str, Any]] = dict(self._cloudwatch.definitions)
        self._definitions |= {one.name: one.definition for one in self._composites}

    @property
    def names(self) -> list[str]:
        """Of every alarm that there is."""
        return list(self._definitions)

    def begin(self) -> None:
        """Makes the composite alarms, and waits until every alarm is OK.

        Raises:
            DrillError: one stays in another state.
        """
        self._rig.scale_waits()
        self._rig.stop_schedules()
        self._work_again()
        self._until_ok()
        for one in self._composites:
            self._cloudwatch.put_composite(one.definition)
        self._until_ok()
        self._inbox.take()

    def run(self, rows: Sequence[Row]) -> list[Outcome]:
        """Runs rows; returns what came of each."""
        outcomes = []
        for number, row in enumerate(rows, 1):
            outcomes.append(self._run(row))
            _show(outcomes[-1], f"{number}/{len(rows)}", self._progress)
        return outcomes

    def drilled(self, outcomes: Iterable[Outcome], alarms: Iterable[str] | None = None) -> list[Drilled]:
        """What rows showed.

        Args:
            outcomes: of the rows.
            alarms: of which alarms; None for those that the rows should have set off.
        """
        found: dict[str, Drilled] = {} if alarms is None else {one: Drilled(one, False, False, "") for one in alarms}  # noqa: FBT003
        for outcome in outcomes:
            states = dict(outcome.said)
            fired = {name for name, state in outcome.said if state == ALARM}
            for name in self._expected(outcome.row):
                # The first row that shows it counts.
                if name not in found or not found[name].cleared:
                    by = self._by(name, outcome.row) if name in fired else ""
                    found[name] = Drilled(name, name in fired, name in fired and states[name] == OK, by)
        return [found[name] for name in self._definitions if name in found]

    def table(self, drilled: Sequence[Drilled]) -> str:
        """The result as Markdown."""
        levels = {name: self._level(name) for name in self._definitions}
        return report.table(drilled, self._definitions, levels, self._stack_name)

    def _run(self, row: Row) -> Outcome:
        started = time.monotonic()
        outcome = Outcome(row)
        expected = self._expected(row)
        # What the row before did is out of every alarm's sight.
        self._cloudwatch.pass_time(BETWEEN_SECONDS, watched_minutes=0)
        self._cloudwatch.pass_minutes()
        self._cloudwatch.forget()
        self._inbox.take()
        trial = Trial(self._rig, row.fault)
        try:
            row.scene(trial, self._cloudwatch)
            self._rig.wait(lambda: self._have_fired(expected), EVIDENCE_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever breaks a row is its result; the others go on
            outcome.problems.append(f"{type(error).__name__}: {error}")
        try:
            self._tidy(trial)
            self._until_ok()
        except Exception as error:  # noqa: BLE001 - as above
            outcome.problems.append(f"afterwards: {type(error).__name__}: {error}")
        outcome.said = self._cloudwatch.said()
        outcome.problems += judge(expected, outcome.said)
        outcome.problems += hidden(row.although, outcome.said, self._stack_name)
        outcome.problems += self._untold(outcome.said)
        outcome.seconds = time.monotonic() - started
        return outcome

    def _have_fired(self, expected: Iterable[str]) -> bool:
        self._cloudwatch.tell()
        self._cloudwatch.states()
        return set(expected) <= {name for name, state in self._cloudwatch.said() if state == ALARM}

    def _tidy(self, trial: Trial) -> None:
        """Ends the fault and what it left behind, and lets something succeed."""
        rig = self._rig
        rig.clear()
        rig.wait(trial.is_quiet, QUIET_SECONDS)
        rig.set_patient(trial.fault.impatient)
        dead = sum(one.status != "SUCCEEDED" for one in trial.executions())
        taken: list[dict[str, Any]] = []

        def taken_all() -> bool:
            taken.extend(rig.take_all("dead"))
            return len(taken) >= dead

        rig.wait(taken_all, DEAD_SECONDS)
        rig.take_all("quarantine")
        self._work_again()

    def _work_again(self) -> None:
        """An ordinary delivery: what CloudWatch sees when nothing is broken.

        Raises:
            DrillError: it does not succeed.
        """
        trial = Trial(self._rig, Fault("nothing"))
        delivery = trial.deliver()
        for _ in range(REDELIVERIES):
            # Its first seconds may be too long for a webhook that starts beside everything else.
            if delivery.is_refused:
                trial.deliver(delivery)
        if not delivery.is_accepted:
            raise DrillError(f"an ordinary delivery is answered {', '.join(delivery.answers)}")
        trial.until(lambda: [str(one) for one in trial.executions()] == ["SUCCEEDED success"], "work that succeeds")

    def _until_ok(self) -> None:
        bad: dict[str, str] = {}
        for _ in range(0, CLEAR_MINUTES, CLEAR_STEP_MINUTES):
            self._cloudwatch.pass_minutes(CLEAR_STEP_MINUTES)
            bad = {name: state for name, state in self._cloudwatch.states().items() if state != OK}
            if not bad:
                return
        names = ", ".join(f"{name} is {state}" for name, state in sorted(bad.items()))
        raise DrillError(f"{CLEAR_MINUTES} minutes later {names}")

    def _untold(self, said: Iterable[tuple[str, str]]) -> list[str]:
        """What was told to another than it should, more often, or not at all."""
        actions = {one.name: one.definition["AlarmActions"] for one in self._composites}
        wanted = Counter((topic, name, state) for name, state in said for topic in actions.get(name, ()))
        heard = self._inbox.take()
        return [
            *(
                f"nobody was told at the {self._topics[topic]} topic: {name}, {state}"
                for topic, name, state in wanted - heard
            ),
            *(f"told at the {self._topics[topic]} topic: {name}, {state}" for topic, name, state in heard - wanted),
        ]

    def _expected(self, row: Row) -> list[str]:
        """The alarms of a row, and the composite ones above them."""
        names = [f"{self._stack_name}-{alarm}" for alarm in row.alarms]
        return [*names, *(one.name for one in self._composites if one.children & set(names))]

    def _level(self, name: str) -> str:
        """Who is told of an alarm: by itself, or by the composite one above it."""
        levels = [
            self._topics[topic]
            for one in self._composites
            if name == one.name or name in one.children
            for topic in one.definition["AlarmActions"]
        ]
        return ", ".join(levels) or "nobody"

    def _by(self, name: str, row: Row) -> str:
        how = f"published: {row.published}" if row.published else f"fault: {row.fault.name}"
        for one in self._composites:
            if one.name == name:
                children = ", ".join(sorted(one.children & set(self._expected(row))))
                return f"{how}; {children} in ALARM; {self._level(name)} topic told"
        if row.published:
            return how
        return f"{how}; {evidence(self._definitions[name])}"


def judge(expected: Collection[str], said: Sequence[tuple[str, str]]) -> list[str]:
    """What is not as it should be.

    Args:
        expected: the alarms that fire, and no other.
        said: whose state changed, and to what, in order; all were OK before.
    """
    fired = list(dict.fromkeys(name for name, state in said if state == ALARM))
    last = dict(said)
    return [
        *(f"did not fire: {name}" for name in expected if name not in fired),
        *(f"did not clear: {name}" for name in fired if last[name] != OK),
        *(f"also fired: {name}" for name in fired if name not in expected),
    ]


def hidden(although: Iterable[tuple[str, str]], said: Sequence[tuple[str, str]], stack: str) -> list[str]:
    """Which alarm did not fire while another one was in ALARM already: that it is told then as well is not shown.

    Args:
        although: pairs of alarms, without the stack's name; the first is the one that is to fire.
        said: whose state changed, and to what, in order.
        stack: the stack's name.
    """
    found = []
    for name, other in although:
        states: dict[str, str] = {}
        for changed, state in said:
            states[changed] = state
            if (changed, state) == (f"{stack}-{name}", ALARM) and states.get(f"{stack}-{other}") == ALARM:
                break
        else:
            found.append(f"did not fire while {other} was in ALARM: {name}")
    return found


def evidence(definition: Mapping[str, Any]) -> str:
    """What the metrics of an alarm were worked out from."""
    metrics = {(metric.namespace, metric.name) for metric in metrics_of(definition)}
    told = []
    for namespace, name in sorted(metrics):
        source = _WORKED_OUT_FROM.get(namespace)
        how = f"{name} worked out from {source}" if source else f"EMF of {name}"
        told.append(f"{how}, in CloudWatch's time" if name in AGES | DURATIONS else how)
    return ", ".join(told)


def _show(outcome: Outcome, count: str, progress: Progress) -> None:
    mark = "[red]✗[/]" if outcome.problems else "[green]✓[/]"
    fired = ", ".join(outcome.row.alarms)
    lines = [
        f"  {mark} [dim]{count}[/] {escape(outcome.row.fault.name)} [dim]{escape(fired)} {outcome.seconds:.1f} s[/]",
        *(f"      [red]{escape(problem)}[/]" for problem in outcome.problems),
    ]
    progress.console.print("\n".join(lines), soft_wrap=True)


def _summarise(drilled: Sequence[Drilled], problems: int, progress: Progress) -> None:
    table = Table("alarm", "fired", "cleared", "by", box=None, header_style="bold", pad_edge=False)
    for one in drilled:
        fired, cleared = ("yes" if yes else "[red]no[/]" for yes in (one.fired, one.cleared))
        table.add_row(escape(one.name), fired, cleared, escape(one.by))
    progress.console.print()
    progress.console.print(table)
    done = sum(one.fired and one.cleared for one in drilled)
    colour = "green" if done == len(drilled) and not problems else "red"
    progress.console.print(
        f"\n[{colour}]{done} of {len(drilled)} alarms fired and cleared[/]"
        + (f", [red]{problems} faults with problems[/]" if problems else "")
        + "\n  The embedded CloudWatch knows no ActionsSuppressor: that nobody is told during a deployment is checked"
        "\n  in the definitions alone."
    )
