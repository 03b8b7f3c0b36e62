"""Two deliveries through the deployed stack, and what they leave behind."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from shared.job import JOB_MAX_BYTES, Job, Outcome
from shared.telemetry import fingerprint

if TYPE_CHECKING:
    from pathlib import Path

    from local.flow import Flow
    from tests.e2e.conftest import Deployed

FUNCTIONS = ("webhook", "task", "processor")


@pytest.fixture(params=["synchronize", "build"])
def done(request: pytest.FixtureRequest) -> Flow:
    flow: Flow = request.getfixturevalue(request.param)
    return flow


def test_nothing_is_left_in_the_machines_temporary_folder(
    deployed: Deployed, done: Flow, machines_temporary_folder: Path
) -> None:
    assert [one.name for one in machines_temporary_folder.iterdir()] == []


def test_the_execution_succeeds_with_the_outcome_of_its_job(deployed: Deployed, done: Flow) -> None:
    assert (done.http_status, done.answer) == (202, {"result": "started", "execution": done.delivery_id})
    assert done.status == "SUCCEEDED", (done.error, done.cause)
    outcome = Outcome.read(done.output)
    assert (outcome.action, outcome.delivery_id) == (done.action, done.delivery_id)
    assert outcome.conclusion == "success", outcome.summary


def test_the_input_is_a_small_job(deployed: Deployed, done: Flow) -> None:
    execution = deployed.client("stepfunctions").describe_execution(executionArn=done.execution_arn)
    assert len(execution["input"].encode()) <= JOB_MAX_BYTES
    job = Job.read_json(execution["input"])
    assert job.pull_request.head.sha == deployed.github.pull_request().head_sha


def test_the_pull_request_shows_pending_then_success(deployed: Deployed, done: Flow) -> None:
    sha = deployed.github.pull_request().head_sha
    states = [
        one["state"]
        for one in deployed.github.statuses()
        if (one["sha"], one["context"]) == (sha, f"pullback/{done.action}")
    ]
    assert states[:2] == ["pending", "success"]


def test_the_bundle_is_what_its_manifest_says(deployed: Deployed, build: Flow) -> None:
    artifacts = Outcome.read(build.output).artifacts
    s3 = deployed.client("s3")
    sha = deployed.github.pull_request().head_sha
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=deployed.stack.info.artifact_bucket)["Contents"]]
    (manifest_key,) = [key for key in keys if key.endswith(f"{sha}/manifest.json")]
    (bundle_key,) = [key for key in keys if key.endswith(f"{sha}/bundle.tar.gz")]
    assert bundle_key in json.dumps(artifacts)

    def content(key: str) -> bytes:
        body: bytes = s3.get_object(Bucket=deployed.stack.info.artifact_bucket, Key=key)["Body"].read()
        return body

    manifest, bundle = json.loads(content(manifest_key)), content(bundle_key)
    assert manifest["sha"] == sha
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(bundle))) as archive:
        held = {
            member.name: hashlib.sha256(archive.extractfile(member).read()).hexdigest()  # type: ignore[union-attr]
            for member in archive
            if member.isreg()
        }
    assert held == {file["path"]: file["sha256"] for file in manifest["files"]}
    assert held


def test_the_same_commit_gives_the_same_bytes(deployed: Deployed, build: Flow) -> None:
    again = deployed.run("build")
    assert again.status == "SUCCEEDED"
    assert again.output is not None
    assert build.output is not None
    assert again.output["artifacts"] == build.output["artifacts"]


def test_one_trace_from_the_entrance_to_the_callback(done: Flow) -> None:
    assert len(done.trace_ids) == 1
    by_id = {one.id: one for one in done.segments}

    def only(**wanted: str) -> Any:
        (found,) = [one for one in done.segments if all(getattr(one, key) == value for key, value in wanted.items())]
        return found

    def ancestors(segment: Any) -> list[str]:
        names = []
        while segment.parent_id in by_id:
            segment = by_id[segment.parent_id]
            names.append(segment.label)
        return names

    callback = only(operation="SendTaskSuccess")
    chain = [name for name in ancestors(callback) if name != "stepfunctions"]
    assert chain == ["processor", "Invoke", "task", "StartExecution", "webhook", "api gateway"]


def test_the_hops_are_annotated(done: Flow) -> None:
    for function in FUNCTIONS:
        (segment,) = [one for one in done.segments if one.service == function]
        assert segment.annotations["delivery_id"] == done.delivery_id
        assert segment.annotations["action"] == done.action
        assert segment.annotations["pull_request"] == 7


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_log_line_of_every_hop_carries_the_delivery(deployed: Deployed, synchronize: Flow, function: str) -> None:
    lines = [line for line in deployed.log_lines(function) if "message" in line and "level" in line]
    (request_id,) = {
        line["function_request_id"] for line in lines if line.get("delivery_id") == synchronize.delivery_id
    }
    of_this_invocation = [line for line in lines if line["function_request_id"] == request_id]
    assert of_this_invocation
    assert {line.get("delivery_id") for line in of_this_invocation} == {synchronize.delivery_id}
    assert {line["service"] for line in of_this_invocation} == {function}


@pytest.mark.parametrize(
    ("function", "metric"),
    [("webhook", "DeliveryStarted"), ("task", "TaskDispatched"), ("processor", "WorkSucceeded")],
)
def test_metrics_are_emitted(deployed: Deployed, synchronize: Flow, function: str, metric: str) -> None:
    emitted = [line for line in deployed.log_lines(function) if metric in line]
    assert emitted
    (directive,) = emitted[0]["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == f"Pullback/{deployed.stack.info.stack_name}"
    assert ["service"] in directive["Dimensions"]


CANARY_TOKEN = "AAAAKgAAAAIAAAAAAAAAAcanary" * 8


@pytest.fixture(scope="module")
def invoked_with_canary(deployed: Deployed, synchronize: Flow) -> list[dict[str, Any]]:
    """What task function and processor answer to a token that no execution waits for, and to broken events with it."""
    execution = deployed.client("stepfunctions").describe_execution(executionArn=synchronize.execution_arn)
    event = {**json.loads(execution["input"]), "taskToken": CANARY_TOKEN}
    events = [event, event, {**event, "action": "no_such_action"}, {**event, "pull_request": CANARY_TOKEN}]
    answers = []
    for function in ("TaskFunction", "ProcessorFunction"):
        for one in events:
            answer = deployed.invoke(function, one)
            answers.append({"error": answer.get("FunctionError"), "payload": answer["Payload"].read().decode()})
    return answers


def test_the_token_and_the_secrets_are_nowhere(
    deployed: Deployed, synchronize: Flow, build: Flow, invoked_with_canary: list[dict[str, Any]]
) -> None:
    # The embedded AWS' own record of calls is where the tokens that were used can be learned.
    trail = deployed.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "SendTaskSuccess"}]
    )
    used = {json.loads(one["CloudTrailEvent"])["requestParameters"]["taskToken"] for one in trail["Events"]}
    lines = deployed.log_lines("processor")
    fingerprints = {line["token_fingerprint"] for line in lines if "token_fingerprint" in line}
    assert {fingerprint(token) for token in used} <= fingerprints, "the test looks for the tokens that were used"
    assert len(used) >= 2
    assert fingerprint(CANARY_TOKEN) in fingerprints
    places = {
        "logs": json.dumps([deployed.log_lines(function) for function in FUNCTIONS], default=str),
        "traces": deployed.stack.traces.read_text(),
        "table": json.dumps(
            deployed.client("dynamodb").scan(TableName=deployed.stack.info.idempotency_table)["Items"], default=str
        ),
        "output": json.dumps([synchronize.output, build.output]),
        "statuses": json.dumps(deployed.github.statuses()),
        "answers": json.dumps(invoked_with_canary),
    }
    for place, text in places.items():
        assert len(text) > 50, place
        for secret in {*used, CANARY_TOKEN, deployed.stack.info.webhook_secret, deployed.stack.github_token}:
            assert secret not in text, place
            assert json.dumps(secret)[1:-1] not in text, place
