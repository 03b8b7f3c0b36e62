"""Deliveries with every kind of fate, so that each panel of the dashboard has something to show."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import psutil

from local import flow
from local.github import deliveries
from local.github_control import GitHubControl
from local.stack import aws_client, workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.cloudwatch.collect import Resources
    from local.flow import Flow
    from local.github import PullRequest
    from local.progress import Progress
    from local.stack import StackInfo

PAUSE_SECONDS = 0.4
WAIT_SECONDS = 30.0
POLL_SECONDS = 0.05
HELD_SECONDS = 20
"""How long GitHub is slow with the answer in the middle of which the processor dies."""
READS_OF_AN_ATTEMPT = 3
"""How often one attempt asks GitHub for the same before it gives up."""
SLOW_SECONDS = 3
"""How long GitHub is slow while the execution is aborted; then the processor finds that it is late."""
NOWHERE = "http://127.0.0.1:9"
"""Where nobody listens."""
LONG_AGO_SECONDS = 600
"""So old is a delivery with which GitHub itself has done."""
POISON = "no JSON at all"
SCHEDULED = json.dumps({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}})
"""The event of a schedule, as far as the functions read it."""


class TrafficError(RuntimeError):
    """What was to happen did not; the message says what."""


class Traffic:
    """Sends it.

    Args:
        info: the running stack.
        progress: hears of each step.
        resources: its functions.
    """

    def __init__(self, info: StackInfo, progress: Progress, resources: Resources) -> None:
        self._info = info
        self._progress = progress
        self._resources = resources
        self._github = GitHubControl(info.github_url)
        self._sqs = aws_client("sqs", info.aws_endpoint_url)
        self._stepfunctions = aws_client("stepfunctions", info.aws_endpoint_url)

    def send(self) -> None:
        """Sends all of it, with good deliveries between the others, and waits until it has come to its end.

        Two jobs stay dead, and one message unreadable.

        Raises:
            TrafficError: a step did not come to the end that it should have.
        """
        steps: tuple[tuple[str, Callable[[], None]], ...] = (
            ("deliver both actions for a pull request, and again from another hook", self._twice),
            ("deliver again, and what triggers nothing or is refused", self._answered_at_once),
            ("deliver a commit that is no longer the head, and one that has problems", self._other_conclusions),
            ("let the processor die in the middle of its work", self._crash),
            ("let GitHub refuse, until the work is dead", self._dead),
            ("replay dead work", self._replay),
            ("abort an execution in the middle of its work", self._abort),
            ("let GitHub be away for one attempt", self._retry),
            ("let GitHub lag behind its webhook, and redirect", self._lag),
            ("let the sweeper find a delivery that was missed", self._sweep),
            ("put a message that cannot be read into a queue", self._poison),
        )
        try:
            for title, step in steps:
                with self._progress.step(title):
                    step()
                    self._good()
        finally:
            self._github.clear_faults()

    def _good(self) -> None:
        pull_request = self._open()
        sent = []
        for action in ("synchronize", "build"):
            sent.append(self._deliver(action, pull_request))
            time.sleep(PAUSE_SECONDS)
        self._follow(*sent)

    def _twice(self) -> None:
        pull_request = self._open()
        for _ in range(2):
            # Another delivery of the same event: its work is done already.
            self._follow(self._deliver("synchronize", pull_request))

    def _answered_at_once(self) -> None:
        body = deliveries.render(flow.sample_of("synchronize"), self._open())
        signature = deliveries.sign(self._info.webhook_secret, body)
        delivery = str(uuid.uuid4())
        wrong = deliveries.sign("another secret", body)
        for event, name, signed, status in (
            ("pull_request", delivery, signature, 202),
            ("pull_request", delivery, signature, 200),
            ("ping", None, signature, 200),
            ("issues", None, signature, 202),
            ("pull_request", None, wrong, 401),
            ("pull_request", None, None, 401),
        ):
            self._post(body, deliveries.headers(event, name or str(uuid.uuid4()), signed), status)
        bad = b"{}"
        headers = deliveries.headers("pull_request", str(uuid.uuid4()), deliveries.sign(self._info.webhook_secret, bad))
        self._post(bad, headers, 400)

    def _other_conclusions(self) -> None:
        old = self._open()
        self._github.push(old.number)
        broken = self._github.open_pull_request({f"broken-{uuid.uuid4()}.json": "{"})
        self._follow(self._deliver("synchronize", old), self._deliver("build", broken))

    def _crash(self) -> None:
        pull_request = self._open()
        with self._fault(pull_request, delay=HELD_SECONDS, times=1):
            sent = self._deliver("synchronize", pull_request)
            self._until_shown(pull_request.head_sha, "pending")
            # Its write is over; from here on it waits for GitHub's answer to a read.
            time.sleep(0.5)
            if not self._kill_processor():
                raise TrafficError("no processor runs")
            self._follow(sent)

    def _abort(self) -> None:
        pull_request = self._open()
        with self._fault(pull_request, delay=SLOW_SECONDS, times=1):
            sent = self._deliver("synchronize", pull_request)
            self._until_shown(pull_request.head_sha, "pending")
            self._stepfunctions.stop_execution(executionArn=self._info.execution_arn(sent.answer["execution"]))
            self._follow(sent, status="ABORTED")
            self._until_shown(pull_request.head_sha, "error")

    def _retry(self) -> None:
        pull_request = self._open()
        with self._fault(pull_request, status=502, times=READS_OF_AN_ATTEMPT):
            self._follow(self._deliver("synchronize", pull_request))

    def _lag(self) -> None:
        pull_request = self._open()
        with self._fault(pull_request, status=404, times=1):
            self._follow(self._deliver("synchronize", pull_request))
        moved = self._open()
        files = f"{self._info.github_url}/repos/{moved.full_name}/pulls/{moved.number}/files?page=1&per_page=100"
        with self._fault(moved, status=301, headers={"location": files}, times=1):
            self._follow(self._deliver("synchronize", moved))

    def _dead(self) -> None:
        pull_requests = [self._open(), self._open()]
        for one in pull_requests:
            with self._fault(one, status=403):
                self._follow(self._deliver("synchronize", one), status="FAILED")
            self._until_shown(one.head_sha, "error")

    def _replay(self) -> None:
        sent = self._sqs.receive_message(QueueUrl=self._info.dead_work_queue_url, MaxNumberOfMessages=1)["Messages"][0]
        dead = json.loads(json.loads(sent["Body"])["detail"]["input"])
        self._sqs.send_message(QueueUrl=self._info.replay_queue_url, MessageBody=sent["Body"])
        self._sqs.delete_message(QueueUrl=self._info.dead_work_queue_url, ReceiptHandle=sent["ReceiptHandle"])
        self._until_shown(dead["pull_request"]["head"]["sha"], "success")

    def _sweep(self) -> None:
        pull_request = self._open()
        self._github.set_hook(NOWHERE, self._info.webhook_secret)
        self._github.deliver(deliveries.render(flow.sample_of("synchronize"), pull_request), ago=LONG_AGO_SECONDS)
        self._github.set_hook(self._info.webhook_url, self._info.webhook_secret)
        functions = aws_client("lambda", self._info.aws_endpoint_url)
        functions.invoke(FunctionName=self._resources.function("sweeper"), Qualifier="live", Payload=SCHEDULED)
        self._until_shown(pull_request.head_sha, "success")

    def _poison(self) -> None:
        before = self._count(self._info.quarantine_queue_url)
        self._sqs.send_message(QueueUrl=self._info.replay_queue_url, MessageBody=POISON)
        self._until(lambda: self._count(self._info.quarantine_queue_url) > before, "the quarantine")

    # What the steps are made of

    def _open(self) -> PullRequest:
        return self._github.open_pull_request({"traffic.txt": f"{uuid.uuid4()}\n"})

    def _deliver(self, action: str, pull_request: PullRequest) -> Flow:
        sent = flow.deliver(self._info, action, pull_request)
        if sent.http_status != 202:
            raise TrafficError(f"the webhook answered {sent.http_status} {sent.answer}")
        return sent

    def _follow(self, *sent: Flow, status: str = "SUCCEEDED") -> None:
        arns = [self._info.execution_arn(one.answer["execution"]) for one in sent]

        def ended() -> bool:
            return all(self._stepfunctions.describe_execution(executionArn=arn)["status"] == status for arn in arns)

        self._until(ended, f"executions that end as {status}")

    def _post(self, body: bytes, headers: dict[str, str], expected: int) -> None:
        status, answer, _ = deliveries.send(self._info.webhook_url, body, headers)
        if status != expected:
            raise TrafficError(f"the webhook answered {status} {answer}, not {expected}")

    @contextlib.contextmanager
    def _fault(self, pull_request: PullRequest, **fault: Any) -> Iterator[None]:
        self._github.fail(path=f"pulls/{pull_request.number}/files", **fault)
        try:
            yield
        finally:
            self._github.clear_faults()

    def _kill_processor(self) -> int:
        processes = workers(self._info, self._resources.function("processor"))
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return len(processes)

    def _until_shown(self, sha: str, state: str) -> None:
        """Waits until the newest commit status is this one."""

        def shown() -> bool:
            return [one["state"] for one in self._github.statuses() if one["sha"] == sha][-1:] == [state]

        self._until(shown, f"a commit status that shows {state}")

    def _count(self, queue_url: str) -> int:
        name = "ApproximateNumberOfMessages"
        answer = self._sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=[name])
        return int(answer["Attributes"][name])

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise TrafficError(f"waited {WAIT_SECONDS:.0f} s for {what}")
            time.sleep(POLL_SECONDS)
