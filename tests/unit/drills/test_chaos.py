"""The drill's table and its report; what the drill does to a stack is in tests/e2e/test_chaos.py."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import jmespath  # type: ignore[import-untyped]
import pytest
from microburst.rules import RuleEngine  # type: ignore[import-untyped]
from samtranslator.yaml_helper import yaml_parse

from drills.chaos import drill, report
from drills.chaos.check_runs import CHECK_RUNS
from drills.chaos.model import FUNCTIONS, SDK_ATTEMPTS, Call, Result
from drills.chaos.ordinary_day import ORDINARY_DAY, TIMINGS
from drills.chaos.rows import KINDS, ROWS
from local import engine
from local.github.control import FAULTS
from local.stack import PROJECT
from pullrequest import answers
from shared import aws

if TYPE_CHECKING:
    from pathlib import Path

    from local.github import Fault

NAMES = [row.name for row in ROWS]
NOT_MADE = {
    ("task", "GetItem"): "Powertools reads what it needs from the refused PutItem",
    ("processor", "GetItem"): "under the name of the claim, below",
    ("processor", "SendMessage"): "Lambda's own, for its on-failure destination",
}
POLLED = {"ReceiveMessage", "DeleteMessage", "GetQueueAttributes"}
"""Calls that Lambda makes for a queue's consumer."""


def allowed() -> set[tuple[str, str]]:
    """Each function with each operation that its role allows, logs and traces apart."""
    template = yaml_parse((PROJECT / "template.yaml").read_text())
    found: set[tuple[str, str]] = set()
    for function in FUNCTIONS:
        for policy in template["Resources"][f"{function.title()}FunctionRole"]["Properties"]["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                for action in actions:
                    service, operation = action.split(":")
                    if service not in ("logs", "xray") and operation not in POLLED:
                        found.add((function, {"InvokeFunction": "Invoke"}.get(operation, operation)))
    return found


def test_there_are_more_than_forty_faults_each_with_a_name_of_its_own() -> None:
    assert len(NAMES) >= 40
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize(("function", "operation"), sorted(allowed() - NOT_MADE.keys()))
def test_every_call_of_every_function_goes_wrong_in_every_way(function: str, operation: str) -> None:
    for kind in KINDS:
        of_call = [one for one in NAMES if one.startswith(f"{function} {operation}") and f": {kind}" in one]
        assert of_call, f"{function} {operation}: {kind}"


def test_what_is_left_out_is_allowed_at_all() -> None:
    assert NOT_MADE.keys() <= allowed(), "no longer allowed, so no longer to be left out"
    assert all(f"processor GetItem: {kind}" in NAMES for kind in KINDS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_one_that_the_proxy_takes_and_that_asks_for_something(row: Any) -> None:
    RuleEngine().set_rules([dict(rule) for rule in row.aws])
    assert row.aws or row.github or row.scene
    assert row.expected.answers
    assert row.expected.executions


def faults_of(row: Any) -> list[Fault]:
    """The local GitHub's faults of a row, made as its control endpoint makes them."""
    return [FAULTS[one.get("kind")](**{name: one[name] for name in one if name != "kind"}) for one in row.github]


@pytest.mark.parametrize("row", [row for row in ROWS if row.github], ids=lambda row: row.name)
def test_a_row_is_one_that_the_local_github_takes(row: Any) -> None:
    assert len(faults_of(row)) == len(row.github)


REQUESTS = {
    answers.PULL: ("GET", "/repos/o/r/pulls/7"),
    answers.FILES: ("GET", "/repos/o/r/pulls/7/files"),
    answers.STATUSES: ("GET", f"/repos/o/r/statuses/{'a' * 40}"),
    answers.SET_STATUS: ("POST", f"/repos/o/r/statuses/{'a' * 40}"),
    answers.CREATE_CHECK: ("POST", "/repos/o/r/check-runs"),
    answers.UPDATE_CHECK: ("PATCH", "/repos/o/r/check-runs/41"),
    answers.CHECK: ("GET", "/repos/o/r/check-runs/41"),
    answers.CHECKS: ("GET", f"/repos/o/r/commits/{'a' * 40}/check-runs"),
    answers.BASE_FILE: ("GET", "/repos/o/r/contents/.github/pullback.toml"),
    answers.ARCHIVE_LINK: ("GET", f"/repos/o/r/tarball/{'a' * 40}"),
    answers.ARCHIVE: ("GET", f"/_codeload/o/r/legacy.tar.gz/{'a' * 40}"),
}
LAGGING = sorted({call for rule in answers.RULES if rule.verdict is answers.Verdict.LAG for call in rule.calls})


# What is shown already is asked for only after a doubtful write, and then as any other call is.
LOOKED_UP = (answers.STATUSES, answers.CHECK, answers.CHECKS)
WHILES = [(call, one) for call in LAGGING for one in TIMINGS if call not in LOOKED_UP or one == "once"]


@pytest.mark.parametrize(("call", "timing"), WHILES)
def test_every_call_that_can_lag_does_so_for_every_while(call: str, timing: str) -> None:
    method, path = REQUESTS[call]
    meeting = [row for row in [*ORDINARY_DAY, *CHECK_RUNS] if any(one.meets(method, path, 0) for one in faults_of(row))]
    assert any(f", {timing}" in row.name and "GitHubLag" in str(row.expected.metrics) for row in meeting)


LIKE: dict[str, list[dict[str, Any]]] = {
    "PutItem": [{"Item": {"id": {"S": "task#1"}}}, {"Item": {"id": {"S": "sweep#1"}}}],
    "UpdateItem": [{"Key": {"id": {"S": "work#1"}}}, {"Key": {"id": {"S": "task#1"}}, "ExpressionAttributeValues": {}}],
    "GetItem": [{"Key": {"id": {"S": "work#1"}}}],
    "DeleteItem": [{"Key": {"id": {"S": "task#1"}}}],
    "GetSecretValue": [{"SecretId": "arn"}],
    "SendMessage": [{"QueueUrl": "http://queue", "MessageBody": "{}"}],
    "SendTaskFailure": [{"taskToken": "t", "error": "E", "cause": "{}"}],
    "StartExecution": [{"name": "n", "stateMachineArn": "arn", "input": "{}"}],
}
"""Requests of each operation, those of other functions among them."""


@pytest.mark.parametrize("row", [row for row in ROWS if row.aws], ids=lambda row: row.name)
def test_a_condition_does_not_break_at_a_request_that_it_does_not_mean(row: Any) -> None:
    # The proxy would answer 500, which is another fault than the one that the row names.
    for rule in row.aws:
        if "body" in rule:
            for body in LIKE[rule["operation"]]:
                jmespath.search(rule["body"], body)


def test_the_clients_try_as_often_as_the_drill_believes() -> None:
    assert aws.ATTEMPTS == SDK_ATTEMPTS
    rule = Call("dynamodb", "PutItem").meets("timeout")
    assert rule["timeout_ms"] > aws.READ_TIMEOUT * 1000
    assert rule["times"] == SDK_ATTEMPTS


def test_a_fault_that_lasts_has_no_end_of_its_own() -> None:
    assert "times" not in Call("s3", "PutObject").is_down()


BEGIN, END = "<!-- chaos:begin -->", "<!-- chaos:end -->"
RESULTS = [
    Result("killed | twice", held=True, outcome="202 started → SUCCEEDED success", effects=2, seconds=1.25),
    Result("lost", held=False, outcome="202 started → FAILED", effects=0, seconds=60.0, problems=["the job is lost"]),
]


def test_the_table_has_a_row_a_fault() -> None:
    lines = report.table(RESULTS).splitlines()
    assert lines[2] == "| killed \\| twice | 202 started → SUCCEEDED success | 2 | yes | 1.2 |"
    assert lines[3] == "| lost | 202 started → FAILED | 0 | **no** | 60.0 |"


def test_the_part_between_the_marks_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "reliability.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert report.render(RESULTS, 90, page)
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n1 of 2 faults held, in 1.5 minutes.\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert report.render(RESULTS, 90, page)
    assert page.read_text() == text


def test_a_page_without_marks_gets_them_and_no_page_is_made(tmp_path: Path) -> None:
    page = tmp_path / "reliability.md"
    assert not report.render(RESULTS, 90, page)
    assert not page.exists()
    page.write_text("before\n")
    assert report.render(RESULTS, 90, page)
    assert page.read_text().startswith(f"before\n\n{BEGIN}\n")


@pytest.mark.parametrize(
    ("message", "log", "name"),
    [
        ("ThrottlingException", "raise\ntask.handler.DispatchFailed: ThrottlingException", "DispatchFailed"),
        ("", "raise\ntask.handler.TokenMissing", "TokenMissing"),
        ("two\nlines", "raise\npydantic_core._pydantic_core.ValidationError: two\nlines", "ValidationError"),
        ("Worker process died", "Worker process died", "Runtime.ExitError"),
        ("No JSON response", "No JSON response", "Runtime.HandlerError"),
    ],
)
def test_a_failed_invocation_has_the_name_of_its_exception(message: str, log: str, name: str) -> None:
    assert engine._error_type(message, log) == name


def test_a_silent_callback_task_ends_and_one_with_heartbeats_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "HEARTBEAT_CHECK_SECONDS", 0.05)
    tokens: dict[str, dict[str, Any]] = {}

    def wait(resource: str, input_data: Any, token: str, state: Any) -> Any:
        task = tokens[token] = {"event": threading.Event(), "error": None, "heartbeat": None}
        if token == "alive":
            for beat in range(6):
                time.sleep(0.1)
                task["heartbeat"] = str(beat)
            return task
        assert task["event"].wait(5)
        return task

    stepfunctions = SimpleNamespace(_invoke_with_callback=wait, _task_tokens=tokens)
    engine.enforce_heartbeats(stepfunctions)
    silent = stepfunctions._invoke_with_callback("", {}, "silent", {"HeartbeatSeconds": 0.3})
    assert silent["error"]["Error"] == "States.HeartbeatTimeout"
    alive = stepfunctions._invoke_with_callback("", {}, "alive", {"HeartbeatSeconds": 0.3})
    assert alive["error"] is None


@pytest.mark.parametrize("place", ["the log of task", "a trace", "the table", "an execution", "a status", "an answer"])
@pytest.mark.parametrize("what", ["token", "secret"])
def test_a_leak_is_noticed_wherever_it_is(place: str, what: str, tmp_path: Path) -> None:
    value = {"token": "token-of-a-task", "secret": "secret-of-the-webhook"}[what]

    def at(there: str) -> str:
        return value if there == place else "nothing"

    traces = tmp_path / "traces.jsonl"
    traces.write_text(f"before: {value}\n")
    offset = traces.stat().st_size
    traces.write_text(traces.read_text() + at("a trace"))
    rig = SimpleNamespace(
        tokens=lambda: ["token-of-a-task"],
        secrets={"secret-of-the-webhook"},
        stack=SimpleNamespace(traces=traces),
        info=SimpleNamespace(idempotency_table="table"),
        dynamodb=SimpleNamespace(scan=lambda TableName: {"Items": [at("the table")]}),  # noqa: N803 - boto3's name
        log=lambda function, since: [at(f"the log of {function}")],
    )
    trial = SimpleNamespace(
        rig=rig,
        began_ms=0,
        trace_offset=offset,
        answers=[at("an answer")],
        executions=lambda: [SimpleNamespace(text=at("an execution"))],
        posted=lambda: [at("a status")],
    )
    assert drill._leaks(trial, ()) == [f"a {what} is in {place}"]
