"""`make load`: many deliveries from many clients, duplicates and bad ones among them, each followed to its end."""

from __future__ import annotations

import contextlib
import json
import queue
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from botocore.exceptions import BotoCoreError, ClientError
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from drills.load.plan import message, plan
from drills.load.report import RUNNING, Answer, Execution, Observed, report
from drills.load.usage import Sampler, servers_of
from local.flow import sample_of
from local.github import deliveries
from local.github_control import GitHubControl
from local.stack import LocalStack, aws_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from drills.load.plan import Delivery, Plan
    from drills.load.report import Report
    from local.github import PullRequest
    from local.progress import Progress
    from local.stack import StackInfo

CLIENTS = 16
LAGS = ("unknown", "older")
"""The ways in which an answer of GitHub's can lag (``local.github.Fault``)."""
POLL_SECONDS = 1.0
TRIES = 5
"""How often a delivery is sent at most while the webhook is not available, with 1, 2, 4 and 8 s between."""
RENDEZVOUS_SECONDS = 5.0
"""How long one of a concurrent pair waits for the other one's client."""
STILL_SECONDS = 15.0
"""So long nothing starts, ends or runs any more, and still some are missing: then those are lost."""
STILL_QUEUED_SECONDS = 180.0
"""The same, when the webhook has put deliveries into a queue."""
SHOWN = 20
"""Violations printed; the others are in the file."""

_UNAVAILABLE = (BotoCoreError, ClientError, requests.RequestException)


def load(directory: Path, progress: Progress, n: int, lag_percent: int = 0) -> int:
    """Starts the stack, runs the drill, writes ``load.json`` and, without a lag, ``load-<n>.json``, stops.

    Args:
        directory: for the stack's files and the result.
        progress: hears of each step.
        n: how many deliveries.
        lag_percent: as for ``drill``.

    Returns:
        The exit code: 0 when everything holds, 2 when n makes no sense.
    """
    if n < 1:
        progress.console.print("[red]error:[/] N is the number of deliveries, at least 1")
        return 2
    with LocalStack(directory, progress) as stack:
        result = drill(stack.info, progress, n, lag_percent=lag_percent)
    text = json.dumps(asdict(result), indent=2) + "\n"
    # `make record` compares sizes; what GitHub's lags cost is another question.
    for name in ("load.json",) if lag_percent else ("load.json", f"load-{n}.json"):
        (directory / name).write_text(text)
    show(result, progress)
    progress.console.print(f"  {directory / 'load.json'}", markup=False, soft_wrap=True)
    return 0 if result.holds else 1


def drill(
    stack: StackInfo,
    progress: Progress,
    n: int,
    *,
    clients: int = CLIENTS,
    seed: int | None = None,
    deadline_seconds: float | None = None,
    lag_percent: int = 0,
) -> Report:
    """Runs the drill against a running stack.

    Args:
        stack: whose local GitHub gets a pull request for each good delivery.
        progress: hears of each step.
        n: how many deliveries, duplicates and bad ones included.
        clients: how many threads send, each with a connection of its own; at least 2.
        seed: of the plan; None for a new one. A stack answers the same seed's deliveries as duplicates.
        deadline_seconds: for sending and following; None for two minutes and half a second a delivery.
        lag_percent: of GitHub's answers, so many are older than the event that they are asked about: GitHub does
            not know the pull request or commit yet, or only what was before the push.

    Returns:
        The result. A stack that breaks down is a result, too: what could not be seen counts as lost.

    Raises:
        ValueError: when n or clients is too small.
        requests.RequestException: when the pull requests could not be opened.
    """
    if clients < 2:
        raise ValueError("a concurrent pair takes two clients")
    seed = secrets.randbits(32) if seed is None else seed
    todo = plan(n, seed)
    deadline = time.monotonic() + (120 + n / 2 if deadline_seconds is None else deadline_seconds)
    pull_requests = _open_pull_requests(stack, progress, todo, seed)
    seen = Observed(todo, pull_requests)
    messages = _messages(stack, progress, todo, pull_requests)
    github = GitHubControl(stack.github_url)
    if lag_percent:
        for lag in LAGS:
            github.fail(kind="lag", lag=lag, every=max(1, 100 // lag_percent))
    with Sampler(servers_of(stack.pids)) as usage:
        title = f"send {n} deliveries from {clients} clients, and follow them"
        with _bars(progress, title, n, len(todo.good)) as bar:
            senders = _Senders(stack.webhook_url, messages, clients)
            senders.run(todo.turns)
            try:
                _follow(stack, seen, senders, deadline, bar)
                if todo.late:
                    senders.run([(delivery,) for delivery in todo.late])
                    _wait(senders, deadline, bar)
            finally:
                senders.stop()
        seen.answers = senders.answers()
        with progress.step("check every answer and every execution"):
            _observe(stack, seen)
    lagged = 0
    if lag_percent:
        lagged = sum(one["met"] for one in github.faults())
        github.clear_faults()
    return report(
        seen,
        n=n,
        seed=seed,
        clients=clients,
        memory_mb=usage.peak,
        cpu_seconds=usage.cpu_seconds,
        lagged=lagged,
    )


def show(result: Report, progress: Progress) -> None:
    """Prints the result, and the first violations."""
    statuses = ", ".join(f"{count} {status}" for status, count in result.executions.items()) or "none"
    after = f" ({', '.join(f'{count} {reason}' for reason, count in result.retried_after.items())})"
    after = after if result.retried else ""
    lags = f"\n  GitHub         {result.lagged} answers older than their event" if result.lagged else ""
    progress.console.print(
        f"\n{result.n} deliveries from {result.clients} clients in {result.seconds:.1f} s (seed {result.seed}): "
        f"{result.accepted} accepted, {result.duplicates} duplicates, {result.rejected} rejected, "
        f"{result.retried} sent again{after}"
        f"\n  executions     {statuses}; {result.lost} lost"
        f"{lags}"
        f"\n  answer         p50 {result.ack_ms['p50']:.0f} ms, p99 {result.ack_ms['p99']:.0f} ms"
        f"\n  completion     p50 {result.completion_ms['p50']:.0f} ms, p99 {result.completion_ms['p99']:.0f} ms"
        f"\n  throughput     {result.throughput_per_s:.1f} executions a second"
        f"\n  peak memory    {result.peak_memory_mb:.0f} MB"
        f" ({', '.join(f'{part} {size:.0f}' for part, size in result.memory_mb.items())})"
        f"\n  CPU time       {sum(result.cpu_seconds.values()):.0f} s"
        f" ({', '.join(f'{part} {seconds:.0f}' for part, seconds in result.cpu_seconds.items())})",
        soft_wrap=True,
    )
    for violation in result.violations[:SHOWN]:
        progress.console.print(f"[red]✗ {escape(violation)}[/]", soft_wrap=True)
    if len(result.violations) > SHOWN:
        progress.console.print(f"[red]and {len(result.violations) - SHOWN} more[/]")
    if result.holds:
        progress.console.print("[green]one execution for each good delivery, every answer right[/]")


@dataclass
class _Senders:
    """The clients. Each is a thread that takes turns until there are none, over one connection that it keeps."""

    url: str
    messages: Callable[[Delivery], tuple[dict[str, str], bytes]]
    clients: int
    _turns: queue.SimpleQueue[tuple[Delivery, ...]] = field(default_factory=queue.SimpleQueue)
    _pairs: dict[str, threading.Barrier] = field(default_factory=dict)
    _answers: list[Answer] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self, turns: Sequence[tuple[Delivery, ...]]) -> None:
        """Starts to send; returns at once."""
        for turn in turns:
            for delivery in turn:
                if delivery.timing == "concurrent":
                    self._pairs.setdefault(delivery.id, threading.Barrier(2))
            self._turns.put(turn)
        # Daemons: Ctrl-C need not wait for the answers that are outstanding.
        self._threads = [
            threading.Thread(target=self._send_all, name=f"client-{number}", daemon=True)
            for number in range(self.clients)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Sends nothing more."""
        self._stop.set()

    def answers(self) -> list[Answer]:
        """The answers so far."""
        return list(self._answers)

    @property
    def is_done(self) -> bool:
        """Whether every client has finished."""
        return not any(thread.is_alive() for thread in self._threads)

    def _send_all(self) -> None:
        with urllib3.PoolManager(maxsize=1, retries=False) as http:
            while not self._stop.is_set():
                try:
                    turn = self._turns.get_nowait()
                except queue.Empty:
                    return
                for delivery in turn:
                    if delivery.timing == "concurrent":
                        # The other one is the next turn, so a client is about to take it, or has.
                        with contextlib.suppress(threading.BrokenBarrierError):
                            self._pairs[delivery.id].wait(RENDEZVOUS_SECONDS)
                    self._answers.append(self._send(http, delivery))

    def _send(self, http: urllib3.PoolManager, delivery: Delivery) -> Answer:
        """Sends a delivery; again, as a redelivery would, while the webhook is not available."""
        headers, body = self.messages(delivery)
        sent_at = time.time()
        unavailable: list[str] = []
        while True:
            asked_at, start = time.time(), time.perf_counter()
            status: int | None = None
            answer: Any
            try:
                response = http.request(
                    "POST", self.url, body=body, headers=headers, timeout=deliveries.TIMEOUT_SECONDS, redirect=False
                )
                status, answer = response.status, _parsed(response.data)
            except urllib3.exceptions.HTTPError as error:
                answer = type(error).__name__
            ack_ms = (time.perf_counter() - start) * 1000
            got = Answer(delivery, sent_at, asked_at, ack_ms, status, answer, tuple(unavailable))
            is_final = status not in (None, 429, 503) or len(unavailable) == TRIES - 1
            if is_final or self._stop.wait(2 ** len(unavailable)):
                return got
            unavailable.append(f"{status} {got.result}" if status else str(answer))


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data[:200].decode(errors="replace")


def _open_pull_requests(stack: StackInfo, progress: Progress, todo: Plan, seed: int) -> list[PullRequest]:
    """A pull request for each good delivery, by subject; each with a head SHA of its own."""
    github = GitHubControl(stack.github_url)
    opened = []
    with progress.step(f"open {len(todo.good)} pull requests"):
        for delivery in todo.good:
            name = f"{seed}-{delivery.subject}"
            files: dict[str, str | None] = {
                f"src/hello/load/{name}.py": f'"""Change {name} of the load drill."""\n\nNUMBER = {delivery.subject}\n',
                f"docs/load/{name}.md": f"# Change {name}\n\nOf the load drill.\n",
            }
            opened.append(github.open_pull_request(files))
            progress.detail(f"{len(opened)} of {len(todo.good)}")
    return opened


def _messages(
    stack: StackInfo, progress: Progress, todo: Plan, pull_requests: Sequence[PullRequest]
) -> Callable[[Delivery], tuple[dict[str, str], bytes]]:
    """Makes all payloads beforehand, so that the clients do nothing but send."""
    made: dict[tuple[str, str], tuple[dict[str, str], bytes]] = {}
    sample = cache(sample_of)
    with progress.step(f"sign {len(todo.deliveries)} deliveries"):
        for delivery in todo.deliveries:
            if (delivery.id, delivery.kind) not in made:
                body = deliveries.render(sample(delivery.action), pull_requests[delivery.subject])
                made[delivery.id, delivery.kind] = message(delivery, body, stack.webhook_secret)
            if delivery.kind == "good":
                # The same bytes; they are not made twice.
                made[delivery.id, "duplicate"] = made[delivery.id, "good"]
    return lambda delivery: made[delivery.id, delivery.kind]


def _follow(stack: StackInfo, seen: Observed, senders: _Senders, deadline: float, bar: _Bar) -> None:
    """Waits until every delivery is answered and every execution has ended, or nothing more is to come."""
    stepfunctions = aws_client("stepfunctions", stack.aws_endpoint_url)
    guids = {delivery.id for delivery in seen.plan.deliveries}
    wanted = {delivery.id for delivery in seen.plan.good}
    statuses: dict[str, str] = {}
    last_change, before = time.monotonic(), (0, 0, 0)
    while time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        answers = senders.answers()
        with contextlib.suppress(*_UNAVAILABLE):
            statuses = {one["name"]: one["status"] for one in _list(stepfunctions, stack) if one["name"][:36] in guids}
        running = sum(1 for status in statuses.values() if status in RUNNING)
        ended = {name for name, status in statuses.items() if status not in RUNNING}
        bar.answered(len(answers))
        bar.ended(len(ended & wanted))
        if senders.is_done and not running and wanted <= ended:
            return
        if (now := (len(answers), len(ended), running)) != before:
            last_change, before = time.monotonic(), now
        queued = any(answer.result == "queued" for answer in answers)
        patience = STILL_QUEUED_SECONDS if queued else STILL_SECONDS
        if senders.is_done and not running and time.monotonic() > last_change + patience:
            seen.problems.append(f"nothing has happened for {patience:.0f} s, and executions are missing")
            return
    seen.problems.append("the deadline of the drill has passed")


def _list(stepfunctions: Any, stack: StackInfo) -> Iterator[dict[str, Any]]:
    # A thousand a page: one call for the whole drill, where asking for each execution would be a thousand.
    pages = stepfunctions.get_paginator("list_executions").paginate(stateMachineArn=stack.state_machine_arn)
    for page in pages:
        yield from page["executions"]


def _wait(senders: _Senders, deadline: float, bar: _Bar) -> None:
    """Waits until the clients have finished."""
    while not senders.is_done and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS / 5)
        bar.answered(len(senders.answers()))


def _observe(stack: StackInfo, seen: Observed) -> None:
    """Reads what there is to be judged: each execution with input and output, and the commit statuses."""
    stepfunctions = aws_client("stepfunctions", stack.aws_endpoint_url)
    guids = {delivery.id for delivery in seen.plan.deliveries}

    def described(listed: dict[str, Any]) -> Execution:
        one = stepfunctions.describe_execution(executionArn=listed["executionArn"])
        stopped = one.get("stopDate")
        return Execution(
            name=one["name"],
            status=one["status"],
            started_at=one["startDate"].timestamp(),
            stopped_at=stopped.timestamp() if stopped else None,
            input=_parsed(one.get("input", "").encode()),
            output=_parsed(one.get("output", "").encode()),
            error=one.get("error"),
        )

    try:
        # Once for each execution, when all is over: the polling above reads nothing but names and statuses.
        listed = [one for one in _list(stepfunctions, stack) if one["name"][:36] in guids]
        with ThreadPoolExecutor(4) as pool:
            seen.executions = list(pool.map(described, listed))
        seen.statuses = GitHubControl(stack.github_url).statuses()
    except _UNAVAILABLE as error:
        seen.problems.append(f"the stack does not answer any more: {type(error).__name__}")


@contextlib.contextmanager
def _bars(progress: Progress, title: str, deliveries_planned: int, executions: int) -> Iterator[_Bar]:
    """A step of the work with a bar for the answers and one for the executions that have ended."""
    started = time.monotonic()
    console = progress.console
    if not console.is_terminal:
        console.print(f"  … {title}")
    columns = (TextColumn("    {task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    mark = "[red]✗[/]"
    try:
        with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
            yield _Bar(
                bars,
                bars.add_task("answered", total=deliveries_planned),
                bars.add_task("ended", total=executions),
            )
        mark = "[green]✓[/]"
    finally:
        console.print(f"  {mark} {title} [dim]{time.monotonic() - started:.1f} s[/]")


@dataclass(frozen=True)
class _Bar:
    bars: Bars
    answered_task: TaskID
    ended_task: TaskID

    def answered(self, count: int) -> None:
        self.bars.update(self.answered_task, completed=count)

    def ended(self, count: int) -> None:
        self.bars.update(self.ended_task, completed=count)
