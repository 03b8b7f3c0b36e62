"""The operator's side of dead work: `make replay` against the deployed stack."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from local.progress import Progress
from local.stack import PROJECT, StackInfo
from ops.replay.command import replay
from ops.replay.options import ReplayOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from local.github import PullRequest
    from tests.e2e.conftest import Deployed

WIDTH = 160


@dataclass(frozen=True)
class Operator:
    """Who has the terminal."""

    deployed: Deployed

    def run(self, **options: Any) -> tuple[int, str]:
        """One call of the command: its exit code, and what it printed."""
        out = io.StringIO()
        progress = Progress(Console(file=out, highlight=False))
        progress.console.width = WIDTH
        code = replay(self.deployed.stack.directory, progress, ReplayOptions(**options))
        return code, out.getvalue()

    def dead(self) -> list[dict[str, Any]]:
        """Every message of the dead-work queue, as far as it can be received, left visible."""
        sqs, url = self.deployed.client("sqs"), self.deployed.stack.info.dead_work_queue_url
        messages: dict[str, dict[str, Any]] = {}
        while received := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=5).get(
            "Messages"
        ):
            messages |= {one["MessageId"]: one for one in received}
        for one in messages.values():
            sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"], VisibilityTimeout=0)
        return list(messages.values())

    def dead_executions(self) -> list[str]:
        """The executions that the events there tell of."""
        return sorted(json.loads(one["Body"]).get("detail", {}).get("name", "") for one in self.dead())

    def history(self, name: str) -> list[str]:
        """The status of each attempt of a delivery, in order."""
        stepfunctions = self.deployed.client("stepfunctions")
        found = []
        for suffix in ("", *(f"-{number}" for number in range(2, 11))):
            try:
                arn = self.deployed.execution_arn(name + suffix)
                found.append(stepfunctions.describe_execution(executionArn=arn)["status"])
            except stepfunctions.exceptions.ExecutionDoesNotExist:
                break
        return found


@pytest.fixture
def operator(deployed: Deployed) -> Iterator[Operator]:
    """The operator of a stack in which nothing is dead, and nothing is broken afterwards."""
    sqs, info = deployed.client("sqs"), deployed.stack.info
    for url in (info.dead_work_queue_url, info.quarantine_queue_url):
        sqs.purge_queue(QueueUrl=url)
    yield Operator(deployed)
    deployed.github.clear_faults()


@pytest.fixture
def kill(
    deployed: Deployed, operator: Operator, eventually: Callable[..., Any]
) -> Callable[[], tuple[str, PullRequest]]:
    """Breaks GitHub for a new pull request, and has a delivery fail on it."""

    def kill_one() -> tuple[str, PullRequest]:
        pull_request = deployed.github.open_pull_request({"docs/replay.md": f"# {uuid.uuid4()}\n"})
        deployed.github.fail(method="GET", path=f"/pulls/{pull_request.number}", status=403)
        failed = deployed.run("synchronize", pull_request)
        assert (failed.status, failed.error) == ("FAILED", "GitHubRefused")
        eventually(lambda: failed.delivery_id in operator.dead_executions())
        return failed.delivery_id, pull_request

    return kill_one


def states(deployed: Deployed, pull_request: PullRequest) -> list[str]:
    """The commit statuses that the pull request has seen."""
    return [one["state"] for one in deployed.github.statuses() if one["sha"] == pull_request.head_sha]


def test_from_dead_to_done(
    deployed: Deployed, operator: Operator, kill: Callable[[], tuple[str, PullRequest]], eventually: Callable[..., Any]
) -> None:
    delivery, pull_request = kill()
    code, listed = operator.run()
    assert code == 0
    assert "GitHubRefused  1 dead, oldest" in listed
    assert delivery in listed
    assert f"octo-org/hello-pullback#{pull_request.number}" in listed

    # Without anybody to ask, a selection is a dry run.
    code, told = operator.run(error="GitHubRefused")
    assert code == 2
    assert "1 would be started again, as the next attempt" in told
    assert delivery in told
    assert "--yes" in told
    assert operator.dead_executions() == [delivery]
    assert operator.history(delivery) == ["FAILED"]

    # Nothing was mended: it fails again, and comes back.
    code, told = operator.run(error="GitHubRefused", yes=True, wait=30)
    assert code == 1, told
    assert "1 failed again (GitHubRefused)" in told
    assert operator.history(delivery) == ["FAILED", "FAILED"]
    eventually(lambda: operator.dead_executions() == [f"{delivery}-2"])

    deployed.github.clear_faults()
    code, told = operator.run(error="githubrefused", yes=True, wait=30)
    assert code == 0, told
    assert "1 of 1 replayed" in told
    assert "1 succeeded" in told
    assert operator.history(delivery) == ["FAILED", "FAILED", "SUCCEEDED"]
    assert states(deployed, pull_request)[-1] == "success"
    assert operator.dead() == []
    assert operator.run() == (0, f"  messages read: 0\nDead work of {deployed.stack.info.stack_name}: 0 jobs\n")


def test_what_has_succeeded_is_refused_and_no_longer_dead(
    deployed: Deployed, operator: Operator, kill: Callable[[], tuple[str, PullRequest]], eventually: Callable[..., Any]
) -> None:
    delivery, pull_request = kill()
    (message,) = operator.dead()
    deployed.github.clear_faults()
    assert operator.run(delivery=delivery, yes=True, wait=30)[0] == 0
    shown = states(deployed, pull_request)

    # Another copy of the same news, as SQS may deliver it.
    sqs, info = deployed.client("sqs"), deployed.stack.info
    sqs.send_message(QueueUrl=info.dead_work_queue_url, MessageBody=message["Body"])
    code, told = operator.run(all=True, yes=True, wait=30)
    assert code == 0, told
    assert "1 refused: had succeeded already" in told
    assert "attempt 2" in told
    assert operator.history(delivery) == ["FAILED", "SUCCEEDED"]
    assert operator.dead() == []
    lines = deployed.log_lines("replay")
    eventually(
        lambda: any(
            line.get("result") == "duplicate" and line.get("delivery_id") == delivery
            for line in deployed.log_lines("replay")
        )
    )
    assert states(deployed, pull_request) == shown
    assert message["Body"] not in json.dumps(lines)


def test_one_delivery_leaves_the_others(
    deployed: Deployed, operator: Operator, kill: Callable[[], tuple[str, PullRequest]]
) -> None:
    first, _ = kill()
    second, _ = kill()
    deployed.github.clear_faults()
    code, told = operator.run(delivery=first, yes=True, wait=30)
    assert code == 0, told
    assert second not in told
    assert operator.dead_executions() == [second]
    assert operator.history(second) == ["FAILED"]
    code, told = operator.run(delivery=first, yes=True)
    assert code == 2
    assert "groups: GitHubRefused" in told


def test_a_deployed_stack_is_found_by_its_outputs(
    deployed: Deployed,
    operator: Operator,
    kill: Callable[[], tuple[str, PullRequest]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    delivery, _ = kill()
    deployed.github.clear_faults()
    # As a person's shell has it; the embedded AWS knows this one key.
    monkeypatch.setenv("AWS_ENDPOINT_URL", deployed.stack.info.aws_endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    name = deployed.stack.info.stack_name
    assert delivery in operator.run(stack=name)[1]
    code, told = operator.run(stack=name, repository="Octo-Org/Hello-Pullback", yes=True, wait=30)
    assert code == 0, told
    assert operator.history(delivery) == ["FAILED", "SUCCEEDED"]
    code, told = operator.run(stack="no-such-stack")
    assert code == 1
    assert "there is no stack 'no-such-stack' in us-east-1" in told


def test_what_cannot_be_read_goes_to_quarantine_and_is_listed_there_with_the_reason(
    deployed: Deployed, operator: Operator
) -> None:
    sqs, info = deployed.client("sqs"), deployed.stack.info
    canary = "AAAAKgAAAAIAAAAAAAAAAreplay" * 4
    sqs.send_message(QueueUrl=info.dead_work_queue_url, MessageBody=json.dumps({"taskToken": canary, "action": "x"}))
    code, told = operator.run()
    assert code == 0
    assert "Unreadable  1 dead" in told
    assert "a field is missing or not valid" in told
    code, moved = operator.run(all=True, yes=True, wait=30)
    assert code == 1
    assert "1 quarantined" in moved
    assert operator.dead() == []
    code, listed = operator.run(quarantine=True)
    assert code == 0
    assert "a field is missing or not valid" in listed
    assert "ReplayQueue" in listed
    assert canary not in told + moved + listed


def test_a_local_stack_that_does_not_answer_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
        (tmp_path / "stack.json").write_text(json.dumps(dict.fromkeys(StackInfo.__dataclass_fields__, url)))
        out = io.StringIO()
        assert replay(tmp_path, Progress(Console(file=out)), ReplayOptions()) == 1
    assert "`make down` and `make up`" in out.getvalue()


def test_the_command_line_finds_the_functions_reader_by_itself() -> None:
    """pytest has the functions on its path; `python -m pullback` has not."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = "import sys, ops.replay.command; print(sys.modules['shared.dead_work'].__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=environ, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == str(PROJECT / "functions" / "shared" / "dead_work.py")
