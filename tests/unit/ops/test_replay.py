"""`make replay`: what is dead, what a replay would do, and what is told of it. AWS is a fake that keeps queues."""

from __future__ import annotations

import io
import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore import exceptions
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from local.progress import Progress
from ops.replay import command, follow, queue, show, stack
from ops.replay.follow import Forecast, Outcome
from ops.replay.items import UNREADABLE, DeadItem, Message, age_text, batches, clean, collect, grouped, select
from ops.replay.options import ReplayOptions
from ops.replay.queue import HeldQueue
from tests.support import DELIVERY_ID

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
TOKEN = "AAAAKgAAAAIAAAAAAAAAAcanary"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:pullback-processor"
DEAD, REPLAY, QUARANTINE = "https://sqs/dead", "https://sqs/replay", "https://sqs/quarantine"


# --- messages -------------------------------------------------------------------------------------------------------


def job(delivery_id: str = DELIVERY_ID, repository: str = "octo-org/hello", number: int = 7) -> dict[str, Any]:
    return {
        "action": "synchronize",
        "delivery_id": delivery_id,
        "repository": {"full_name": repository},
        "pull_request": {
            "number": number,
            "title": "[red]Say\x1b[31m hello",
            "head": {"ref": "hello", "sha": "a" * 40},
            "base": {"ref": "main", "sha": "b" * 40},
        },
        "sender": {"login": "octocat"},
    }


def execution_event(
    data: dict[str, Any],
    name: str | None = None,
    *,
    error: str | None = "GitHubRefused",
    status: str = "FAILED",
    ago: float = 60,
) -> str:
    detail = {
        "executionArn": f"{MACHINE}:x",
        "name": name or data["delivery_id"],
        "status": status,
        "stopDate": int((NOW.timestamp() - ago) * 1000),
        "input": json.dumps(data),
        "error": error,
    }
    return json.dumps(
        {"source": "aws.states", "detail-type": "Step Functions Execution Status Change", "detail": detail}
    )


def destination_record(data: dict[str, Any], *, error: str = "Runtime.ExitError") -> str:
    return json.dumps(
        {
            "timestamp": (NOW - timedelta(hours=2)).isoformat(),
            "requestContext": {"condition": "RetriesExhausted"},
            "requestPayload": {**data, "taskToken": TOKEN, "execution": data["delivery_id"]},
            "responsePayload": {"errorType": error, "errorMessage": "text of the work"},
        }
    )


def message(body: str, *, id: str | None = None, ago: float = 30, **more: Any) -> Message:  # noqa: A002 - SQS's name
    id = id or str(uuid.uuid4())  # noqa: A001
    return Message(id, f"receipt {id}", body, NOW - timedelta(seconds=ago), **more)


# --- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"yes": True}, "needs a selection"),
        ({"all": True, "error": "X"}, "selects everything"),
        ({"quarantine": True, "all": True}, "only lists"),
        ({"quarantine": True, "yes": True}, "only lists"),
        ({"error": " "}, "selects nothing"),
        ({"wait": -1.0}, "number of seconds"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_asked(
    options: dict[str, Any], told: str, tmp_path: Path, terminal: Terminal
) -> None:
    assert command.replay(tmp_path, terminal.progress, ReplayOptions(**options)) == 2
    assert told in terminal.text


@pytest.mark.parametrize("options", [{}, {"all": True, "yes": True}, {"error": "X", "repository": "a/b", "wait": 0.0}])
def test_options_that_make_sense(options: dict[str, Any]) -> None:
    assert ReplayOptions(**options).misuse is None


# --- items ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "group", "shape"),
    [
        (execution_event(job()), "GitHubRefused", "execution"),
        (execution_event(job(), error=None, status="TIMED_OUT"), "TimedOut", "execution"),
        (execution_event(job(), error=None, status="ABORTED"), "Aborted", "execution"),
        (execution_event(job(), error="text of the work\x1b"), "Failed", "execution"),
        (destination_record(job()), "Runtime.ExitError", "destination"),
        (json.dumps({**job(), "taskToken": TOKEN}), "Unknown", "event"),
        (json.dumps(job()), "NotStarted", "delivery"),
    ],
)
def test_every_shape_has_a_group(body: str, group: str, shape: str) -> None:
    (item,) = collect([message(body)], NOW)
    assert item.work is not None
    assert (item.group, item.work.shape) == (group, shape)


def test_one_item_a_job_whatever_the_number_of_messages() -> None:
    old = message(execution_event(job(), error="GitHubUnavailable", ago=7200), id="old")
    new = message(execution_event(job(), f"{DELIVERY_ID}-2", ago=60), id="new")
    other = message(execution_event(job(number=8)), id="other")
    items = collect([old, new, new, other], NOW)
    assert len(items) == 2
    (twice,) = [item for item in items if len(item.messages) == 2]
    assert [one.id for one in twice.messages] == ["new", "old"]
    assert (twice.group, twice.since) == ("GitHubRefused", NOW - timedelta(seconds=60))
    assert twice.executions == {DELIVERY_ID, f"{DELIVERY_ID}-2"}


def test_the_age_is_the_works_own_unless_that_cannot_be() -> None:
    (died,) = collect([message(execution_event(job(), ago=300), ago=10)], NOW)
    assert died.since == NOW - timedelta(seconds=300)
    (of_tomorrow,) = collect([message(execution_event(job(), ago=-86400), ago=10)], NOW)
    assert of_tomorrow.since == NOW - timedelta(seconds=10)
    naive = json.loads(destination_record(job())) | {"timestamp": "2026-11-03T10:00:00"}
    (without_zone,) = collect([message(json.dumps(naive))], NOW)
    assert without_zone.since == NOW - timedelta(hours=2)


def test_no_token_is_kept_or_shown() -> None:
    (item,) = collect([message(destination_record(job()))], NOW)
    assert item.work is not None
    assert item.work.token is None
    assert TOKEN not in repr(item)
    assert TOKEN in item.messages[0].body, "it is moved as it is"


@given(st.lists(st.one_of(st.text(), st.sampled_from([json.dumps(job()), execution_event(job()), "{}", "[]"]))))
def test_every_message_is_in_exactly_one_item(bodies: list[str]) -> None:
    messages = [message(body) for body in bodies]
    items = collect(messages, NOW)
    held = [one.id for item in items for one in item.messages]
    assert sorted(held) == sorted(one.id for one in messages)
    assert all((item.group == UNREADABLE) == (item.work is None) == (item.reason is not None) for item in items)
    assert sum(len(group.items) for group in grouped(items)) == len(items)


@pytest.fixture
def items() -> list[DeadItem]:
    return collect(
        [
            message(execution_event(job("one"))),
            message(execution_event(job("two", number=8), "two-3")),
            message(execution_event(job("three", "octo-org/other"), error="GitHubUnavailable")),
            message("no JSON"),
        ],
        NOW,
    )


@pytest.mark.parametrize(
    ("options", "selected"),
    [
        ({}, []),
        ({"all": True}, ["", "one", "three", "two"]),
        ({"error": "githubrefused"}, ["one", "two"]),
        ({"error": "unreadable"}, [""]),
        ({"delivery": "one"}, ["one"]),
        ({"delivery": "two-3"}, ["two"]),
        ({"repository": "Octo-Org/Other"}, ["three"]),
        ({"error": "GitHubRefused", "repository": "octo-org/other"}, []),
        ({"error": "GitHub"}, []),
    ],
)
def test_selection(items: list[DeadItem], options: dict[str, Any], selected: list[str]) -> None:
    found = [item.job.delivery_id if item.job else "" for item in select(items, ReplayOptions(**options))]
    assert sorted(found) == selected


def test_the_largest_group_is_first_and_its_oldest_item(items: list[DeadItem]) -> None:
    groups = grouped(items)
    assert [group.name for group in groups] == ["GitHubRefused", "GitHubUnavailable", UNREADABLE]
    assert groups[0].oldest == min(item.since for item in groups[0].items)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (12000, "3 h 20 min"),
     (86400, "1 d"), (187200, "2 d 4 h")],
)  # fmt: skip
def test_ages_in_words(seconds: float, text: str) -> None:
    assert age_text(seconds) == text


@given(st.text(), st.integers(1, 50))
def test_foreign_text_stays_on_its_line(text: str, limit: int) -> None:
    shown = clean(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit


@given(st.lists(st.integers(0, 300)), st.integers(1, 10), st.integers(1, 500))
def test_batches_hold_their_bounds(sizes: list[int], max_count: int, max_bytes: int) -> None:
    messages = [message("x" * size) for size in sizes]
    made = batches(messages, max_count, max_bytes)
    assert [one for batch in made for one in batch] == messages
    for batch in made:
        assert 1 <= len(batch) <= max_count
        assert len(batch) == 1 or sum(len(one.body) for one in batch) <= max_bytes


# --- a fake AWS -----------------------------------------------------------------------------------------------------


def refusal(code: str, operation: str) -> exceptions.ClientError:
    return exceptions.ClientError({"Error": {"Code": code, "Message": f"it quotes {TOKEN}"}}, operation)


@dataclass
class FakeAws:
    """Queues, and executions that a replay may start; both clients in one.

    Args:
        becomes: the status that an execution has once it is started by a replay; None to start none.
    """

    queues: dict[str, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: {url: {} for url in (DEAD, REPLAY, QUARANTINE)}
    )
    hidden: set[str] = field(default_factory=set)
    executions: dict[str, dict[str, Any]] = field(default_factory=dict)
    becomes: Callable[[], str | None] = lambda: "SUCCEEDED"
    calls: list[str] = field(default_factory=list)
    fails: dict[str, BaseException] = field(default_factory=dict)
    refuses_sending: list[bool] = field(default_factory=list)
    """For each send of a batch: whether all of it is refused as the sender's fault; else as SQS's own."""
    exceptions = SimpleNamespace(ExecutionDoesNotExist=KeyError)

    def put(self, url: str, body: str, **more: Any) -> str:
        id = str(uuid.uuid4())  # noqa: A001
        self.queues[url][id] = {
            "MessageId": id, "ReceiptHandle": f"{url} {id}", "Body": body,
            "Attributes": {"SentTimestamp": str(int(datetime.now(UTC).timestamp() * 1000))}, **more,
        }  # fmt: skip
        return id

    def called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fails:
            raise self.fails[name]

    def visible(self, url: str = DEAD) -> list[str]:
        return [one for one in self.queues[url] if one not in self.hidden]

    # SQS
    def get_queue_attributes(self, QueueUrl: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        self.called("get_queue_attributes")
        visible, held = len(self.visible(QueueUrl)), len(self.hidden & self.queues[QueueUrl].keys())
        return {
            "Attributes": {
                "ApproximateNumberOfMessages": str(visible),
                "ApproximateNumberOfMessagesNotVisible": str(held),
                "MessageRetentionPeriod": "1209600",
            }
        }

    def receive_message(self, QueueUrl: str, MaxNumberOfMessages: int, **_: Any) -> dict[str, Any]:  # noqa: N803
        self.called("receive_message")
        taken = self.visible(QueueUrl)[:MaxNumberOfMessages]
        self.hidden.update(taken)
        return {"Messages": [self.queues[QueueUrl][one] for one in taken]} if taken else {}

    def change_message_visibility_batch(self, QueueUrl: str, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803
        self.called("change_message_visibility_batch")
        for one in Entries:
            assert one["VisibilityTimeout"] == 0
            self.hidden.discard(one["ReceiptHandle"].split()[1])
        return {"Successful": Entries}

    def send_message_batch(self, QueueUrl: str, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803
        self.called("send_message_batch")
        if self.refuses_sending:
            is_ours = self.refuses_sending.pop(0)
            return {"Failed": [{"Id": one["Id"], "Code": "X", "SenderFault": is_ours} for one in Entries]}
        for one in Entries:
            self.put(QueueUrl, one["MessageBody"], sent=one)
            self._replay(one["MessageBody"])
        return {"Successful": [{"Id": one["Id"]} for one in Entries]}

    def delete_message_batch(self, QueueUrl: str, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803
        self.called("delete_message_batch")
        for one in Entries:
            del self.queues[QueueUrl][one["ReceiptHandle"].split()[1]]
        return {"Successful": Entries}

    # the replay function
    def _replay(self, body: str) -> None:
        (item,) = collect([message(body)], datetime.now(UTC))
        found = follow.forecast(self.stack, item)
        if found.verdict in ("exhausted", "unreadable"):
            self.put(QUARANTINE, body)
        elif found.verdict == "starts" and (status := self.becomes()):
            assert found.execution is not None
            self.add_execution(found.execution, status)

    # Step Functions
    def add_execution(self, name: str, status: str, error: str | None = None) -> None:
        self.executions[name] = {"name": name, "status": status, "startDate": datetime.now(UTC)} | (
            {"error": error or "GitHubRefused"} if status == "FAILED" else {}
        )

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803
        self.called("describe_execution")
        assert executionArn.startswith(MACHINE.replace(":stateMachine:", ":execution:"))
        return self.executions[executionArn.rpartition(":")[2]]

    def list_executions(self, **_: Any) -> dict[str, Any]:
        self.called("list_executions")
        return {"executions": sorted(self.executions.values(), key=lambda one: one["startDate"], reverse=True)}

    @property
    def stack(self) -> Any:
        return stack.Operated("pullback", True, DEAD, REPLAY, QUARANTINE, MACHINE, self, self)


@dataclass
class Terminal:
    out: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.progress = Progress(Console(file=self.out, highlight=False))
        self.progress.console.width = 200

    @property
    def text(self) -> str:
        return self.out.getvalue()


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> FakeAws:
    fake = FakeAws()
    monkeypatch.setattr(command, "open_stack", lambda directory, name: fake.stack)
    monkeypatch.setattr("time.sleep", lambda _: None)
    return fake


@pytest.fixture
def run(aws: FakeAws, terminal: Terminal, tmp_path: Path) -> Callable[..., int]:
    def call(**options: Any) -> int:
        return command.replay(tmp_path, terminal.progress, ReplayOptions(**{"wait": 5.0, **options}))

    return call


def dead(aws: FakeAws, delivery_id: str = DELIVERY_ID, **event: Any) -> str:
    """A dead delivery: its execution, and the event of that."""
    aws.add_execution(delivery_id, "FAILED")
    return aws.put(DEAD, execution_event(job(delivery_id), **event))


# --- the queue ------------------------------------------------------------------------------------------------------


def test_everything_is_received_and_given_back(aws: FakeAws) -> None:
    ids = [aws.put(DEAD, str(number)) for number in range(25)]
    with HeldQueue(aws, DEAD) as held:
        counts: list[int] = []
        messages = held.receive(held.counts().visible, counts.append)
        assert sorted(one.id for one in messages) == sorted(ids)
        assert counts[-1] == 25
        assert aws.visible() == []
    assert aws.visible() == ids


def test_a_count_that_is_too_high_does_not_wait_for_ever(aws: FakeAws) -> None:
    aws.put(DEAD, "x")
    with HeldQueue(aws, DEAD) as held:
        assert len(held.receive(expected=100)) == 1
    assert aws.calls.count("receive_message") == 3


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit(143), RuntimeError()])
def test_messages_are_given_back_whatever_ends_it(aws: FakeAws, end: BaseException) -> None:
    def look() -> None:
        with HeldQueue(aws, DEAD) as held:
            held.receive(12)
            raise end

    ids = [aws.put(DEAD, "x") for _ in range(12)]
    with pytest.raises(type(end)):
        look()
    assert aws.visible() == ids


def test_what_cannot_be_given_back_is_counted(aws: FakeAws) -> None:
    aws.put(DEAD, "x")
    aws.fails["change_message_visibility_batch"] = refusal("AccessDenied", "ChangeMessageVisibilityBatch")
    with HeldQueue(aws, DEAD) as held:
        held.receive(1)
    assert held.not_given_back == 1


def test_a_large_queue_is_looked_at_in_parts(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "LIMIT", 20)
    for _ in range(25):
        aws.put(DEAD, "x")
    with HeldQueue(aws, DEAD) as held:
        assert len(held.receive(25)) == 20
        assert not held.is_complete


def moved(aws: FakeAws) -> list[bool]:
    with HeldQueue(aws, DEAD) as held:
        messages = held.receive(10)
        return [sent for batch in held.move([(one,) for one in messages], REPLAY) for sent in batch]


def test_it_is_sent_as_it_is_and_then_deleted(aws: FakeAws) -> None:
    aws.put(
        DEAD,
        "body",
        MessageAttributes={"ErrorCode": {"DataType": "Number", "StringValue": "200", "StringListValues": []}},
        Attributes={"SentTimestamp": "0", "AWSTraceHeader": "Root=1-2-3"},
    )
    assert moved(aws) == [True]
    (sent,) = aws.queues[REPLAY].values()
    assert sent["sent"] == {
        "Id": "0",
        "MessageBody": "body",
        "MessageAttributes": {"ErrorCode": {"DataType": "Number", "StringValue": "200"}},
        "MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-2-3"}},
    }
    assert aws.queues[DEAD] == {}
    assert aws.calls.index("send_message_batch") < aws.calls.index("delete_message_batch")


@pytest.mark.parametrize(("refuses", "tries"), [([True], 1), ([False] * 3, 3)])
def test_what_is_not_taken_stays(aws: FakeAws, refuses: list[bool], tries: int) -> None:
    id = aws.put(DEAD, "x")  # noqa: A001
    aws.refuses_sending = refuses
    assert moved(aws) == [False]
    assert aws.visible() == [id]
    assert aws.calls.count("send_message_batch") == tries
    assert "delete_message_batch" not in aws.calls


def test_sqs_is_asked_again(aws: FakeAws) -> None:
    aws.put(DEAD, "x")
    aws.refuses_sending = [False, False]
    assert moved(aws) == [True]
    assert aws.queues[DEAD] == {}


# --- what a replay would do, and what became of it ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], Forecast("starts", DELIVERY_ID, 1)),
        (["FAILED"], Forecast("starts", f"{DELIVERY_ID}-2", 2)),
        (["FAILED", "TIMED_OUT", "ABORTED"], Forecast("starts", f"{DELIVERY_ID}-4", 4)),
        (["FAILED", "RUNNING"], Forecast("runs", f"{DELIVERY_ID}-2", 2)),
        (["PENDING_REDRIVE"], Forecast("runs", DELIVERY_ID, 1)),
        (["FAILED", "SUCCEEDED"], Forecast("succeeded", f"{DELIVERY_ID}-2", 2)),
        (["FAILED"] * 10, Forecast("exhausted")),
    ],
)
def test_forecast(aws: FakeAws, statuses: list[str], expected: Forecast) -> None:
    for attempt, status in enumerate(statuses, 1):
        aws.add_execution(follow.attempt_name(DELIVERY_ID, attempt), status)
    (item,) = collect([message(execution_event(job()))], NOW)
    assert follow.forecast(aws.stack, item) == expected


def followed(aws: FakeAws, outcome: Outcome, happens: dict[int, Callable[[], None]], seconds: float = 10) -> float:
    """Follows one outcome while things happen at seconds from the start; how long that took, by the fake clock."""
    time = 0.0

    def sleep(duration: float) -> None:
        nonlocal time
        time += duration
        for at in [at for at in happens if at <= time]:
            happens.pop(at)()

    outcome.state = "sent"
    follow.follow(aws.stack, [outcome], datetime.now(UTC), seconds, clock=lambda: time, sleep=sleep)
    return time


@pytest.fixture
def starting() -> Outcome:
    (item,) = collect([message(execution_event(job()))], NOW)
    return Outcome(item, Forecast("starts", f"{DELIVERY_ID}-2", 2))


def test_an_attempt_is_followed_from_its_start_to_its_end(aws: FakeAws, starting: Outcome) -> None:
    name = f"{DELIVERY_ID}-2"
    aws.add_execution(DELIVERY_ID, "FAILED")
    took = followed(
        aws,
        starting,
        {2: lambda: aws.add_execution(name, "RUNNING"), 5: lambda: aws.add_execution(name, "SUCCEEDED")},
    )
    assert (starting.state, starting.execution, starting.is_good) == ("succeeded", name, True)
    assert 5 <= took < 6


def test_an_attempt_that_fails_again_says_why(aws: FakeAws, starting: Outcome) -> None:
    followed(aws, starting, {1: lambda: aws.add_execution(f"{DELIVERY_ID}-2", "FAILED", "GitHubUnavailable")})
    assert (starting.state, starting.label) == ("failed", "failed again (GitHubUnavailable)")
    followed(aws, starting, {})
    aws.add_execution(f"{DELIVERY_ID}-2", "TIMED_OUT")
    followed(aws, starting, {})
    assert starting.label == "failed again (TIMED_OUT)"


def test_somebody_elses_attempt_in_between_is_not_taken_for_ours(aws: FakeAws, starting: Outcome) -> None:
    aws.add_execution(f"{DELIVERY_ID}-2", "FAILED")
    aws.add_execution(f"{DELIVERY_ID}-3", "SUCCEEDED")
    followed(aws, starting, {})
    assert (starting.state, starting.execution) == ("succeeded", f"{DELIVERY_ID}-3")


@pytest.mark.parametrize(("status", "state"), [(None, "waiting"), ("RUNNING", "running")])
def test_what_takes_longer_stays_open(aws: FakeAws, starting: Outcome, status: str | None, state: str) -> None:
    if status:
        aws.add_execution(f"{DELIVERY_ID}-2", status)
    assert followed(aws, starting, {}, seconds=10) == pytest.approx(10)
    assert (starting.state, starting.is_open, starting.is_good) == (state, True, False)


def test_what_was_running_already_is_followed_too(aws: FakeAws) -> None:
    (item,) = collect([message(execution_event(job()))], NOW)
    running = Outcome(item, Forecast("runs", DELIVERY_ID, 1))
    aws.executions[DELIVERY_ID] = {"name": DELIVERY_ID, "status": "RUNNING", "startDate": NOW - timedelta(days=1)}
    followed(aws, running, {3: lambda: aws.executions[DELIVERY_ID].update(status="SUCCEEDED")})
    assert (running.label, running.is_good) == ("refused: was running already, and has succeeded", True)


def test_every_outcome_has_its_line_in_the_summary() -> None:
    (item,) = collect([message(execution_event(job()))], NOW)
    verdicts: list[Any] = ["starts", "runs", "succeeded", "exhausted", "unreadable"]
    states: list[Any] = ["unsent", "sent", "waiting", "running", "succeeded", "failed", "quarantined"]
    outcomes = [Outcome(item, Forecast(verdict), state) for verdict in verdicts for state in states]
    assert sum(count for _, count in show.summary(outcomes)) == len(outcomes)
    for one in outcomes:
        assert not (one.is_good and one.is_open)
        if one.is_good:
            assert "succeeded" in one.label


# --- the command ----------------------------------------------------------------------------------------------------


def test_a_list_shows_what_is_dead_and_changes_nothing(
    aws: FakeAws, run: Callable[..., int], terminal: Terminal
) -> None:
    dead(aws)
    aws.put(DEAD, destination_record(job("other", number=9)))
    before = dict(aws.queues[DEAD])
    assert run() == 0
    for text in ("GitHubRefused  1 dead, oldest", "Runtime.ExitError", DELIVERY_ID, "octo-org/hello#7", "synchronize",
                 "aaaaaaa", "execution", "destination"):  # fmt: skip
        assert text in terminal.text
    assert TOKEN not in terminal.text
    assert aws.queues[DEAD] == before
    assert len(aws.visible()) == 2
    assert not {"send_message_batch", "delete_message_batch", "describe_execution"} & set(aws.calls)


def test_without_a_terminal_a_selection_is_a_dry_run(aws: FakeAws, run: Callable[..., int], terminal: Terminal) -> None:
    dead(aws)
    dead(aws, "succeeded")
    aws.add_execution("succeeded-2", "SUCCEEDED")
    dead(aws, "running")
    aws.add_execution("running-2", "RUNNING")
    assert run(all=True) == 2
    assert "1 would be started again, as the next attempt" in terminal.text
    assert "attempt 2" in terminal.text
    assert "1 would be refused: has succeeded already" in terminal.text
    assert "1 would be refused: runs already" in terminal.text
    assert "--yes" in terminal.text
    assert len(aws.visible()) == 3
    assert aws.queues[REPLAY] == {}


@pytest.mark.parametrize(("answer", "is_replayed"), [("y", True), ("", False), ("no", False), (EOFError(), False)])
def test_on_a_terminal_it_asks(
    aws: FakeAws,
    run: Callable[..., int],
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    answer: str | BaseException,
    is_replayed: bool,
) -> None:
    def answered(prompt: str) -> str:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    monkeypatch.setattr(Console, "is_terminal", True)
    monkeypatch.setattr(terminal.progress.console, "input", answered)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    dead(aws)
    assert run(all=True) == 0
    assert (aws.queues[DEAD] == {}) == is_replayed
    assert bool(aws.queues[REPLAY]) == is_replayed


def test_what_is_replayed_is_followed_and_summed_up(aws: FakeAws, run: Callable[..., int], terminal: Terminal) -> None:
    statuses = iter(["SUCCEEDED", "FAILED", "SUCCEEDED"])
    aws.becomes = lambda: next(statuses)
    for name in ("one", "two", "three"):
        dead(aws, name)
    other = aws.put(DEAD, execution_event(job("four"), error="Another"))
    assert run(error="GitHubRefused", yes=True) == 1
    assert "3 of 3 replayed" in terminal.text
    assert "2 succeeded" in terminal.text
    assert "1 failed again (GitHubRefused)" in terminal.text
    assert "two-2" in terminal.text
    assert aws.visible() == [other]


def test_two_messages_of_a_job_are_one_replay(aws: FakeAws, run: Callable[..., int], terminal: Terminal) -> None:
    dead(aws)
    aws.add_execution(f"{DELIVERY_ID}-2", "FAILED")
    aws.put(DEAD, execution_event(job(), f"{DELIVERY_ID}-2"))
    assert run(delivery=DELIVERY_ID, yes=True) == 0
    assert len(aws.queues[REPLAY]) == 1
    assert aws.queues[DEAD] == {}
    assert f"{DELIVERY_ID}-3" in aws.executions
    assert "1 of 1 replayed" in terminal.text


def test_what_has_succeeded_is_refused_and_good(aws: FakeAws, run: Callable[..., int], terminal: Terminal) -> None:
    dead(aws)
    aws.add_execution(f"{DELIVERY_ID}-2", "SUCCEEDED")
    assert run(all=True, yes=True) == 0
    assert "1 refused: had succeeded already" in terminal.text
    assert aws.queues[DEAD] == {}


def test_what_cannot_be_replayed_ends_in_quarantine(
    aws: FakeAws, run: Callable[..., int], terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LOCAL_POLL_SECONDS", 0.01)
    aws.put(DEAD, "not JSON")
    dead(aws)
    for attempt in range(2, 11):
        aws.add_execution(follow.attempt_name(DELIVERY_ID, attempt), "FAILED")
    assert run(all=True, yes=True) == 1
    assert "all 10 attempts were made" in terminal.text
    assert "2 quarantined" in terminal.text


def test_who_does_not_wait_gets_no_verdict(aws: FakeAws, run: Callable[..., int], terminal: Terminal) -> None:
    aws.becomes = lambda: None
    dead(aws)
    assert run(all=True, yes=True, wait=0.0) == 0
    assert "1 sent, not followed" in terminal.text


def test_what_is_not_sent_is_said_and_kept(aws: FakeAws, run: Callable[..., int], terminal: Terminal) -> None:
    dead(aws)
    aws.fails["send_message_batch"] = refusal("AccessDenied", "SendMessageBatch")
    assert run(all=True, yes=True) == 1
    assert "AWS denies SendMessageBatch" in terminal.text
    assert "0 of 1 replayed" in terminal.text
    assert len(aws.visible()) == 1
    assert TOKEN not in terminal.text


def test_a_copy_that_cannot_be_deleted_is_said(aws: FakeAws, run: Callable[..., int], terminal: Terminal) -> None:
    dead(aws)
    aws.fails["delete_message_batch"] = refusal("InternalError", "DeleteMessageBatch")
    assert run(all=True, yes=True) == 0
    assert "could not be deleted" in terminal.text
    assert len(aws.visible()) == 1


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("receive_message", "interrupted: nothing was replayed"),
        ("describe_execution", "interrupted: nothing was replayed"),
        ("send_message_batch", "at most one batch more"),
        ("list_executions", "goes on by itself"),
    ],
)
def test_ctrl_c_leaves_nothing_hidden(
    aws: FakeAws, run: Callable[..., int], terminal: Terminal, call: str, told: str
) -> None:
    dead(aws)
    aws.put(DEAD, execution_event(job("other"), error="Another"))
    aws.fails[call] = KeyboardInterrupt()
    if call == "describe_execution":
        # The fake replays at once, and asks for executions, too.
        aws.becomes = lambda: None
    assert run(error="GitHubRefused", yes=True) == 130
    assert told in terminal.text
    assert set(aws.visible()) == set(aws.queues[DEAD])


def test_an_old_dry_run_is_not_carried_out(
    aws: FakeAws, run: Callable[..., int], terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "CONFIRM_SECONDS", -1)
    dead(aws)
    assert run(all=True, yes=True) == 1
    assert "too old" in terminal.text
    assert len(aws.visible()) == 1


def test_a_selection_that_finds_nothing_says_what_there_is(
    aws: FakeAws, run: Callable[..., int], terminal: Terminal
) -> None:
    dead(aws)
    assert run(error="GitHubUnavailble", yes=True) == 2
    assert "groups: GitHubRefused" in terminal.text
    aws.queues[DEAD].clear()
    assert run(all=True, yes=True) == 0
    assert "nothing is dead" in terminal.text


def test_messages_that_others_hold_are_told_of(aws: FakeAws, run: Callable[..., int], terminal: Terminal) -> None:
    aws.hidden.add(dead(aws))
    assert run() == 0
    assert "About 1 message not shown" in terminal.text


def test_what_is_about_to_be_deleted_is_told_of(aws: FakeAws, run: Callable[..., int], terminal: Terminal) -> None:
    sent = datetime.now(UTC) - timedelta(days=13)
    aws.put(DEAD, execution_event(job()), Attributes={"SentTimestamp": str(int(sent.timestamp() * 1000))})
    assert run() == 0
    assert "SQS deletes the oldest in 23 h" in terminal.text


def test_the_quarantine_is_listed_with_its_reasons(aws: FakeAws, run: Callable[..., int], terminal: Terminal) -> None:
    aws.put(
        QUARANTINE,
        "x",
        MessageAttributes={
            "reason": {"DataType": "String", "StringValue": "[bold]not JSON\x1b[31m\n"},
            "source": {"DataType": "String", "StringValue": "pullback-ReplayQueue"},
        },
    )
    aws.put(QUARANTINE, destination_record(job()))
    assert run(quarantine=True) == 0
    assert "[bold]not JSON\ufffd[31m\ufffd  1 from pullback-ReplayQueue" in terminal.text
    assert "no reason given  1 from a dead-letter queue" in terminal.text
    assert DELIVERY_ID in terminal.text
    assert TOKEN not in terminal.text
    assert "\x1b" not in terminal.text
    assert len(aws.visible(QUARANTINE)) == 2


def test_long_groups_are_cut_in_a_list_but_not_in_a_dry_run(
    aws: FakeAws, run: Callable[..., int], terminal: Terminal
) -> None:
    for number in range(show.SHOWN + 5):
        dead(aws, f"delivery-{number:03}-")
    run()
    assert "and 5 more" in terminal.text
    terminal.out.truncate(0)
    run(all=True)
    assert all(f"delivery-{number:03}-  octo-org" in terminal.text for number in range(show.SHOWN + 5))


# --- the stack ------------------------------------------------------------------------------------------------------


def test_no_local_stack(tmp_path: Path, terminal: Terminal) -> None:
    assert command.replay(tmp_path, terminal.progress, ReplayOptions()) == 1
    assert "`make up` starts one" in terminal.text
    (tmp_path / "stack.json").write_text('{"webhook_url": "of an older version"}')
    assert command.replay(tmp_path, terminal.progress, ReplayOptions()) == 1
    assert "another version" in terminal.text


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        (refusal("ValidationError", "DescribeStacks"), "there is no stack 'x' in us-east-1"),
        (refusal("AccessDenied", "DescribeStacks"), "AWS denies DescribeStacks"),
        ([{"OutputKey": "WebhookUrl", "OutputValue": "x"}], "no output DeadWorkQueueUrl, ReplayQueueUrl"),
    ],
)
def test_a_deployed_stack_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, terminal: Terminal, outputs: Any, told: str
) -> None:
    class CloudFormation:
        def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
            if isinstance(outputs, Exception):
                raise outputs
            return {"Stacks": [{"Outputs": outputs}]}

    monkeypatch.setattr(stack, "_client", lambda *_: CloudFormation())
    assert command.replay(tmp_path, terminal.progress, ReplayOptions(stack="x")) == 1
    assert told in terminal.text


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (refusal("AccessDeniedException", "ListExecutions"), "denies ListExecutions"),
        (refusal("ExpiredTokenException", "X"), "sign in again"),
        (refusal("ThrottlingException", "DescribeExecution"), "throttles DescribeExecution"),
        (refusal("AWS.SimpleQueueService.NonExistentQueue", "ReceiveMessage"), "was the stack deleted"),
        (refusal("InternalError", "ReceiveMessage"), "refused ReceiveMessage: InternalError"),
        (exceptions.NoRegionError(), "AWS_REGION"),
        (exceptions.NoCredentialsError(), "AWS_PROFILE"),
        (exceptions.ProfileNotFound(profile="x"), "AWS_PROFILE"),
        (exceptions.UnauthorizedSSOTokenError(), "sign in again"),
        (exceptions.EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), "did not answer"),
        (exceptions.ReadTimeoutError(endpoint_url="http://127.0.0.1:1"), "did not answer"),
        (exceptions.ParamValidationError(report="x"), "ParamValidationError"),
    ],
)
def test_each_refusal_says_what_to_do(
    aws: FakeAws, run: Callable[..., int], terminal: Terminal, error: BaseException, told: str
) -> None:
    aws.fails["receive_message"] = error
    assert run() == 1
    assert told in terminal.text
    assert TOKEN not in terminal.text


def test_every_call_is_bounded() -> None:
    import boto3

    config = stack._client(boto3.session.Session(), "sqs").meta.config
    assert config.connect_timeout <= 5
    assert queue.LONG_POLL_SECONDS < config.read_timeout <= 15
    assert config.retries["total_max_attempts"] <= 6
    assert queue.CONFIRM_SECONDS < queue.HOLD_SECONDS
