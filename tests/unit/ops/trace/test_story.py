"""What is made of segment documents: attempts, replays, waits, the scale.

tests/data/traces/local.jsonl was recorded by `make chaos`: a processor that was killed and its second attempt, and a
delivery that was replayed twice. tests/data/traces/xray.json is made by hand after X-Ray's documents: a first attempt
that failed, a second one that was killed while the execution goes on, and a replay.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from local import traces
from local.story import LOST, Axis, story
from local.waterfall import waterfall
from ops.trace.page import render

if TYPE_CHECKING:
    from local.story import Row, Trace

DATA = Path(__file__).resolve().parents[3] / "data" / "traces"
KILLED = "57c3648e-9f70-40e5-b158-5bb8ea9e460e"
REPLAYED = "410a1d5d-9402-46fe-a6f8-288a881d41d5"
DEPLOYED = "3f2c1a60-8d7b-11f0-9c3e-5a1f0e7b2c4d"
START = 1795504181.0


def local(delivery_id: str) -> list[Trace]:
    return story(traces.of_delivery(traces.read_all(DATA / "local.jsonl"), delivery_id))


def xray_documents() -> list[str]:
    recorded = json.loads((DATA / "xray.json").read_text())
    return [json.dumps(segment["Document"]) for trace in recorded["Traces"] for segment in trace["Segments"]]


def deployed() -> list[Trace]:
    return story(traces.parse(xray_documents()))


def rows_of(trace: Trace, *services: str) -> list[Row]:
    return [row for row in trace.rows if row.segment.service in services]


def document(own_id: str, start: float, end: float | None = None, **more: Any) -> str:
    """A segment document; times in seconds after START."""
    times = {"start_time": START + start} | ({} if end is None else {"end_time": START + end})
    return json.dumps({"id": own_id, "trace_id": "1-6b053835-ae1956eff8e53396058380cc", "name": own_id} | times | more)


def told(*documents: str) -> list[Row]:
    (trace,) = story(traces.parse(documents))
    return trace.rows


def test_attempts_are_numbered_and_say_what_came_of_them() -> None:
    (delivery, crash) = local(KILLED)
    assert [(row.label, row.marks) for row in rows_of(delivery, "task", "processor")] == [
        ("task", ["attempt 1/2", "after 0.2 s"]),
        ("task", ["attempt 2/2", "after 0.1 s"]),
        ("processor", ["attempt 2/2", "after 2.1 s", "success"]),
    ]
    assert crash.title == "report of a crash"
    assert all(row.attempt is None for row in crash.rows)


def test_a_killed_processor_is_shown_by_its_calls() -> None:
    (delivery, _) = local(KILLED)
    (lost,) = [row for row in delivery.rows if row.is_lost]
    at = delivery.rows.index(lost)
    assert (lost.attempt, lost.attempts, lost.kind) == (1, 2, "lost")
    assert lost.bad_marks == ["died, or still at work"]
    assert (delivery.rows[at - 1].label, delivery.rows[at - 1].depth) == ("Invoke", lost.depth - 1)
    calls = [row.label for row in delivery.rows[at + 1 :] if row.depth > lost.depth][:2]
    assert calls == ["SendTaskHeartbeat", "PutItem"]


def test_replays_name_the_trace_that_they_go_on_from() -> None:
    assert [trace.title for trace in local(REPLAYED)] == ["delivery", "replay of trace 1", "replay of trace 1"]


def test_a_replay_of_a_trace_that_is_not_there_names_its_id() -> None:
    link = "1-6b054ad0-44079a2cf84d227ae8b0640e"
    (trace,) = story(traces.parse([document("replay", 0, 1, annotations={"Service": "replay", "follows_trace": link})]))
    assert trace.title == f"replay of {link}"


def test_the_followed_trace_belongs_to_the_delivery() -> None:
    """The webhook's trace need not be annotated: the link is enough, over several replays."""
    ids = [f"1-6b053835-{number:024x}" for number in range(4)]
    documents = [
        document("a", 0, 1, trace_id=ids[0]),
        document("b", 2, 3, trace_id=ids[1], annotations={"follows_trace": ids[0]}),
        document("c", 4, 5, trace_id=ids[2], annotations={"delivery_id": "mine", "follows_trace": ids[1]}),
        document("d", 6, 7, trace_id=ids[3], annotations={"delivery_id": "another"}),
    ]
    assert [one.id for one in traces.of_delivery(traces.parse(documents), "mine")] == ["a", "b", "c"]


def test_the_same_delivery_twice_is_delivered_again() -> None:
    webhook = {"annotations": {"Service": "webhook"}}
    other = "1-6b053835-000000000000000000000001"
    documents = [document("a", 0, 1, **webhook), document("b", 5, 6, trace_id=other, **webhook)]
    assert [trace.title for trace in story(traces.parse(documents))] == ["delivery", "delivered again"]


def test_xray_s_documents_tell_the_same() -> None:
    delivery, replay = deployed()
    assert (delivery.title, replay.title) == ("delivery", "replay of trace 1")
    assert [(row.label, row.marks) for row in rows_of(delivery, "webhook", "task", "processor")] == [
        ("webhook", []),
        ("task", ["attempt 1/2"]),
        ("processor", ["attempt 1/2", "failed: GitHubUnavailable"]),
        ("task", ["attempt 2/2", "after 9.8 s"]),
    ]
    (lost,) = [row for row in delivery.rows if row.is_lost]
    assert (lost.attempt, lost.attempts) == (2, 2)
    above = [row for row in delivery.rows[: delivery.rows.index(lost)] if row.depth == lost.depth - 1][-1]
    assert (above.segment.origin, above.segment.problem) == ("AWS::Lambda::Function", "fault")
    assert above.segment.cause == (
        "Runtime.ExitError: RequestId: inv Error: Runtime exited with error: signal: killed",
    )
    assert [row.outcome for row in rows_of(replay, "processor")] == ["success"]
    assert [row.label for row in replay.rows][:2] == ["SQS", "pullback-ReplayFunction"]


def test_a_call_that_xray_infers_again_is_shown_once() -> None:
    delivery, _ = deployed()
    assert [row.label for row in delivery.rows].count("GetSecretValue") == 1
    assert "secretsmanager" not in [row.label for row in delivery.rows]
    # But one that others hang from is kept.
    rows = told(document("a", 0, 1, inferred=True), document("b", 0, 1, parent_id="a"))
    assert [(row.label, row.depth) for row in rows] == [("a", 0), ("b", 1)]


def test_what_is_in_progress_lasts_as_long_as_is_known() -> None:
    delivery, _ = deployed()
    (machine,) = [row for row in delivery.rows if row.label == "pullback-processor"]
    assert machine.took == "≥ 18954 ms"
    assert "in progress" in machine.marks


def test_the_finished_document_replaces_the_one_in_progress() -> None:
    open_, done = document("a", 0, in_progress=True), document("a", 0, 2)
    for order in ([open_, done], [done, open_]):
        (row,) = told(*order)
        assert row.took == "2000 ms"


def test_a_caller_does_not_last_as_long_as_what_it_started() -> None:
    rows = told(document("a", 0, 1), document("b", 5, 6, parent_id="a"))
    assert [row.took for row in rows] == ["1000 ms", "1000 ms"]


@pytest.mark.parametrize("time", ["-1", "1e300", "NaN", "Infinity", "null", '"soon"', "[]"])
def test_what_is_no_time(time: str) -> None:
    named = '"id": "a", "trace_id": "1-x", "name": "a"'
    assert traces.parse([f'{{{named}, "start_time": {time}, "end_time": {START}}}']) == []
    (one,) = traces.parse([f'{{{named}, "start_time": {START}, "end_time": {time}}}'])
    assert (one.in_progress, one.end) == (True, START)


def test_read_gives_what_is_finished(tmp_path: Path) -> None:
    """`make run` waits until the processor's segment is there, which is its end."""
    file = tmp_path / "traces.jsonl"
    file.write_text("\n".join([document("a", 0, 1), document("b", 0, in_progress=True), document("c", 0), '{"id": "d']))
    assert [one.id for one in traces.read(file)] == ["a"]
    assert [one.id for one in traces.read_all(file)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("flags", "kind", "marks"),
    [
        ({"fault": True, "http": {"response": {"status": 503}}}, "fault", ["fault 503"]),
        ({"fault": True, "error": True, "http": {"response": {"status": 400}}}, "refused", ["error 400"]),
        ({"throttle": True, "error": True, "http": {"response": {"status": 429}}}, "refused", ["throttle 429"]),
        ({"http": {"response": {"status": 200}}}, "call", []),
    ],
)
def test_a_refusal_is_no_fault(flags: dict[str, Any], kind: str, marks: list[str]) -> None:
    (row,) = told(document("a", 0, 1, aws={"operation": "PutItem"}, **flags))
    assert (row.kind, row.marks) == (kind, marks)


def test_an_attempt_that_reported_its_failure_is_red_although_its_function_did_well() -> None:
    rows = told(
        document("p", 0, 1, annotations={"Service": "processor"}),
        document("c", 0.5, 0.6, parent_id="p", aws={"operation": "SendTaskFailure"}),
    )
    assert (rows[0].kind, rows[0].outcome, rows[0].bad_marks) == ("fault", "failed", ["failed"])


def test_a_killed_task_function_is_an_attempt_too() -> None:
    rows = told(
        document("s", 0, 0.1, aws={"operation": "StartExecution"}),
        document("x", 0.2, 0.3, parent_id="never sent", aws={"operation": "PutItem"}),
        document("t", 2, 2.1, parent_id="s", annotations={"Service": "task"}),
    )
    assert [(row.segment.name, row.depth, row.attempt) for row in rows] == [
        ("s", 0, None),
        (LOST, 1, 1),
        ("x", 2, None),
        ("t", 1, 2),
    ]


def test_the_lost_function_hangs_from_its_invocation_not_from_what_lambda_did_besides() -> None:
    overhead = {"id": "overhead", "name": "Overhead", "start_time": START + 1.5, "end_time": START + 1.6}
    rows = told(
        document("task", 0, 2, origin="AWS::Lambda::Function", subsegments=[overhead]),
        document("h", 0.1, 1.4, parent_id="task", annotations={"Service": "task"}),
        document("killed", 1, 3, origin="AWS::Lambda::Function"),
        document("x", 2, 2.1, parent_id="never sent", aws={"operation": "PutItem"}),
    )
    (lost,) = [row for row in rows if row.is_lost]
    assert lost.segment.parent_id == "killed"


def test_the_second_attempt_in_a_warm_worker_is_shown_where_it_belongs() -> None:
    """The X-Ray SDK says that the first attempt called it."""
    rows = told(
        document("t", 0, 1, annotations={"Service": "task"}),
        document("i", 0.5, 0.6, parent_id="t", name="lambda", aws={"operation": "Invoke"}),
        document("p", 1, 2, parent_id="i", annotations={"Service": "processor", "error": "GitHubUnavailable"}),
        document("u", 10, 11, annotations={"Service": "task"}),
        document("j", 10.5, 10.6, parent_id="u", name="lambda", aws={"operation": "Invoke"}),
        document("q", 11, 12, parent_id="i", annotations={"Service": "processor", "conclusion": "success"}),
        document("r", 13, 14, parent_id="i", annotations={"Service": "processor"}),
    )
    assert [(row.segment.id, row.attempt, row.depth) for row in rows] == [
        ("t", 1, 0),
        ("i", None, 1),
        ("p", 1, 2),
        # Lambda may bring an event twice: without an invocation of its own it stays where it says.
        ("r", 1, 2),
        ("u", 2, 0),
        ("j", None, 1),
        ("q", 2, 2),
    ]


def test_so_it_is_on_aws() -> None:
    function = {"origin": "AWS::Lambda::Function", "name": "pullback-TaskFunction"}
    rows = told(
        document("s", 0, 0.1, aws={"operation": "StartExecution"}),
        document("f", 1, 2, parent_id="s", **function),
        document("t", 1.1, 1.9, parent_id="f", annotations={"Service": "task"}),
        document("g", 5, 6, parent_id="s", **function),
        document("other", 5, 6, parent_id="s", origin="AWS::Lambda::Function"),
        document("u", 5.1, 5.9, parent_id="f", annotations={"Service": "task"}),
    )
    assert {row.segment.id: row.segment.parent_id for row in rows if row.attempt} == {"t": "f", "u": "g"}


def test_executions_are_counted_for_themselves() -> None:
    """A redelivery starts a second execution; its first attempt is no retry."""
    rows = told(
        *(document(name, at, at + 0.1, aws={"operation": "StartExecution"}) for name, at in (("s", 0), ("z", 3))),
        document("t", 1, 1.1, parent_id="s", annotations={"Service": "task"}),
        document("u", 4, 4.1, parent_id="z", annotations={"Service": "task"}),
    )
    assert [row.attempt for row in rows] == [None, None, None, None]


def test_callers_in_a_circle_are_shown_once() -> None:
    rows = told(
        document("a", 0, 1, parent_id="b"), document("b", 0, 1, parent_id="a"), document("c", 0, 1, parent_id="c")
    )
    assert sorted(row.segment.id for row in rows) == ["a", "b", "c"]


def test_the_scale_is_linear_while_waits_are_short() -> None:
    axis = Axis(told(document("a", 0, 1), document("b", 3, 4)))
    assert not axis.folds
    assert [axis.at(START + second) for second in (0, 1, 2, 4, 9)] == pytest.approx([0, 0.25, 0.5, 1, 1])


def test_long_waits_are_folded_and_short_ones_keep_their_length() -> None:
    axis = Axis(told(document("a", 0, 1), document("b", 1.25, 2), document("c", 602, 603)))
    (fold,) = axis.folds
    assert fold.seconds == pytest.approx(600)
    # 2.75 s ran; the gaps get as much room: 0.25 s for the short one, what is left for the long one.
    assert [fold.at, fold.width] == pytest.approx([2 / 5.5, 2.5 / 5.5])
    assert axis.at(START + 1.25) - axis.at(START + 1) == pytest.approx(0.25 / 5.5)
    assert axis.time(axis.at(START + 602.5)) == pytest.approx(START + 602.5)


@pytest.mark.parametrize("origin", ["AWS::StepFunctions::StateMachine", "AWS::Lambda", "AWS::SQS::Queue"])
def test_what_only_waits_is_folded_too(origin: str) -> None:
    """Step Functions' segment covers the whole execution, Lambda's own the time in its queue."""
    rows = told(document("a", 0, 100, origin=origin), document("b", 0, 1, parent_id="a"), document("c", 99, 100))
    assert [fold.seconds for fold in Axis(rows).folds] == pytest.approx([98])


def test_nothing_has_a_scale_and_a_waterfall_too() -> None:
    assert Axis([]).at(5.0) == 0
    assert waterfall([]).row_count == 0
    (row,) = told(document("a", 0, 0))
    assert Axis([row]).at(START) == 0


def test_the_terminal_s_waterfall_shows_attempts_waits_and_bars() -> None:
    out = io.StringIO()
    segments = traces.of_delivery(traces.read(DATA / "local.jsonl"), KILLED)
    Console(width=130, file=out).print(waterfall(segments))
    (line,) = [line for line in out.getvalue().splitlines() if "processor" in line]
    assert "attempt 2/2  after 2.1 s  success" in line
    assert "6198 ms" in line
    assert "·········████" in line


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
odd_documents = st.fixed_dictionaries(
    {"id": st.sampled_from(["a", "b", "c"]), "trace_id": st.sampled_from(["1-x", "1-y"]), "start_time": st.just(START)},
    optional={
        "end_time": st.floats(START, START + 9) | json_values,
        "parent_id": st.sampled_from(["a", "b", "c", "d"]) | json_values,
        "name": json_values,
        "origin": st.sampled_from(["AWS::Lambda::Function", "AWS::Lambda"]) | json_values,
        "aws": st.fixed_dictionaries({"operation": st.sampled_from(["Invoke", "StartExecution"]) | json_values})
        | json_values,
        "annotations": st.dictionaries(
            st.sampled_from(
                ["Service", "conclusion", "error", "follows_trace", "repository", "pull_request", "action"]
            ),
            st.sampled_from(["task", "processor", "webhook", "replay", "crash"]) | json_values,
        )
        | json_values,
        "http": json_values,
        "cause": json_values,
        "inferred": json_values,
        "in_progress": json_values,
        "subsegments": json_values,
    },
)


@given(st.lists(odd_documents | json_values, max_size=6))
def test_no_document_breaks_it(documents: list[Any]) -> None:
    segments = traces.parse(json.dumps(one) for one in documents)
    shown = story(segments)
    assert {row.segment.id for trace in shown for row in trace.rows} >= {
        one.id for one in segments if not one.is_inferred
    }
    Console(width=100, file=io.StringIO()).print(waterfall(segments))
    if shown:
        render("d", shown, "nowhere").encode()
