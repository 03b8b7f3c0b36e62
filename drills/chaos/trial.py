"""One fault under way: what was delivered, what was answered, what came of it."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import urllib3

from drills.chaos.model import FUNCTIONS
from drills.chaos.rig import DrillError
from local.flow import sample_of
from local.github import deliveries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from drills.chaos.model import Function, Situation
    from drills.chaos.rig import Rig
    from local.github import PullRequest

MAX_ATTEMPTS = 10
"""Executions that one delivery can have (functions/shared/executions.py)."""
DELIVERY_TIMEOUT_SECONDS = 25.0
"""GitHub gives up after 10 s; the drill waits for what the webhook would have said."""


@dataclass
class Delivery:
    """One delivery, sent once or more, with the answers to it."""

    id: str
    body: bytes
    answers: list[str] = field(default_factory=list)

    @property
    def is_accepted(self) -> bool:
        """Whether the last answer promises that the work is or will be done."""
        return bool(self.answers) and self.answers[-1].startswith("2")

    @property
    def is_refused(self) -> bool:
        """Whether the webhook asks for it again: 5xx, or no answer at all."""
        return bool(self.answers) and not self.answers[-1].startswith(("2", "4"))


@dataclass(frozen=True)
class Execution:
    """One execution, as Step Functions describes it."""

    name: str
    status: str
    what: str | None
    """The conclusion of one that succeeded, the error of another."""
    seconds: float
    text: str
    """Output, error and cause, to be searched."""

    def __str__(self) -> str:
        return f"{self.status} {self.what}" if self.what else self.status


class Trial:
    """One row of the table, under way in a stack.

    Args:
        rig: the stack.
        fault: the row.
    """

    def __init__(self, rig: Rig, fault: Situation) -> None:
        self.rig = rig
        self.fault = fault
        self.deliveries: list[Delivery] = []
        self.answers: list[str] = []
        """Every answer, in the order in which they came."""
        self.problems: list[str] = []
        self.began_ms = time.time_ns() // 1_000_000
        self.trace_offset = rig.stack.traces.stat().st_size if rig.stack.traces.exists() else 0
        self.first_token = len(rig.tokens())
        self.pull_request: PullRequest = rig.github.open_pull_request({"chaos.txt": uuid.uuid4().hex})
        self.shas = [self.pull_request.head_sha]
        for function in fault.cold:
            rig.kill(function)
        rig.set_impatient(fault.impatient)

    # What scenes do

    def apply(self) -> None:
        """Puts the row's faults in force."""
        self.apply_to_github()
        self.rig.set_rules(self.fault.aws)

    def apply_to_github(self) -> None:
        """Puts those of the row's faults in force that are GitHub's."""
        for one in self.fault.github:
            self.rig.github.fail(**one)

    def deliver(self, delivery: Delivery | None = None) -> Delivery:
        """Sends a delivery, a new one for the pull request as it is or an earlier one again, and keeps the answer."""
        if delivery is None:
            delivery = self.new_delivery()
        try:
            status, answer, _ = deliveries.send(
                self.rig.info.webhook_url,
                delivery.body,
                deliveries.headers(
                    "pull_request", delivery.id, deliveries.sign(self.rig.webhook_secret, delivery.body)
                ),
                timeout=DELIVERY_TIMEOUT_SECONDS,
            )
            said = f"{status} {answer.get('result') if isinstance(answer, dict) else answer}"
        except urllib3.exceptions.HTTPError as error:
            said = f"no answer ({type(error).__name__})"
        delivery.answers.append(said)
        self.answers.append(said)
        return delivery

    def new_delivery(self, body: bytes | None = None) -> Delivery:
        """A delivery, not sent yet; without a body it is the row's action for the pull request as it is."""
        if body is None:
            body = deliveries.render(sample_of(self.fault.action), self.pull_request)
        delivery = Delivery(str(uuid.uuid4()), body)
        self.deliveries.append(delivery)
        return delivery

    def push(self) -> None:
        """Moves the pull request's head on."""
        self.shas.append(self.rig.github.push(self.pull_request.number))
        self.pull_request = self.rig.github.pull_request(self.pull_request.number)

    def change_base(self, ref: str) -> PullRequest:
        """Changes the pull request's base to another branch; returns what it was before."""
        before = self.rig.github.change_base(ref, self.pull_request.number)
        self.pull_request = self.rig.github.pull_request(self.pull_request.number)
        return before

    def until(self, condition: Callable[[], bool], what: str, seconds: float | None = None) -> None:
        """Waits for something without which the row makes no sense.

        Raises:
            DrillError: it did not happen.
        """
        if not self.rig.wait(condition, self.fault.within if seconds is None else seconds):
            raise DrillError(f"in vain waited for: {what}")

    def until_fired(self, number: int = 0, times: int = 1) -> None:
        """Waits until a rule of the fault proxy has met its call so many times."""
        what = f"rule {number} of the fault proxy, {times} times"
        self.until(lambda: self.rig.rules()[number]["fired_count"] >= times, what)

    def until_status(self, state: str) -> None:
        """Waits until the commit shows this status."""
        self.until(lambda: state in self.statuses(), f"the status {state}")

    def until_ended(self) -> None:
        """Waits until no execution runs."""
        self.until(self.is_ended, "the end of every execution")

    def until_quiet(self) -> None:
        """Waits until no execution runs, and no message waits for a consumer."""
        self.until(self.is_quiet, "quiet: no execution runs, no message waits")

    # What can be seen

    def is_ended(self) -> bool:
        """Whether no execution of the row's deliveries runs."""
        return all(one.status != "RUNNING" for one in self.executions())

    def is_quiet(self) -> bool:
        """Whether moreover nothing is left in the queues that have a consumer."""
        # The queues first: what leaves them may be an execution.
        return self.rig.is_empty("crash", "ended", "replay") and self.is_ended()

    def are_rules_used_up(self) -> bool:
        """Whether every rule has met as many calls as it shall, or at least one."""
        return all(rule["fired_count"] >= rule.get("times", 1) for rule in self.rig.rules())

    def executions(self) -> list[Execution]:
        """The executions of each delivery, attempt by attempt."""
        return [one for delivery in self.deliveries for one in self.executions_of(delivery)]

    def executions_of(self, delivery: Delivery) -> list[Execution]:
        """The executions of a delivery, attempt by attempt."""
        found = []
        for number in range(1, MAX_ATTEMPTS + 1):
            name = delivery.id if number == 1 else f"{delivery.id}-{number}"
            try:
                described = self.rig.stepfunctions.describe_execution(executionArn=self.rig.info.execution_arn(name))
            except self.rig.stepfunctions.exceptions.ExecutionDoesNotExist:
                break
            found.append(_execution(name, described))
        return found

    def statuses(self) -> list[str]:
        """The states of the action's commit statuses on the row's commits, in order."""
        return [one["state"] for one in self.posted()]

    def posted(self) -> list[dict[str, Any]]:
        """The action's commit statuses on the row's commits, in order."""
        context = f"pullback/{self.fault.action}"
        return [one for one in self.rig.github.statuses() if one["sha"] in self.shas and one["context"] == context]

    def objects(self) -> int:
        """How many objects the bucket has for the row's commits."""
        return sum(
            self.rig.s3.list_objects_v2(
                Bucket=self.rig.info.artifact_bucket, Prefix=f"{self.pull_request.full_name}/{sha}/"
            ).get("KeyCount", 0)
            for sha in self.shas
        )

    @property
    def record_key(self) -> str:
        """Under which the table has the record of who does the work."""
        return f"work#{self.pull_request.full_name}#{self.pull_request.number}#{self.shas[-1]}#{self.fault.action}"

    def record(self) -> dict[str, Any] | None:
        """The record of who does the work, as the table has it."""
        key = {"id": {"S": self.record_key}}
        answer = self.rig.dynamodb.get_item(TableName=self.rig.info.idempotency_table, Key=key)
        item: dict[str, Any] | None = answer.get("Item")
        return item

    def metrics(self, functions: Iterable[Function] = FUNCTIONS) -> Counter[str]:
        """What was counted since the row began, by ``function.Metric``, from the functions' own log lines (EMF)."""
        sums: Counter[str] = Counter()
        for function in functions:
            for line in self.rig.log(function, self.began_ms):
                if '"_aws"' in line:
                    for name, value in _measured(line):
                        sums[f"{function}.{name}"] += value
        return sums

    def tokens(self) -> list[str]:
        """The task tokens since the row began, oldest first."""
        return self.rig.tokens()[self.first_token :]


def _execution(name: str, described: dict[str, Any]) -> Execution:
    output = json.loads(described["output"]) if described.get("output") else {}
    is_done = described["status"] == "SUCCEEDED"
    ended = described.get("stopDate")
    return Execution(
        name=name,
        status=described["status"],
        what=output.get("conclusion") if is_done else described.get("error"),
        seconds=(ended - described["startDate"]).total_seconds() if ended else 0.0,
        text=json.dumps([described.get(key) for key in ("output", "error", "cause")]),
    )


def _measured(line: str) -> Iterable[tuple[str, int]]:
    try:
        document = json.loads(line)
    except ValueError:
        return
    for directive in document["_aws"]["CloudWatchMetrics"]:
        for metric in directive["Metrics"]:
            value = document[metric["Name"]]
            yield metric["Name"], round(sum(value) if isinstance(value, list) else value)
