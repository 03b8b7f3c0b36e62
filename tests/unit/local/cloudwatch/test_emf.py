"""The embedded metric format: what becomes a sample, and what an error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit
from hypothesis import given
from hypothesis import strategies as st

from local.cloudwatch import emf
from local.cloudwatch.series import MetricId, Sample

if TYPE_CHECKING:
    from collections.abc import Callable

NOW_MS = 1_800_000_000_000


def document(**changes: Any) -> dict[str, Any]:
    """One metric ``Depth`` of 3 seconds, by ``service``."""
    directive = {
        "Namespace": "Pullback",
        "Dimensions": [["service"]],
        "Metrics": [{"Name": "Depth", "Unit": "Count"}],
    }
    return {
        "_aws": {"Timestamp": NOW_MS - 1500, "CloudWatchMetrics": [directive]},
        "service": "webhook",
        "action": "build",
        "Depth": 3,
    } | changes


def directive_of(made: dict[str, Any]) -> dict[str, Any]:
    directive: dict[str, Any] = made["_aws"]["CloudWatchMetrics"][0]
    return directive


def read(*documents: Any) -> emf.Extracted:
    return emf.read((NOW_MS, json.dumps(one)) for one in documents)


def test_a_metric_is_a_sample_at_the_time_that_the_document_names() -> None:
    extracted = read(document())
    assert extracted == emf.Extracted(
        [Sample(MetricId.of("Pullback", "Depth", {"service": "webhook"}), NOW_MS / 1000 - 1.5, 3.0, unit="Count")]
    )


def test_what_powertools_writes_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Metrics(namespace="Pullback", service="processor")
    metrics.add_metric("WorkDuration", MetricUnit.Milliseconds, 12.5)
    metrics.add_metric("WorkDuration", MetricUnit.Milliseconds, 20)
    metrics.add_metric("WorkFailed", MetricUnit.Count, 0)
    metrics.flush_metrics()
    line = capsys.readouterr().out
    extracted = emf.read([(json.loads(line)["_aws"]["Timestamp"], line)])
    assert (extracted.parsing_errors, extracted.validation_errors) == (0, 0)
    service = {"service": "processor"}
    assert [(sample.metric, sample.value, sample.unit) for sample in extracted.samples] == [
        (MetricId.of("Pullback", "WorkDuration", service), 12.5, "Milliseconds"),
        (MetricId.of("Pullback", "WorkDuration", service), 20.0, "Milliseconds"),
        (MetricId.of("Pullback", "WorkFailed", service), 0.0, "Count"),
    ]


def test_each_set_of_dimensions_of_each_directive_is_a_metric_of_its_own() -> None:
    made = document(Age=[1, 2])
    directive_of(made)["Dimensions"] = [["service"], ["service", "action"], []]
    made["_aws"]["CloudWatchMetrics"].append(
        {"Namespace": "Other", "Dimensions": [["action"]], "Metrics": [{"Name": "Age"}]}
    )
    extracted = read(made)
    assert [(str(sample.metric), sample.value, sample.unit) for sample in extracted.samples] == [
        ("Pullback Depth {service=webhook}", 3.0, "Count"),
        ("Pullback Depth {action=build, service=webhook}", 3.0, "Count"),
        ("Pullback Depth {}", 3.0, "Count"),
        ("Other Age {action=build}", 1.0, "None"),
        ("Other Age {action=build}", 2.0, "None"),
    ]


@pytest.mark.parametrize(
    "message",
    ["", "START RequestId: 1", "{", "[]", '[{"_aws": {}}]', "3", '{"level": "INFO"}', "[" * 100_000, '{"_aws": NaN}'],
)
def test_another_line_is_neither_a_metric_nor_an_error(message: str) -> None:
    assert emf.read([(NOW_MS, message)]) == emf.Extracted()


@pytest.mark.parametrize(
    "aws",
    [
        None,
        [],
        "x",
        {},
        {"Timestamp": NOW_MS},
        {"CloudWatchMetrics": []},
        {"Timestamp": "now", "CloudWatchMetrics": []},
        {"Timestamp": True, "CloudWatchMetrics": []},
        {"Timestamp": 10**400, "CloudWatchMetrics": []},
        {"Timestamp": NOW_MS, "CloudWatchMetrics": {}},
        {"Timestamp": NOW_MS, "CloudWatchMetrics": ["x"]},
        {"Timestamp": NOW_MS, "CloudWatchMetrics": [{"Dimensions": [[]], "Metrics": []}]},
        {"Timestamp": NOW_MS, "CloudWatchMetrics": [{"Namespace": "A", "Metrics": []}]},
        {"Timestamp": NOW_MS, "CloudWatchMetrics": [{"Namespace": "A", "Dimensions": ["service"], "Metrics": []}]},
        {"Timestamp": NOW_MS, "CloudWatchMetrics": [{"Namespace": "A", "Dimensions": [[1]], "Metrics": []}]},
        {"Timestamp": NOW_MS, "CloudWatchMetrics": [{"Namespace": "A", "Dimensions": [[]]}]},
        {
            "Timestamp": NOW_MS,
            "CloudWatchMetrics": [{"Namespace": "A", "Dimensions": [[]], "Metrics": [{"Unit": "x"}]}],
        },
    ],
)
def test_a_document_that_is_not_built_so_is_one_parsing_error(aws: Any) -> None:
    assert read(document(_aws=aws)) == emf.Extracted(parsing_errors=1)


def _directive(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda made: directive_of(made).update(changes)


def _root(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda made: made.update(changes)


def _metric(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda made: directive_of(made)["Metrics"][0].update(changes)


def _at(milliseconds: int) -> Callable[[dict[str, Any]], None]:
    return lambda made: made["_aws"].update(Timestamp=milliseconds)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(_directive(Namespace=""), id="no namespace"),
        pytest.param(_directive(Namespace="n" * 256), id="namespace too long"),
        pytest.param(_directive(Dimensions=[]), id="no set of dimensions"),
        pytest.param(_directive(Metrics=[{"Name": "Depth"}] * 101), id="101 metrics"),
        pytest.param(_directive(Dimensions=[["missing"]]), id="dimension without value"),
        pytest.param(_root(service=1), id="dimension is no string"),
        pytest.param(_root(service=""), id="dimension is empty"),
        pytest.param(_root(service="  "), id="dimension is blank"),
        pytest.param(_root(service="café"), id="dimension is not ASCII"),
        pytest.param(_root(service="x" * 1025), id="dimension too long"),
        pytest.param(_metric(Name="missing"), id="metric without value"),
        pytest.param(_metric(Name=""), id="metric without name"),
        pytest.param(_metric(Name="n" * 256), id="name too long"),
        pytest.param(_metric(Unit="Furlongs"), id="unknown unit"),
        pytest.param(_metric(Unit=["Count"]), id="unit is no string"),
        pytest.param(_metric(StorageResolution=10), id="unknown resolution"),
        pytest.param(_root(Depth="3"), id="value is no number"),
        pytest.param(_root(Depth=True), id="value is a truth"),
        pytest.param(_root(Depth={"value": 3}), id="value is nested"),
        pytest.param(_root(Depth=[1, None]), id="one of the values is no number"),
        pytest.param(_root(Depth=[1] * 101), id="101 values"),
        pytest.param(_root(Depth=2**361), id="value too large"),
        pytest.param(_at(NOW_MS - 15 * 24 * 3_600_000), id="too old"),
        pytest.param(_at(NOW_MS + 3 * 3_600_000), id="too far in the future"),
    ],
)
def test_a_broken_rule_is_one_validation_error_and_no_sample(broken: Callable[[dict[str, Any]], None]) -> None:
    made = document()
    broken(made)
    assert read(made) == emf.Extracted(validation_errors=1)


def test_thirty_dimensions_a_hundred_metrics_of_a_hundred_values_are_taken_and_one_more_dimension_is_not() -> None:
    names = [f"d{number}" for number in range(31)]
    made = document(**dict.fromkeys(names, "x"), Depth=[1] * 100)
    directive_of(made).update(Dimensions=[names[:30], names], Metrics=[{"Name": "Depth"}] * 100)
    extracted = read(made)
    assert len(extracted.samples) == 100 * 100
    assert extracted.validation_errors == 1


def test_one_broken_metric_does_not_take_the_others_with_it() -> None:
    made = document(Age=1)
    directive_of(made)["Metrics"] += [{"Name": "Lost"}, {"Name": "Age"}]
    extracted = read("a line", made, document(_aws=3), document())
    assert [sample.metric.name for sample in extracted.samples] == ["Depth", "Age", "Depth"]
    assert (extracted.parsing_errors, extracted.validation_errors) == (1, 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("service"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Namespace", "Dimensions", "Metrics", "Name", "Unit", "Timestamp", "CloudWatchMetrics"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(st.text())
def test_no_text_breaks_the_reader(message: str) -> None:
    emf.read([(NOW_MS, message)])


@given(st.data())
def test_no_document_breaks_the_reader_and_each_gives_samples_or_errors(data: st.DataObject) -> None:
    made = document()
    holder, key = data.draw(
        st.sampled_from(
            [
                (made, "_aws"),
                (made, "Depth"),
                (made, "service"),
                *((made["_aws"], key) for key in ("Timestamp", "CloudWatchMetrics")),
                *((directive_of(made), key) for key in ("Namespace", "Dimensions", "Metrics")),
                *((directive_of(made)["Metrics"][0], key) for key in ("Name", "Unit", "StorageResolution")),
            ]
        )
    )
    holder[key] = data.draw(JSON)
    try:
        message = json.dumps(made, allow_nan=False)
    except ValueError:
        return
    extracted = emf.read([(NOW_MS, message)])
    assert extracted.parsing_errors <= 1
    if extracted == emf.Extracted():
        declared = [metric for directive in made["_aws"]["CloudWatchMetrics"] for metric in directive["Metrics"]]
        assert not declared or made["Depth"] == []
