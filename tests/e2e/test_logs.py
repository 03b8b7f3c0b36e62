"""The saved queries on the log events of the deployed stack: what an operator finds."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from local import log_events
from local.stack import resources
from ops.logs import discover, fill, run
from tests.conftest import ROOT
from tests.infrastructure.test_log_events import documented
from tests.saved_queries import saved_queries

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.flow import Flow
    from local.github import PullRequest
    from local.log_events import LogEvent
    from tests.e2e.conftest import Deployed

QUERIES = saved_queries()
NOT_ON_THE_EMBEDDED_AWS = {"@initDuration"}
"""Fields of log events that it does not write."""


@dataclass(frozen=True)
class Logs:
    """The logs of the stack, with something to find in them."""

    deployed: Deployed
    pull_request: PullRequest
    retried: Flow
    """Its first attempt found GitHub away, its second did not."""
    forged: str
    broken: str
    """Deliveries that were rejected: for their signature, and for what was in them."""

    def events(self, groups: Iterable[str]) -> list[LogEvent]:
        """Everything in log groups that the template names so."""
        names = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources(self.deployed.stack.info)}
        return log_events.read(self.deployed.client("logs"), [names[group] for group in sorted(groups)])

    def find(self, query: str, **parameters: str) -> list[dict[str, Any]]:
        """The rows of a saved query."""
        return self.find_with_lines(query, **parameters)[0]

    def find_with_lines(self, query: str, **parameters: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The rows of a saved query, and the lines of our code that it had to find them in."""
        saved = QUERIES[query]
        events = self.events(saved.log_groups)
        return run(fill(saved.text, parameters), events), lines_of(events)

    def everything(self) -> list[LogEvent]:
        """The log events of all functions."""
        return self.events(QUERIES["one delivery, all hops"].log_groups)


def lines_of(events: list[LogEvent]) -> list[dict[str, Any]]:
    """What our code logged: neither metrics nor Lambda's lines."""
    return [json.loads(event.message) for event in events if event.message.startswith('{"level"')]


@pytest.fixture(scope="module")
def logs(deployed: Deployed, retried: Flow, retried_pull_request: PullRequest) -> Logs:
    forged, broken = str(uuid.uuid4()), str(uuid.uuid4())
    body = deployed.body("synchronize")
    assert deployed.send(body, delivery_id=forged, x_hub_signature_256="sha256=" + "0" * 64)[0] == 401
    assert deployed.send(deployed.body("synchronize", repository=7), delivery_id=broken)[0] == 400
    assert deployed.send(body, event="issues")[1]["result"] == "ignored"
    # Nobody catches what is wrong with this one.
    assert deployed.invoke("TaskFunction", {})["FunctionError"]
    logs = Logs(deployed, retried_pull_request, retried, forged, broken)
    # The lines of an invocation are there when it has ended, which is after its callback.
    deadline = time.monotonic() + 20
    while (rows := logs.find("one delivery, all hops", delivery_id=retried.delivery_id))[-1]["message"] != "work done":
        assert time.monotonic() < deadline, rows
        time.sleep(0.1)
    return logs


def test_every_field_that_a_query_names_is_in_the_logs(logs: Logs) -> None:
    there = {name for event in logs.everything() for name in discover(event)}
    for saved in QUERIES.values():
        assert saved.query.fields <= there | NOT_ON_THE_EMBEDDED_AWS, saved.name
    assert not there & NOT_ON_THE_EMBEDDED_AWS, "it writes them by now"


def test_every_line_is_documented(logs: Logs) -> None:
    (table,) = re.findall(
        r"^## Fields of every line\n(.*?)(?=^## )", (ROOT / "docs/logs.md").read_text(), re.MULTILINE | re.DOTALL
    )
    common = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    events = documented()
    lines = lines_of(logs.everything())
    assert {"delivery accepted", "task dispatched", "work done"} < {line["message"] for line in lines}
    for line in lines:
        event = events[line["message"]]
        assert {line["level"]} == event.levels, line
        assert line["service"] in event.functions, line
        assert line.keys() <= common | event.fields, line


def test_one_delivery_all_hops(logs: Logs) -> None:
    rows = logs.find("one delivery, all hops", delivery_id=logs.retried.delivery_id)
    told: dict[str, list[tuple[str, str, str | None]]] = {}
    for row in rows:
        told.setdefault(row["service"], []).append((row["level"], row["message"], row.get("error")))
    assert told == {
        "webhook": [("INFO", "delivery accepted", None)],
        "task": [("INFO", "task dispatched", None)] * 2,
        "processor": [
            ("INFO", "work started", None),
            ("ERROR", "work failed", "GitHubUnavailable"),
            ("INFO", "work started", None),
            ("INFO", "work done", None),
        ],
    }
    assert [row["@timestamp"] for row in rows] == sorted(row["@timestamp"] for row in rows)
    assert rows[-1]["conclusion"] == "success"
    assert {row["execution"] for row in rows} == {logs.retried.delivery_id}


def test_one_execution_its_attempts(logs: Logs) -> None:
    rows = logs.find("one execution, its attempts", execution=logs.retried.delivery_id)
    assert [row["last_message"] for row in rows if row["service"] == "webhook"] == ["delivery accepted"]
    attempts = [row for row in rows if row["service"] == "processor"]
    assert [(row["last_message"], row["lines"]) for row in attempts] == [("work failed", 2), ("work done", 2)]
    assert attempts[0]["last_seen"] < attempts[1]["first_seen"]
    dispatched = [row for row in rows if row["service"] == "task"]
    assert [row["token_fingerprint"] for row in dispatched] == [row["token_fingerprint"] for row in attempts]
    assert len({row["token_fingerprint"] for row in attempts}) == 2


def test_one_pull_request_its_deliveries(logs: Logs, synchronize: Flow) -> None:
    repository, number = logs.pull_request.full_name, str(logs.pull_request.number)
    (row,) = logs.find("one pull request, its deliveries", repository=repository, pull_request=number)
    assert row["delivery_id"] == logs.retried.delivery_id
    assert (row["action"], row["head_sha"], row["attempts"]) == ("synchronize", logs.pull_request.head_sha, 2)
    assert (row["last_service"], row["last_message"]) == ("processor", "work done")
    others = logs.find("one pull request, its deliveries", repository=repository, pull_request="7")
    assert logs.retried.delivery_id not in {other["delivery_id"] for other in others}
    assert others


def test_slowest_work(logs: Logs) -> None:
    rows, lines = logs.find_with_lines("slowest work")
    took = [line["duration_ms"] for line in lines if line["message"] == "work done"]
    assert [row["duration_ms"] for row in rows] == sorted(took, reverse=True)[:25]
    assert all(row["delivery_id"] and row["repository"] for row in rows)


def test_rejected_deliveries(logs: Logs) -> None:
    rows = {row.get("delivery_id"): row for row in logs.find("rejected deliveries")}
    reasons = {
        delivery: tuple(rows[delivery].get(name) for name in ("status", "result", "field", "github_event"))
        for delivery in (logs.forged, logs.broken)
    }
    assert reasons == {
        logs.forged: (401, "unauthorized", "x-hub-signature-256", None),
        logs.broken: (400, "invalid", "repository", "pull_request"),
    }


def test_errors_by_exception(logs: Logs) -> None:
    rows, lines = logs.find_with_lines("errors by exception")
    (row,) = [row for row in rows if row.get("exception_or_error") == "GitHubUnavailable"]
    away = [line for line in lines if line.get("exception_name") == "GitHubUnavailable"]
    assert (row["service"], row["message"], row["errors"]) == ("processor", "work failed", len(away))
    assert row["first_seen"] <= row["last_seen"]
    assert sum(row["errors"] for row in rows) == sum(line["level"] == "ERROR" for line in lines)


def test_errors_by_repository(logs: Logs) -> None:
    rows, lines = logs.find_with_lines("errors by repository")
    repository = logs.pull_request.full_name
    (row,) = [row for row in rows if (row["repository"], row["message"]) == (repository, "work failed")]
    failed = [line for line in lines if (line.get("repository"), line["message"]) == (repository, "work failed")]
    assert row["errors"] == len(failed)
    assert row["deliveries"] == len({line["delivery_id"] for line in failed})


def test_log_events_by_level(logs: Logs) -> None:
    rows, lines = logs.find_with_lines("log events by level")
    assert {(row["level"], row["service"], row["message"]): row["events"] for row in rows} == Counter(
        (line["level"], line["service"], line["message"]) for line in lines
    )
    assert ("ERROR", "processor", "work failed") in {(row["level"], row["service"], row["message"]) for row in rows}


def test_time_memory_and_cold_starts_by_function(logs: Logs) -> None:
    rows, lines = logs.find_with_lines("time, memory and cold starts by function")
    by_function = {row["@log"].rpartition("-")[2]: row for row in rows}
    assert {name: by_function[name]["memory_mb"] for name in ("webhook", "task", "processor")} == {
        "webhook": 512,
        "task": 256,
        "processor": 1024,
    }
    for name in ("webhook", "task", "processor"):
        row = by_function[name]
        invocations = {line["function_request_id"] for line in lines if line["service"] == name}
        assert row["invocations"] >= len(invocations) > 0
        assert 0 < row["p50_ms"] <= row["p99_ms"] <= row["longest_ms"]


def test_invocations_that_died(logs: Logs) -> None:
    rows = logs.find("invocations that died")
    assert any(row["@log"].endswith("-task") and "Traceback" in row["@message"] for row in rows)
    assert not any(row["@message"].startswith("{") for row in rows), "what our code caught is told by errors"


def test_the_embedded_aws_finds_the_same_as_far_as_it_understands(logs: Logs) -> None:
    """Its own evaluation knows fields and filters of ``@`` alone; there it agrees."""
    query = (
        "fields @timestamp, @message, @logStream | filter @message like /delivery rejected/ "
        f"| filter @message like /{logs.forged}|{logs.broken}/ | sort @timestamp asc | limit 20"
    )
    client, group = logs.deployed.client("logs"), f"/aws/lambda/{logs.deployed.stack.info.stack_name}-webhook"
    started = client.start_query(logGroupName=group, queryString=query, startTime=0, endTime=int(time.time()) + 1)
    answer = client.get_query_results(queryId=started["queryId"])
    theirs = [{one["field"]: one["value"] for one in row} for row in answer["results"]]
    ours = run(query, log_events.read(client, [group]))
    assert len(ours) == 2
    # Its times are those at which invocations ended.
    assert [(row["@message"], row["@logStream"]) for row in ours] == [
        (row["@message"], row["@logStream"]) for row in theirs
    ]
