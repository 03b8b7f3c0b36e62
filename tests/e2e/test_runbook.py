"""The commands of docs/runbook.md on the deployed stack: those of the alarms, and the procedures as they are done.

Everything that the embedded AWS cannot do of it is in CANNOT, and a test fails when it has learnt to.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local.github import deliveries
from local.stack import aws_environment, resources
from tests import aws_cli
from tests.conftest import ROOT
from tests.e2e.test_webhook_answers import cold
from tests.runbook import blocks, commands, of_chapter, sections, setup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.conftest import Deployed

CANNOT = {
    "aws service-quotas list-service-quotas": "it has no Service Quotas",
    "make trace": "it has no X-Ray to read from; without STACK= the same command reads .local/traces.jsonl",
}
"""First commands and commands of Verify that the embedded AWS does not answer."""

_PRELUDE = f"""
aws() {{ command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }}
make() {{ command make --no-print-directory -C {shlex.quote(str(ROOT))} -o setup -o .venv/.installed "$@"; }}
sleep() {{ :; }}
"""


@dataclass(frozen=True)
class Operator:
    """Who has read the runbook, and has a shell."""

    deployed: Deployed
    directory: Path
    environ: dict[str, str]
    known: str
    """Shell text: what the setup would look up, looked up already."""

    def run(self, text: str, **given: str) -> str:
        """What commands of the page print.

        Args:
            text: the commands, as they are on the page.
            given: what the operator fills in, by variable.
        """
        for name, value in given.items():
            text, count = re.subn(rf"^{name}=…", f"{name}={value}", text, flags=re.MULTILINE)
            assert count == 1
        assert "=…" not in text
        done = subprocess.run(
            ["bash", "-c", f"{_PRELUDE}{self.known}\nset -euo pipefail\n{text}"],
            cwd=self.directory,
            env=self.environ,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def deliver(self, secret: str | None = None, **changes: Any) -> tuple[int, str, str]:
        """A delivery on a pull request of its own: status, word of the answer, and the delivery's id."""
        pull_request = self.deployed.github.open_pull_request({"docs/runbook.md": f"# {uuid.uuid4()}\n"})
        body, delivery_id = self.deployed.body("synchronize", pull_request, **changes), str(uuid.uuid4())
        signature = deliveries.sign(secret or self.deployed.stack.info.webhook_secret, body)
        status, answer = self.deployed.send(body, delivery_id=delivery_id, X_Hub_Signature_256=signature)
        return status, answer["result"], delivery_id

    def execution(self, name: str) -> str | None:
        """The status of the execution of this name; None when there is none."""
        stepfunctions = self.deployed.client("stepfunctions")
        with suppress(stepfunctions.exceptions.ExecutionDoesNotExist):
            found = stepfunctions.describe_execution(executionArn=self.deployed.execution_arn(name))
            return str(found["status"])
        return None

    def is_dead(self, execution: str) -> bool:
        """Whether the queue of dead work has the execution of this name."""
        sqs, url = self.deployed.client("sqs"), self.deployed.stack.info.dead_work_queue_url
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0).get("Messages", [])
        return any(json.loads(one["Body"]).get("detail", {}).get("name") == execution for one in messages)


@pytest.fixture(scope="module")
def operator(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    cloudformation, name = deployed.client("cloudformation"), deployed.stack.info.stack_name
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
    physical = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources(deployed.stack.info)}

    def lookup(function: str, table: dict[str, str]) -> str:
        cases = "".join(f" {key}) echo {shlex.quote(value)};;" for key, value in table.items())
        return f'{function}() {{ case "$1" in{cases} *) return 1;; esac; }}\n'

    # The same text with tables in place of the two functions that ask CloudFormation.
    lines = [line for line in on(name).splitlines() if not line.startswith(("output()", "resource()"))]
    known = lookup("output", outputs) + lookup("resource", physical) + "\n".join(lines)
    environ, tools = aws_environment(deployed.stack.info.aws_endpoint_url), Path(sys.executable).parent
    directory = tmp_path_factory.mktemp("operator")
    # A socket's path has to be short.
    with tempfile.TemporaryDirectory() as short, aws_cli.installed(Path(short), environ):
        environ["PATH"] = os.pathsep.join([short, str(tools), environ["PATH"]])
        yield Operator(deployed, directory, environ, known)


def on(stack: str) -> str:
    """The shell's setup, for a stack of this name."""
    text = setup()
    assert "STACK=pullback\n" in text
    return text.replace("STACK=pullback\n", f"STACK={stack}\n")


def part(section: str, name: str) -> str:
    """The commands in one part of a section, all blocks together."""
    return "".join(blocks(sections()[section].parts()[name]))


def step(section: str, number: int) -> str:
    """The commands of one step of a procedure."""
    pieces = re.split(r"^(\d+)\. ", sections()[section].parts()["Steps"], flags=re.MULTILINE)
    steps = dict(zip(map(int, pieces[1::2]), pieces[2::2], strict=True))
    return "".join(blocks(steps[number]))


def whole(text: str) -> str:
    """Commands that print all log lines: the embedded AWS filters none, and others may be newer than what is meant."""
    assert " | tail -20\n" in f"{text}\n"
    return text.replace(" | tail -20", "")


def test_the_setup_finds_the_stack(operator: Operator, deployed: Deployed) -> None:
    info = deployed.stack.info
    asked = 'echo "$MACHINE $DEAD $REPLAY $QUARANTINE"; resource ReplayFunctionMessage; arn "$DEAD"; echo "$START $END"'
    printed = replace(operator, known=on(info.stack_name)).run(f"{asked} $RECENT_MS").split()
    assert printed[:4] == [
        info.state_machine_arn,
        info.dead_work_queue_url,
        info.replay_queue_url,
        info.quarantine_queue_url,
    ]
    assert printed[4] == deployed.resource("ReplayFunctionMessage")
    assert printed[5].endswith(info.dead_work_queue_url.rpartition("/")[2])
    start, end, recent_ms = printed[6:]
    assert start < end
    assert len(recent_ms) == 13


def test_every_first_command_runs(operator: Operator, tmp_path: Path) -> None:
    alarms = of_chapter("Pages", "Tickets")
    text = "".join(part(one.anchor, "First") + part(one.anchor, "Verify") for one in alarms)
    text += "".join(blocks(sections()["first-look"].text)) + "".join(blocks(sections()["composite-alarms"].text))
    # What is asked for within a command is real, as the outer one needs its answer.
    found = {tuple(one): one for one in commands(text, tmp_path, before=operator.known)}
    assert len(found) > len(alarms)
    numbered = dict(enumerate(found.values()))
    printed = operator.run(
        "".join(
            f"{shlex.join(one)} >{number}.out 2>{number}.err || echo {number}\n" for number, one in numbered.items()
        )
    )
    failed = {int(number) for number in printed.split()}
    for number, command in numbered.items():
        if "--alarm-names" in command and number not in failed:
            assert (operator.directory / f"{number}.out").read_text().strip(), f"no such alarm: {command}"
    words = {" ".join(numbered[number][: 2 if numbered[number][0] == "make" else 3]): number for number in failed}
    told = {command: (operator.directory / f"{number}.err").read_text() for command, number in words.items()}
    assert told.keys() == CANNOT.keys(), told


def test_filter_patterns_of_log_lines_are_still_not_evaluated(operator: Operator, deployed: Deployed) -> None:
    # Then the first commands would show more than is asked for: here, and not on AWS.
    assert operator.deliver(secret="wrong")[:2] == (401, "unauthorized")
    (first,) = [line for line in part("signature-failures", "First").splitlines() if "filter-log-events" in line]
    printed = operator.run(whole(first))
    assert '"status":401' in printed
    assert "START RequestId" in printed


def test_an_incident_is_found_by_the_first_commands(
    operator: Operator, deployed: Deployed, eventually: Callable[..., Any]
) -> None:
    sqs, info = deployed.client("sqs"), deployed.stack.info
    sqs.purge_queue(QueueUrl=info.dead_work_queue_url)
    deployed.github.fail(method="GET", path="/pulls/", status=403)
    try:
        _, _, delivery = operator.deliver()
        eventually(lambda: operator.execution(delivery) == "FAILED")
        eventually(lambda: operator.is_dead(delivery))
    finally:
        deployed.github.clear_faults()
    printed = operator.run(whole(part("executions-failed", "First")))
    grouped, _, rest = printed.partition(delivery)
    assert "GitHubRefused  1 dead" in grouped
    assert delivery in rest, "it is among the failed executions, too"
    assert '"message":"work failed"' in rest
    assert "0 jobs" not in printed

    # Drain and replay, as far as it asks nothing.
    replay = step("drain-and-replay", 2).replace("make replay", "make replay YES=1 WAIT=30")
    assert "1 succeeded" in operator.run(replay, DELIVERY=delivery)
    assert operator.execution(f"{delivery}-2") == "SUCCEEDED"
    assert "0 jobs" in operator.run(step("drain-and-replay", 1))


def test_message_moves_are_still_unknown_to_the_embedded_aws(operator: Operator) -> None:
    with pytest.raises(AssertionError, match="ListMessageMoveTasks"):
        operator.run(part("drain-and-replay", "Go back"))


class TestRotateTheWebhookSecret:
    PROCEDURE = "rotate-the-webhook-secret-without-losing-a-delivery"

    @pytest.fixture(autouse=True)
    def restored(self, deployed: Deployed) -> Iterator[None]:
        secretsmanager, secret = deployed.client("secretsmanager"), self.arn(deployed)
        yield
        # Twice: both versions are the one that the other tests sign with.
        for _ in range(2):
            secretsmanager.put_secret_value(SecretId=secret, SecretString=deployed.stack.info.webhook_secret)

    @staticmethod
    def arn(deployed: Deployed) -> str:
        (stack,) = deployed.client("cloudformation").describe_stacks(StackName=deployed.stack.info.stack_name)["Stacks"]
        (arn,) = [str(one["OutputValue"]) for one in stack["Outputs"] if one["OutputKey"] == "WebhookSecretArn"]
        return arn

    def rotate(self, operator: Operator) -> str:
        """Steps 1 and 2; the new secret, as the operator has it in the file."""
        operator.run(step(self.PROCEDURE, 1) + step(self.PROCEDURE, 2))
        file = operator.directory / "webhook-secret"
        assert file.stat().st_mode & 0o077 == 0
        return file.read_text()

    def known(self, operator: Operator, text: str, **given: str) -> str:
        """Runs further commands of the procedure; a variable of its first step is set as there."""
        return operator.run("SECRET=$(output WebhookSecretArn)\n" + text, **given)

    def test_no_delivery_is_lost(self, operator: Operator, deployed: Deployed, eventually: Callable[..., Any]) -> None:
        old = deployed.stack.info.webhook_secret
        with cold(deployed, "WebhookFunction"):
            # The function has cached the old one, and there is no previous one that it would know.
            answers = [operator.deliver(old)]
            new = self.rotate(operator)
            assert len(new) == 64
            assert new.isalnum()
            # GitHub signs with the old one until somebody enters the new one there.
            answers += [operator.deliver(old), operator.deliver(new), operator.deliver(old), operator.deliver(new)]
        assert [one[:2] for one in answers] == [(202, "started")] * 5
        with cold(deployed, "WebhookFunction"):
            # A function that starts in the middle of it takes both.
            answers += [operator.deliver(old), operator.deliver(new)]
        assert [one[:2] for one in answers[5:]] == [(202, "started")] * 2
        for *_, delivery in answers:
            eventually(lambda name=delivery: operator.execution(name) == "SUCCEEDED")

        self.known(operator, part(self.PROCEDURE, "Retire the old one"))
        with cold(deployed, "WebhookFunction"):
            assert operator.deliver(new)[:2] == (202, "started")
            assert operator.deliver(old)[:2] == (401, "unauthorized")

    def test_going_back_leaves_both_valid(self, operator: Operator, deployed: Deployed) -> None:
        old, new = deployed.stack.info.webhook_secret, self.rotate(operator)
        self.known(operator, part(self.PROCEDURE, "Go back"))
        current = deployed.client("secretsmanager").get_secret_value(SecretId=self.arn(deployed))
        assert current["SecretString"] == old
        with cold(deployed, "WebhookFunction"):
            assert operator.deliver(old)[0] == 202
            assert operator.deliver(new)[0] == 202

    def test_a_rotation_that_went_wrong_is_finished(self, operator: Operator, deployed: Deployed) -> None:
        old, secretsmanager = deployed.stack.info.webhook_secret, deployed.client("secretsmanager")
        at_github = secretsmanager.get_secret_value(SecretId=self.arn(deployed))["VersionId"]
        self.rotate(operator)
        self.rotate(operator)
        finish, put_back = blocks(sections()[self.PROCEDURE].parts()["If it went wrong"])
        (operator.directory / "webhook-secret").unlink()
        with cold(deployed, "WebhookFunction"):
            assert operator.deliver(old)[:2] == (401, "unauthorized")
            self.known(operator, finish)
            assert operator.deliver((operator.directory / "webhook-secret").read_text())[:2] == (202, "started")
        # Secrets Manager keeps a version without a stage for a while; the embedded AWS forgets it at once.
        with pytest.raises(AssertionError, match="ResourceNotFoundException"):
            self.known(operator, put_back, AT_GITHUB=at_github)


def test_rotate_the_github_token(operator: Operator, deployed: Deployed, eventually: Callable[..., Any]) -> None:
    procedure, file = "rotate-the-github-token", operator.directory / "credential"
    try:
        # Another credential that GitHub takes ...
        file.write_text(json.dumps({"token": deployed.stack.github_token}))
        operator.run(step(procedure, 2))
        assert not file.exists()
        with cold(deployed, "ProcessorFunction"):
            _, _, delivery = operator.deliver()
            eventually(lambda: operator.execution(delivery) == "SUCCEEDED")
            assert '"message":"work done"' in operator.run(whole(part(procedure, "Verify")))
        # ... and one that it does not take, which nobody reads before it is taken back.
        file.write_text("ghp_wrong")
        operator.run(step(procedure, 2) + part(procedure, "Go back"))
        with cold(deployed, "ProcessorFunction"):
            _, _, delivery = operator.deliver()
            eventually(lambda: operator.execution(delivery) == "SUCCEEDED")
    finally:
        file.write_text(deployed.stack.github_token)
        operator.run(step(procedure, 2))


def test_the_world_stops_and_starts_again_and_nothing_is_lost(
    operator: Operator, deployed: Deployed, eventually: Callable[..., Any]
) -> None:
    sqs, info = deployed.client("sqs"), deployed.stack.info
    sqs.purge_queue(QueueUrl=info.dead_work_queue_url)
    deployed.github.fail(path="/pulls/", delay=3.0)
    try:
        _, _, running = operator.deliver()
        eventually(lambda: operator.execution(running) == "RUNNING")
        operator.run(step("stop-the-world", 1) + step("stop-the-world", 2) + step("stop-the-world", 3))
        kept = [operator.deliver() for _ in range(3)]
        assert [one[:2] for one in kept] == [(202, "queued")] * 3
        operator.run(step("stop-the-world", 4) + step("stop-the-world", 5))
        told = operator.run(part("stop-the-world", "Verify"))
        assert json.loads(told[: told.index("}") + 1])["ApproximateNumberOfMessages"] == "3"
        assert told.rstrip().endswith("\n0"), "something runs"
        assert operator.execution(running) == "ABORTED"
        task = deployed.client("lambda").get_function_concurrency(
            FunctionName=operator.deployed.resource("TaskFunction")
        )
        assert task["ReservedConcurrentExecutions"] == 0
        assert [operator.execution(name) for *_, name in kept] == [None] * 3
    finally:
        deployed.github.clear_faults()
        operator.run(part("start-again", "Steps"))
    for *_, name in kept:
        eventually(lambda name=name: operator.execution(name) == "SUCCEEDED")
    verified = operator.run(part("start-again", "Verify"))
    assert all(name in verified for *_, name in kept)
    assert verified.split()[-1] == "webhook", "the policy that refused the start is gone"
    assert operator.deliver()[:2] == (202, "started")
    # What was aborted is dead work, and is done now.
    replay = step("drain-and-replay", 2).replace("make replay", "make replay YES=1 WAIT=30")
    assert "1 succeeded" in operator.run(replay, DELIVERY=running)


def test_a_reserved_concurrency_of_0_is_still_not_enforced_on_the_way_from_step_functions(
    operator: Operator, eventually: Callable[..., Any]
) -> None:
    # On AWS the execution would wait.
    try:
        operator.run(step("stop-the-world", 2))
        _, _, delivery = operator.deliver()
        eventually(lambda: operator.execution(delivery) == "SUCCEEDED")
    finally:
        operator.run(part("start-again", "Steps").splitlines()[0])


def test_roll_back_moves_the_alias_to_the_version_before(operator: Operator, deployed: Deployed) -> None:
    with cold(deployed, "ProcessorFunction"):
        look, move = blocks(re.split(r"^2\. ", sections()["roll-back"].parts()["Steps"], flags=re.MULTILINE)[0])
        now, *versions = operator.run(look).splitlines()
        listed = [line.split()[0] for line in versions]
        assert now in listed
        before = listed[listed.index(now) - 1]
        assert before != now
        assert operator.run("FUNCTION=ProcessorFunction\n" + move, VERSION=before).strip() == before
        assert operator.run("FUNCTION=ProcessorFunction\n" + part("roll-back", "Verify")).split()[0] == before


def test_a_leaked_task_token_is_ended_with_its_execution(
    operator: Operator, deployed: Deployed, eventually: Callable[..., Any]
) -> None:
    deployed.github.fail(path="/pulls/", delay=3.0)
    try:
        _, _, delivery = operator.deliver()
        eventually(lambda: operator.execution(delivery) == "RUNNING")
        stop, replay = part("a-leaked-secret-or-token", "Steps").split("make replay")
        operator.run(stop, EXECUTION=delivery)
        assert operator.execution(delivery) == "ABORTED"
    finally:
        deployed.github.clear_faults()
    eventually(lambda: operator.is_dead(delivery))
    again = f"EXECUTION={delivery}\nmake replay YES=1 WAIT=30{replay}"
    assert "1 succeeded" in operator.run(again)
