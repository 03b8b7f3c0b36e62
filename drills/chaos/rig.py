"""The hands that reach into a running stack: faults on and off, processes killed, queues, versions, logs."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import psutil
import requests

from drills.chaos.model import FUNCTIONS
from local.github_control import GitHubControl
from local.stack import aws_client, workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from drills.chaos.model import Function, Queue
    from local.stack import LocalStack

WAIT_SCALE = 0.05
"""The pauses of the state machine's Retry, in the drill, as a part of what they are: a twentieth. The engine sleeps
through them in real time. The functions' own times (claims, leases, timeouts) are what they are."""
IMPATIENT_SECONDS = 6
"""A little longer than a consumer needs for a call that times out at every attempt."""
POLL_SECONDS = 0.03
CONTROL_TIMEOUT_SECONDS = 10

CONSUMED: dict[Function, Queue] = {"crash": "crash", "closing": "ended", "replay": "replay"}
"""The functions behind queues."""


class DrillError(RuntimeError):
    """The drill could not do what a row asks for; the message says what."""


class Rig:
    """The drill's hands.

    Args:
        stack: the running stack, with its fault proxy.
    """

    def __init__(self, stack: LocalStack) -> None:
        if stack.proxy_url is None:
            raise DrillError("the stack was started without faults")
        self.stack = stack
        self.info = stack.info
        self.github = GitHubControl(self.info.github_url)
        self.webhook_secret = self.info.webhook_secret
        self.secrets = {self.info.webhook_secret, stack.github_token}
        """What must appear nowhere, the task tokens besides."""
        endpoint = self.info.aws_endpoint_url
        # Straight to the embedded AWS: the drill's own calls meet no fault.
        self.stepfunctions = aws_client("stepfunctions", endpoint)
        self.sqs = aws_client("sqs", endpoint)
        self.functions = aws_client("lambda", endpoint)
        self.logs = aws_client("logs", endpoint)
        self.dynamodb = aws_client("dynamodb", endpoint)
        self.s3 = aws_client("s3", endpoint)
        self.secretsmanager = aws_client("secretsmanager", endpoint)
        self._events = aws_client("events", endpoint)
        self._cloudformation = aws_client("cloudformation", endpoint)
        self._http = requests.Session()
        self._rules_url = f"{stack.proxy_url}/_microburst/rules"
        self.queues: dict[Queue, str] = {
            "crash": self.info.crash_queue_url,
            "ended": self.info.ended_executions_queue_url,
            "replay": self.info.replay_queue_url,
            "dead": self.info.dead_work_queue_url,
            "quarantine": self.info.quarantine_queue_url,
        }
        self._visibility = {name: self._attribute(name, "VisibilityTimeout") for name in self.queues}
        self.names = self._function_names()
        self._mappings = self._source_mappings()

    def scale_waits(self, scale: float = WAIT_SCALE) -> None:
        """Makes the state machine's pauses between attempts shorter."""
        answer = self._http.post(
            f"{self.info.aws_endpoint_url}/_ministack/config",
            json={"stepfunctions._SFN_WAIT_SCALE": scale},
            timeout=CONTROL_TIMEOUT_SECONDS,
        ).json()
        if "stepfunctions._SFN_WAIT_SCALE" not in answer.get("applied", {}):
            raise DrillError("the embedded AWS does not take its waiting scale")

    def stop_schedules(self) -> None:
        """Leaves it to the drill when the sweeper runs."""
        for rule in self._events.list_rules()["Rules"]:
            if "ScheduleExpression" in rule:
                self._events.disable_rule(Name=rule["Name"])

    def output(self, key: str) -> str:
        """An output of the deployed stack."""
        stack = self._cloudformation.describe_stacks(StackName=self.info.stack_name)["Stacks"][0]
        return str(next(one["OutputValue"] for one in stack["Outputs"] if one["OutputKey"] == key))

    # Faults

    def set_rules(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Puts these rules of the fault proxy in force, and no others."""
        answer = self._http.post(self._rules_url, json=list(rules), timeout=CONTROL_TIMEOUT_SECONDS)
        if not answer.ok:
            raise DrillError(f"the fault proxy refuses a rule: {answer.text}")

    def rules(self) -> list[dict[str, Any]]:
        """The rules in force, each with ``fired_count``."""
        rules: list[dict[str, Any]] = self._http.get(self._rules_url, timeout=CONTROL_TIMEOUT_SECONDS).json()
        return rules

    def clear(self) -> None:
        """Takes every fault away."""
        self.set_rules([])
        self.github.clear_faults()

    # Processes

    def workers(self, function: Function) -> list[psutil.Process]:
        """The processes in which a function runs, or waits for the next event."""
        return workers(self.info, self.names[function])

    def kill(self, function: Function) -> int:
        """Kills a function's processes, as the kernel does with one that takes too much memory; returns how many."""
        processes = self.workers(function)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=5)
        return len(processes)

    @contextlib.contextmanager
    def version(self, function: Function, **configuration: Any) -> Iterator[None]:
        """Lets the function's alias lead to a version with another configuration meanwhile."""
        name = self.names[function]
        alias = self.functions.get_alias(FunctionName=name, Name="live")
        before: dict[str, Any] = dict(self.functions.get_function_configuration(FunctionName=name))
        before["Environment"] = {"Variables": self._variables(function)}
        self.functions.update_function_configuration(FunctionName=name, **configuration)
        changed = self.functions.publish_version(FunctionName=name)["Version"]
        self.functions.update_alias(FunctionName=name, Name="live", FunctionVersion=changed)
        try:
            yield
        finally:
            self.functions.update_alias(FunctionName=name, Name="live", FunctionVersion=alias["FunctionVersion"])
            self.functions.update_function_configuration(
                FunctionName=name, **{key: before[key] for key in configuration}
            )

    @contextlib.contextmanager
    def environment(self, function: Function, **variables: str) -> Iterator[None]:
        """Lets the function's alias lead to a version with some other variables in its environment meanwhile."""
        with self.version(function, Environment={"Variables": {**self._variables(function), **variables}}):
            yield

    @contextlib.contextmanager
    def losing_events(self) -> Iterator[None]:
        """Lets EventBridge lose the events of executions that end meanwhile."""
        (rule,) = (one["Name"] for one in self._events.list_rules()["Rules"] if "EndedExecutionsRule" in one["Name"])
        self._events.disable_rule(Name=rule)
        try:
            yield
        finally:
            self._events.enable_rule(Name=rule)

    @contextlib.contextmanager
    def paused(self, function: Function) -> Iterator[None]:
        """Keeps a queue's messages from its consumer meanwhile."""
        mapping = self._mappings[function]
        self.functions.update_event_source_mapping(UUID=mapping, Enabled=False)
        try:
            yield
        finally:
            self.functions.update_event_source_mapping(UUID=mapping, Enabled=True)

    # Queues

    def set_impatient(self, queues: Iterable[Queue]) -> None:
        """Lets these queues offer a message that was given back after IMPATIENT_SECONDS."""
        for name in queues:
            self._set_visibility(name, str(IMPATIENT_SECONDS))

    def set_patient(self, queues: Iterable[Queue]) -> None:
        """Gives these queues the visibility timeout of the template back."""
        for name in queues:
            self._set_visibility(name, self._visibility[name])

    def is_empty(self, *queues: Queue) -> bool:
        """Whether nothing waits in these queues, and nothing is in the hands of a consumer."""
        return not any(
            int(self._attribute(name, attribute))
            for name in queues
            for attribute in ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        )

    def put(self, queue: Queue, body: str) -> None:
        """Sends a message."""
        self.sqs.send_message(QueueUrl=self.queues[queue], MessageBody=body)

    def take_all(self, queue: Queue) -> list[dict[str, Any]]:
        """Takes every message off a queue that nobody consumes."""
        taken: list[dict[str, Any]] = []
        while messages := self.sqs.receive_message(
            QueueUrl=self.queues[queue], MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            for message in messages:
                self.sqs.delete_message(QueueUrl=self.queues[queue], ReceiptHandle=message["ReceiptHandle"])
            taken += messages
        return taken

    # What is left behind

    def log(self, function: Function, since_ms: int) -> list[str]:
        """The lines that a function has logged since then."""
        group = f"/aws/lambda/{self.info.stack_name}-{function}"
        try:
            events = self.logs.filter_log_events(logGroupName=group, startTime=since_ms)["events"]
        except self.logs.exceptions.ResourceNotFoundException:
            return []
        return [line for event in events for line in event["message"].splitlines() if line.strip()]

    def tokens(self) -> list[str]:
        """Every task token so far, oldest first."""
        file = self.stack.tokens_file
        return file.read_text().split() if file.exists() else []

    # Waiting

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Waits until it is true, or gives up."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _function_names(self) -> dict[Function, str]:
        names = [one["FunctionName"] for one in self.functions.list_functions()["Functions"]]
        return {one: next(name for name in names if f"-{one.title()}Function-" in name) for one in FUNCTIONS}

    def _variables(self, function: Function) -> dict[str, str]:
        found = self.functions.get_function_configuration(FunctionName=self.names[function])["Environment"]["Variables"]
        # CloudFormation makes texts of the template's numbers; the embedded AWS leaves them.
        return {key: str(value) for key, value in found.items()}

    def _source_mappings(self) -> dict[Function, str]:
        mappings = self.functions.list_event_source_mappings()["EventSourceMappings"]
        return {
            function: next(
                one["UUID"]
                for one in mappings
                if one["EventSourceArn"].rpartition(":")[2] == self.queues[queue].rpartition("/")[2]
            )
            for function, queue in CONSUMED.items()
        }

    def _attribute(self, queue: Queue, name: str) -> str:
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.queues[queue], AttributeNames=[name])["Attributes"]
        return str(attributes[name])

    def _set_visibility(self, queue: Queue, seconds: str) -> None:
        self.sqs.set_queue_attributes(QueueUrl=self.queues[queue], Attributes={"VisibilityTimeout": seconds})
