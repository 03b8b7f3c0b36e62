"""What makes a start fast changes nothing that is seen: logs, metrics and trace segments, field by field.

Plain is each of it undone: the whole of the dependencies as they are installed, their own descriptions of AWS, no
bytecode of ours, a session for each client, the collector of garbage as Python has it.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import sysconfig
import threading
from pathlib import Path
from typing import Any

import pytest

from benchmarks.runtime_api import run
from tests.dead_work import TOKEN, sqs_event, task_event
from tests.infrastructure.test_runtime_client import SCHEDULED
from tests.integration.webhook.test_webhook_on_moto import BODY, request

FUNCTIONS = Path(__file__).resolve().parents[2] / "functions"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the runtime client is for Linux")

PLAIN = """
import gc, importlib, os

import boto3

task_root = os.environ.pop("LAMBDA_TASK_ROOT")
import shared.start
os.environ["LAMBDA_TASK_ROOT"] = task_root
import shared.aws
shared.aws._session = boto3.session.Session
lambda_handler = importlib.import_module(os.environ["PLAIN_HANDLER"].rpartition(".")[0]).lambda_handler
assert gc.isenabled() and not gc.get_freeze_count()
"""
VOLATILE = {
    "timestamp",
    "Timestamp",
    "start_time",
    "end_time",
    "id",
    "parent_id",
    "subsegments",
    "request_id",
    "function_request_id",
    "duration_ms",
    "message_id",
    "OldestExecutionAge",
    # Which Python, and where the error went through.
    "exception",
    "stack",
    "stack_trace",
    "stackTrace",
    "requestId",
    "paths",
    "working_directory",
}
"""Names of values that two runs of the very same function do not share."""


class Daemon:
    """X-Ray's daemon, as far as a function sees it: a UDP port, and what came there."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.segments: list[dict[str, Any]] = []
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.socket.getsockname()[1]}"

    def _listen(self) -> None:
        while packet := self.socket.recv(65_536):
            self.segments.append(json.loads(packet.split(b"\n", 1)[1]))

    def stop(self) -> None:
        # An empty packet ends it, after those that came before.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", self.socket.getsockname())
        self.thread.join(5)
        self.socket.close()


@pytest.fixture(scope="module")
def plain_path(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("plain")
    (directory / "plain.py").write_text(PLAIN)
    return [directory, FUNCTIONS, Path(sysconfig.get_path("purelib"))]


def events_of(function: str, job: dict[str, Any], run_name: str) -> list[Any]:
    if function == "WebhookFunction":
        return [
            request(BODY, headers={"X-GitHub-Delivery": f"delivery-{run_name}"}),
            request(BODY, headers={"X-GitHub-Delivery": f"delivery-{run_name}"}),
            request(BODY, secret="somebody else's"),
        ]
    if function in ("TaskFunction", "ProcessorFunction"):
        return [task_event(job), {"action": 1}]
    if function in ("WatchFunction", "SweeperFunction"):
        return [SCHEDULED]
    return [sqs_event("no JSON at all", queue="queue")]


def seen(
    handler: str, paths: list[Path], events: list[Any], environ: dict[str, str], run_name: str
) -> dict[str, list[Any]]:
    """Everything that one run shows, without what no two runs share."""
    daemon = Daemon()
    answers = run(handler, paths, events, environ | {"AWS_XRAY_DAEMON_ADDRESS": daemon.address})
    daemon.stop()
    lines = [json.loads(line) for line in answers[-1].log.splitlines() if line.startswith("{")]
    segments = sorted(flat(daemon.segments), key=lambda one: one["start_time"])
    assert lines
    assert segments
    told = {
        "answers": [[one.kind, one.body] for one in answers],
        "log": [line for line in lines if "_aws" not in line],
        "metrics": [line for line in lines if "_aws" in line],
        "segments": segments,
    }
    text = re.sub(rf"delivery-{run_name}", "delivery", json.dumps(told))
    return dict(json.loads(text, object_hook=_lasting))


def flat(segments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for one in segments:
        found += [one, *flat(one.get("subsegments", []))]
    return found


def _lasting(value: dict[str, Any]) -> dict[str, Any]:
    return {
        name: re.sub(r":\d+$", "", held) if name == "location" else held
        for name, held in value.items()
        if name not in VOLATILE
    }


@pytest.mark.parametrize(
    "function",
    [
        "WebhookFunction",
        "TaskFunction",
        "ProcessorFunction",
        "CrashFunction",
        "ClosingFunction",
        "ReplayFunction",
        "WatchFunction",
    ],
)
def test_as_shipped_everything_is_told_as_plain(
    function: str,
    local_package: Path,
    plain_path: list[Path],
    variables: dict[str, str],
    resources: dict[str, Any],
    job_data: dict[str, Any],
) -> None:
    properties = resources[function]["Properties"]
    layers = ["DependenciesLayer", "GitHubLayer"][: len(properties["Layers"])]
    shipped_path = [local_package / function, *(local_package / layer / "python" for layer in layers)]
    environ = variables | {"AWS_LAMBDA_FUNCTION_NAME": function, "PLAIN_HANDLER": properties["Handler"]}
    shipped = seen(properties["Handler"], shipped_path, events_of(function, job_data, "a"), environ, "a")
    plain = seen("plain.lambda_handler", plain_path, events_of(function, job_data, "b"), environ, "b")
    assert TOKEN not in json.dumps(shipped)
    for what in plain:
        assert shipped[what] == plain[what], what
