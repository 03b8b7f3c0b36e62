"""`make trace`: what it reads, what it says, how it ends."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import ANY, Stubber
from rich.console import Console

from local.progress import Progress
from ops.replay.stack import ReplayError
from ops.trace import source
from ops.trace.command import trace
from ops.trace.options import hours
from ops.trace.source import TraceError, XRay
from tests.unit.ops.trace.test_story import DATA, DEPLOYED, KILLED, REPLAYED, document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST, SECOND = "1-6b053835-ae1956eff8e53396058380cc", "1-6b05385d-0c9d5a7be61f4f2a9b3c7e10"
RECORDED = {one["Id"]: one for one in json.loads((DATA / "xray.json").read_text())["Traces"]}


class Operator:
    """Who has the terminal."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def run(self, delivery: str | None = None, **options: Any) -> tuple[int, str]:
        """One call of the command: its exit code, and what it printed."""
        out = io.StringIO()
        progress = Progress(Console(file=out, highlight=False))
        progress.console.width = 160
        given = {"stack": None, "out": None} | options
        return trace(self.directory, progress, delivery, given.pop("stack"), given.pop("out"), **given), out.getvalue()

    def page(self, delivery: str) -> str:
        return (self.directory / f"trace-{delivery}.html").read_text(encoding="utf-8")


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


@pytest.fixture
def recorded(operator: Operator) -> Operator:
    (operator.directory / "traces.jsonl").write_bytes((DATA / "local.jsonl").read_bytes())
    return operator


@pytest.fixture
def xray(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """X-Ray, which answers what it is told to, and nothing else."""
    client = boto3.client("xray", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
    monkeypatch.setattr(
        XRay, "of", lambda directory, stack, hours: XRay(client, stack, f"{stack}-processor", hours), raising=True
    )
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def finds(xray: Stubber, expression: str, *pages: list[dict[str, Any]]) -> None:
    """One search of X-Ray."""
    for number, page in enumerate(pages):
        token = {"NextToken": f"page {number}"} if number else {}
        more = {"NextToken": f"page {number + 1}"} if number + 1 < len(pages) else {}
        xray.add_response(
            "get_trace_summaries",
            {"TraceSummaries": page, **more},
            {"StartTime": ANY, "EndTime": ANY, "FilterExpression": expression, **token},
        )


def gives(xray: Stubber, *trace_ids: str) -> None:
    """One batch of traces."""
    xray.add_response(
        "batch_get_traces",
        {
            "Traces": [
                {
                    "Id": one["Id"],
                    "Segments": [
                        {"Id": segment["Id"], "Document": json.dumps(segment["Document"])}
                        for segment in one["Segments"]
                    ],
                }
                for trace_id in trace_ids
                if (one := RECORDED.get(trace_id))
            ],
            "UnprocessedTraceIds": [],
        },
        {"TraceIds": list(trace_ids)},
    )


OF_DELIVERY = f'annotation.delivery_id = "{DEPLOYED}"'
OF_STACK = 'annotation.Service = "webhook" AND service("pullback-processor")'


def test_a_delivery_of_a_stopped_stack(recorded: Operator) -> None:
    code, told = recorded.run(KILLED)
    assert code == 0
    assert "processor  attempt 2/2  after 2.1 s  success" in told
    assert "trace 2  report of a crash" in told
    assert "Others" not in told
    assert str(recorded.directory / f"trace-{KILLED}.html") in told.replace("\n", "")
    assert KILLED in recorded.page(KILLED)


def test_the_newest_delivery_and_a_list_of_the_others(recorded: Operator) -> None:
    code, told = recorded.run()
    assert code == 0
    assert told.startswith(f"Delivery {REPLAYED}")
    listed = told[told.index("Others") :]
    assert f"{KILLED}  2026-11-24 08:03:17 UTC  octo-org/hello-pullback#26  build" in listed
    assert REPLAYED not in listed[: listed.index("As a page")]


def test_the_page_goes_where_it_is_wanted(recorded: Operator, tmp_path: Path) -> None:
    assert recorded.run(KILLED, out=tmp_path / "here.html")[0] == 0
    assert (tmp_path / "here.html").read_text().startswith("<!doctype html>")
    code, told = recorded.run(KILLED, out=tmp_path / "nowhere" / "here.html")
    assert code == 1
    assert "error: the page cannot be written" in told


def test_a_delivery_that_is_not_there_lists_those_that_are(recorded: Operator) -> None:
    code, told = recorded.run("of-last-week")
    assert code == 2
    assert "error: no delivery of-last-week in" in told
    assert KILLED in told
    assert REPLAYED in told
    assert not list(recorded.directory.glob("*.html"))


@pytest.mark.parametrize("delivery", ["", "../../etc/passwd", 'x" OR annotation.action = "build', "x" * 65])
def test_what_is_no_id_is_not_asked_for(recorded: Operator, delivery: str) -> None:
    code, told = recorded.run(delivery)
    assert code == 2
    assert told.startswith("error: that is no delivery's id")


def test_before_the_first_run(operator: Operator) -> None:
    code, told = operator.run()
    assert code == 1
    assert "no traces yet" in told
    assert "make run" in told
    (operator.directory / "traces.jsonl").write_text(document("a", 0, 1) + "\n")
    code, told = operator.run()
    assert code == 1
    assert "error: no delivery in" in told


def test_a_deployed_delivery_with_its_replay(operator: Operator, xray: Stubber) -> None:
    # Over several pages and windows; the trace that the replay goes on from is of before all windows.
    finds(xray, OF_DELIVERY, [], [{"Id": SECOND}])
    finds(xray, OF_DELIVERY, [])
    finds(xray, OF_DELIVERY, [{"Id": SECOND}])
    gives(xray, SECOND)
    gives(xray, FIRST)
    code, told = operator.run(DEPLOYED, stack="pullback")
    assert code == 0, told
    assert told.index("trace 1  delivery") < told.index("trace 2  replay of trace 1")
    assert "processor  attempt 1/2  failed: GitHubUnavailable" in told
    assert "no segment  attempt 2/2" in told
    assert "X-Ray, stack pullback" in operator.page(DEPLOYED)


def test_traces_are_read_in_fives(operator: Operator, xray: Stubber) -> None:
    ids = sorted([FIRST, *(f"1-6b053835-{number:024x}" for number in range(6))])
    finds(xray, OF_DELIVERY, [{"Id": one} for one in ids])
    gives(xray, *ids[:5])
    gives(xray, *ids[5:])
    assert operator.run(DEPLOYED, stack="pullback", hours=0.1)[0] == 0


def test_the_windows_cover_the_time_and_no_call_more_than_six_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_000_000.0)
    windows = list(XRay(None, "pullback", "machine", 24)._windows())
    assert windows[0] == (1_000_000.0 - 900, 1_000_000.0)
    assert windows[-1][0] == 1_000_000.0 - 24 * 3600
    assert [start for start, _ in windows[:-1]] == [end for _, end in windows[1:]]
    assert max(end - start for start, end in windows) == 6 * 3600


def summary(trace_id: str, **annotations: str | float) -> dict[str, Any]:
    values = {
        name: [{"AnnotationValue": {"StringValue" if isinstance(value, str) else "NumberValue": value}}]
        for name, value in annotations.items()
    }
    return {"Id": trace_id, "Annotations": values}


def test_the_newest_deployed_delivery(operator: Operator, xray: Stubber) -> None:
    about = {"repository": "octo-org/hello-pullback", "pull_request": 7.0, "action": "build"}
    finds(xray, OF_STACK, [])
    finds(
        xray,
        OF_STACK,
        [
            summary("1-6b053800-000000000000000000000001", delivery_id="before-it", **about),
            summary(FIRST, delivery_id=DEPLOYED, **about),
            summary("1-6b053900-000000000000000000000002", Service="webhook"),
            summary("1-6b053900-000000000000000000000003", delivery_id='" OR 1'),
        ],
    )
    for _ in range(3):
        finds(xray, OF_DELIVERY, [{"Id": FIRST}])
    gives(xray, FIRST)
    code, told = operator.run(stack="pullback")
    assert code == 0
    assert told.startswith(f"Delivery {DEPLOYED}")
    assert "before-it  2026-11-24 07:08:48 UTC  octo-org/hello-pullback#7  build" in told


def test_a_deployed_delivery_that_is_not_there(operator: Operator, xray: Stubber) -> None:
    finds(xray, OF_DELIVERY, [])
    finds(xray, OF_STACK, [summary(FIRST, delivery_id="another")])
    code, told = operator.run(DEPLOYED, stack="pullback", hours=0.2)
    assert code == 2
    assert "looked back 0.2 h; HOURS= looks further" in told
    assert "some traces of a busy stack" in told
    assert "another" in told


def test_a_stack_without_deliveries(operator: Operator, xray: Stubber) -> None:
    finds(xray, OF_STACK, [])
    code, told = operator.run(stack="pullback", hours=0.2)
    assert code == 1
    assert "error: no delivery in X-Ray, stack pullback" in told


@pytest.mark.parametrize("operation", ["get_trace_summaries", "batch_get_traces"])
def test_without_permission(operator: Operator, xray: Stubber, operation: str) -> None:
    if operation == "batch_get_traces":
        finds(xray, OF_DELIVERY, [{"Id": FIRST}])
    xray.add_client_error(operation, "AccessDeniedException", "User: arn:aws:iam::123456789012:user/me is not ...")
    code, told = operator.run(DEPLOYED, stack="pullback", hours=0.2)
    assert code == 1
    assert "xray:GetTraceSummaries and xray:BatchGetTraces" in told


def test_other_refusals_are_explained(operator: Operator, xray: Stubber) -> None:
    xray.add_client_error("get_trace_summaries", "ExpiredTokenException")
    code, told = operator.run(DEPLOYED, stack="pullback", hours=0.2)
    assert code == 1
    assert "sign in again" in told


def test_what_xray_did_not_read_is_no_half_a_picture(operator: Operator, xray: Stubber) -> None:
    finds(xray, OF_DELIVERY, [{"Id": FIRST}])
    xray.add_response("batch_get_traces", {"Traces": [], "UnprocessedTraceIds": [FIRST]}, {"TraceIds": [FIRST]})
    code, told = operator.run(DEPLOYED, stack="pullback", hours=0.2)
    assert code == 1
    assert f"X-Ray did not read {FIRST}" in told


def test_a_wrong_stack(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(directory: Path, name: str) -> None:
        raise ReplayError(f"there is no stack {name!r}")

    monkeypatch.setattr(source, "open_stack", refuse)
    code, told = operator.run(DEPLOYED, stack="pulback")
    assert code == 1
    assert "there is no stack 'pulback'" in told


def test_the_stack_s_machine_and_the_region_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Opened:
        state_machine_arn = "arn:aws:states:eu-north-1:123456789012:stateMachine:pullback-processor"

    monkeypatch.setattr(source, "open_stack", lambda directory, name: Opened())
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    opened = XRay.of(tmp_path, "pullback", 6)
    assert opened._client.meta.region_name == "eu-north-1"
    assert opened._state_machine == "pullback-processor"
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(TraceError, match="no region"):
        XRay.of(tmp_path, "pullback", 6)


@pytest.mark.parametrize(("text", "number"), [("6", 6.0), ("0.5", 0.5), ("720", 720.0)])
def test_hours(text: str, number: float) -> None:
    assert hours(text) == number


@pytest.mark.parametrize("text", ["0", "-1", "721", "nan", "inf"])
def test_hours_that_make_no_sense(text: str) -> None:
    with pytest.raises(Exception, match="at most 720"):
        hours(text)
