"""The language of Logs Insights, as far as it is evaluated here."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.log_events import LogEvent
from ops.logs import Query, discover, fill, run

GROUP = "123456789012:/aws/lambda/pullback-processor"
START = 1_795_514_912_000
"""2026-11-24 10:08:32 UTC"""


def event(at: float, message: str | dict[str, Any], group: str = GROUP) -> LogEvent:
    """What was logged so many seconds after the start."""
    text = message if isinstance(message, str) else json.dumps(message)
    return LogEvent(START + round(at * 1000), text, group, "stream")


WORK = [
    event(0, {"message": "work done", "repository": "o/a", "ms": 10, "who": {"id": 1, "names": ["x", "y"]}}),
    event(60, {"message": "work failed", "repository": "o/b", "error": "GitHubUnavailable"}),
    event(61, {"message": "work done", "repository": "o/b", "ms": 30}),
    event(62, {"message": "work done", "repository": "o/a", "ms": 20, "note": None}),
    event(63, "START RequestId: 5d5b9216-88d9-47e1-b240-bba84b4e7877 Version: 1"),
]


def of(query: str, column: str = "ms") -> list[Any]:
    """One column of what a query finds in the work."""
    return [row.get(column) for row in run(query, WORK)]


def test_without_a_word_of_them_there_are_time_and_message() -> None:
    rows = run("limit 2", WORK)
    assert rows == [
        {"@timestamp": "2026-11-24 10:09:35.000", "@message": WORK[4].message},
        {"@timestamp": "2026-11-24 10:09:34.000", "@message": WORK[3].message},
    ]


def test_the_newest_is_first_unless_it_is_said_otherwise() -> None:
    assert of("fields ms") == [None, 20, 30, None, 10]
    assert of("fields ms | sort @timestamp asc") == [10, None, 30, 20, None]


def test_of_one_moment_the_first_that_was_written_is_first() -> None:
    lines = [event(0, {"n": number}) for number in range(3)]
    for query in ("fields n", "fields n | sort @timestamp asc", "fields n | sort @timestamp desc"):
        assert [row["n"] for row in run(query, lines)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ('message = "work done"', [20, 30, 10]),
        ("message = 'work done' and repository != \"o/b\"", [20, 10]),
        ('repository = "o/b" or ms = 10', [30, None, 10]),
        ('not (repository = "o/b") and ispresent(ms)', [20, 10]),
        ("not ispresent(error) and ispresent(ms)", [20, 30, 10]),
        ("ms > 10", [20, 30]),
        ("ms >= 20 and ms < 30", [20]),
        ("ms <= 10", [10]),
        ("ms = 10.0", [10]),
        ('ms = "10"', [10]),
        ("ms in [10, 30]", [30, 10]),
        ('repository in ["o/b", "o/c"]', [30, None]),
        ('repository not in ["o/b"] and ispresent(repository)', [20, 10]),
        ("message like /fail|START/", [None]),
        ("@message like /^START/", [None]),
        ('message like "done"', [20, 30, 10]),
        ('message like "d.ne"', []),
        ('message not like "done" and ispresent(message)', [None]),
        ("error like /(?i)github/", [None]),
        ("ms / 10 = 2 or ms * 2 = 20", [20, 10]),
        ("ms + 1 = 11", [10]),
        ("ms - 1 - 1 = 8", [10]),
        ("ms / 0 = 0", []),
        ("who.id = 1 and who.names.1 = 'y'", [10]),
        ("`who.id` = 1", [10]),
        ("ispresent(note)", []),
        ("absent = 1 or absent < 1 or absent like /./", []),
        ("absent != 1 and ispresent(ms)", [20, 30, 10]),
        ('coalesce(error, repository) = "o/a"', [20, 10]),
        ("ms + 10 * 2 = 30", [10]),
        ("(ms + 10) * 2 = 40", [10]),
    ],
)
def test_filter(condition: str, found: list[Any]) -> None:
    assert of(f"fields ms | filter {condition}") == found


def test_and_binds_more_than_or() -> None:
    assert of("fields ms | filter ms = 10 or ms = 20 and ms = 30") == [10]
    assert of("fields ms | filter (ms = 10 or ms = 20) and ms = 30") == []


def test_fields_have_the_names_that_were_written_or_given() -> None:
    (row,) = run("fields @log, ms/10 as tens, ms / 2, `repository` | filter ms = 30", WORK)
    assert row == {"@log": GROUP, "tens": 3, "ms / 2": 15, "repository": "o/b"}
    (row,) = run("fields ms | display repository, ms as time | filter time = 30", WORK)
    assert row == {"repository": "o/b", "time": 30}


def test_comments_are_passed_over() -> None:
    assert of("# all work\nfields ms # in milliseconds\n# | limit 1\n| filter ms > 10") == [20, 30]


def test_stats_of_groups() -> None:
    query = """
        filter ispresent(message)
        | stats count(*) as lines, count(ms) as done, sum(ms) as total, avg(ms), min(ms), max(ms) as longest,
            count_distinct(message) as kinds, earliest(message) as first, latest(message) as last by repository
        | sort lines desc
    """
    assert run(query, WORK) == [
        {
            "repository": "o/a",
            "lines": 2,
            "done": 2,
            "total": 30,
            "avg(ms)": 15,
            "min(ms)": 10,
            "longest": 20,
            "kinds": 1,
            "first": "work done",
            "last": "work done",
        },
        {
            "repository": "o/b",
            "lines": 2,
            "done": 1,
            "total": 30,
            "avg(ms)": 30,
            "min(ms)": 30,
            "longest": 30,
            "kinds": 2,
            "first": "work failed",
            "last": "work done",
        },
    ]


def test_stats_of_everything() -> None:
    assert run("stats count(*), max(ms / 10) as tens, latest(@timestamp) as last", WORK) == [
        {"count(*)": 5, "tens": 3, "last": "2026-11-24 10:09:35.000"}
    ]
    assert run("stats count() as n, sum(ms) as total", []) == [{"n": 0}]
    assert run("stats count() by repository", []) == []


def test_a_group_may_lack_its_field() -> None:
    rows = run("stats count(*) as n by repository | sort n asc", WORK)
    assert rows == [{"n": 1}, {"repository": "o/a", "n": 2}, {"repository": "o/b", "n": 2}]


def test_stats_of_periods() -> None:
    rows = run("stats count(*) as n by bin(1m) as minute | sort minute asc", WORK)
    assert rows == [
        {"minute": "2026-11-24 10:08:00.000", "n": 1},
        {"minute": "2026-11-24 10:09:00.000", "n": 4},
    ]
    assert [row["bin(1h)"] for row in run("stats count(*) by bin(1h)", WORK)] == ["2026-11-24 10:00:00.000"]


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)])
def test_a_percentile_is_a_value_that_there_was(percent: float, value: int) -> None:
    lines = [event(number, {"ms": number}) for number in range(1, 101)]
    assert run(f"stats pct(ms, {percent}) as ms", lines) == [{"ms": value}]


def test_what_is_no_number_does_not_count_in_a_calculation() -> None:
    lines = [event(0, {"ms": "12"}), event(1, {"ms": "soon"}), event(2, {})]
    assert run("stats sum(ms) as total, count(ms) as n", lines) == [{"total": 12, "n": 2}]


def test_sort_is_natural() -> None:
    """The order of the guide's example: what is missing, texts with their digits by length, numbers."""
    values = [
        None,
        "!:",
        "#",
        "*%04",
        "0#",
        "5A",
        "111A",
        "2345_",
        "@",
        "@_",
        "A",
        "A9876fghj",
        "a12345hfh",
        0,
        1,
        "2",
        3,
    ]
    lines = [event(number, {"value": value}) for number, value in enumerate(reversed(values))]
    assert [row.get("value") for row in run("fields value | sort value asc", lines)] == values
    assert [row.get("value") for row in run("fields value | sort value desc", lines)] == values[::-1]


def test_a_report_of_lambda_is_discovered() -> None:
    report = (
        "REPORT RequestId: 5d5b9216-88d9-47e1-b240-bba84b4e7877\tDuration: 12.34 ms\tBilled Duration: 13 ms\t"
        "Memory Size: 1024 MB\tMax Memory Used: 170 MB"
    )
    lines = [event(0, f"{report}\tInit Duration: 410.5 ms\t\n"), event(1, f"{report}\t\nXRAY TraceId: 1-2-3")]
    query = (
        'filter @type = "REPORT" | sort @timestamp asc | fields @requestId, @duration, @billedDuration, '
        "@memorySize / 1000 / 1000 as mb, @maxMemoryUsed, @initDuration"
    )
    warm = {
        "@requestId": "5d5b9216-88d9-47e1-b240-bba84b4e7877",
        "@duration": 12.34,
        "@billedDuration": 13,
        "mb": 1024,
        "@maxMemoryUsed": 170_000_000,
    }
    assert run(query, lines) == [{**warm, "@initDuration": 410.5}, warm]


def test_a_line_that_only_looks_like_json_is_a_line() -> None:
    assert run("fields a | filter @message like /half/", [event(0, '{"a": "half')]) == [{}]
    assert run("fields `0` as first", [event(0, "[1]")]) == [{}]


def test_null_is_as_good_as_missing() -> None:
    assert "note" not in discover(WORK[3])


def test_a_query_tells_what_it_reads_and_shows() -> None:
    query = Query("fields coalesce(a.b, c) as d | filter e = 1 | stats max(f) as g by d, @log | sort g desc")
    assert query.fields == {"a.b", "c", "e", "f", "@log"}
    assert query.columns == ("d", "@log", "g")


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("", "line 1, column 1: expected one of fields, display, filter, stats, sort, limit, found the end"),
        ("fields a |", "line 1, column 11: expected one of fields, display, filter, stats, sort, limit, found the end"),
        (
            "fields a\n| dedup a",
            "line 2, column 3: expected one of fields, display, filter, stats, sort, limit, found dedup a",
        ),
        ("fields a b", "line 1, column 10: expected | or the end, found b"),
        ("fields a,", "line 1, column 10: expected a field, found the end"),
        ("fields and", "line 1, column 8: expected a field, found and"),
        ("filter a = ", "line 1, column 12: expected a field, found the end"),
        ("filter a == 1", "line 1, column 11: expected a field, found = 1"),
        ("filter a like b", "line 1, column 15: expected a text in quotes, found b"),
        ("filter a like /(/", "line 1, column 15: expected a regular expression, found /(/"),
        ("filter a not b", "line 1, column 14: expected like or in, found b"),
        ("filter a in (1)", "line 1, column 13: expected [, found (1)"),
        ("filter a in [1", "line 1, column 15: expected ], found the end"),
        ("filter (a = 1", "line 1, column 14: expected ), found the end"),
        ("filter strlen(a) = 1", "line 1, column 8: expected one of bin, coalesce, ispresent, found strlen(a) = 1"),
        ("filter ispresent(a, b)", "line 1, column 19: expected ), found , b)"),
        ("stats stddev(a)", "line 1, column 7: expected one of count, "),
        ("stats sum(*)", "line 1, column 11: expected a field, found *)"),
        ("stats pct(a)", "line 1, column 12: expected ,, found )"),
        ("stats pct(a, b)", "line 1, column 14: expected a number, found b)"),
        ("stats count(*) by bin(5 fortnights)", "line 1, column 23: expected a period such as 5m, found 5 fortnights)"),
        ("stats count(*) as n by a | sort b desc", "line 1, column 33: expected one of a, n, found b desc"),
        ("stats count(*) by a | fields bin(1m)", "line 1, column 34: expected no bin of rows that have no time"),
        ("stats count(*) by bin(0m)", "line 1, column 23: expected a period such as 5m, found 0m)"),
        ("fields a as b | stats count(*) as n | sort b asc", "line 1, column 44: expected one of n, found b asc"),
        ("sort a", "line 1, column 7: expected asc or desc, found the end"),
        ("limit some", "line 1, column 7: expected a number, found some"),
        ('filter a = "{{b}}"', "line 1, column 13: expected a value for the parameter, found {{b}}"),
        ('filter a = "b', 'line 1, column 12: expected a text in quotes, found "b'),
    ],
)
def test_what_is_not_understood_is_an_error_that_tells_where(query: str, error: str) -> None:
    with pytest.raises(ValueError, match="expected") as raised:
        Query(query)
    assert str(raised.value).startswith(error)


def test_parameters_are_filled_in() -> None:
    assert fill('a = "{{x}}" or b = {{y}}', {"x": "1", "y": "2", "z": "3"}) == 'a = "1" or b = 2'
    with pytest.raises(ValueError, match="the parameter y has no value"):
        fill("{{x}}{{y}}", {"x": "1"})


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("a1 .-{\u00e9\u2028", max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=5,
)
LINES = st.lists(st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3), max_size=4)

NAMES = st.sampled_from(["a", "b", "a.b", "`c`", "@timestamp", "@message"])
EXPRESSIONS = st.recursive(
    NAMES | st.sampled_from(["1", "2.5", '"x"', "'y'"]),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/"]), inner).map(" ".join)
        | inner.map("({})".format)
        | inner.map("coalesce({}, b)".format)
    ),
    max_leaves=4,
)
CONDITIONS = st.recursive(
    st.tuples(EXPRESSIONS, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), EXPRESSIONS).map(" ".join)
    | NAMES.map("ispresent({})".format)
    | NAMES.map("{} like /x|y/".format)
    | NAMES.map('{} not in ["x", 1]'.format),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join)
        | inner.map("({})".format)
        | inner.map("not {}".format)
    ),
    max_leaves=4,
)
COMMANDS = (
    EXPRESSIONS.map("fields {} as d, a".format)
    | EXPRESSIONS.map("display {}".format)
    | CONDITIONS.map("filter {}".format)
    | st.tuples(NAMES, st.sampled_from(["asc", "desc"])).map(lambda words: f"sort {' '.join(words)}")
    | st.integers(0, 3).map("limit {}".format)
)
AGGREGATIONS = st.lists(
    st.tuples(
        st.sampled_from(["count", "sum", "avg", "min", "max", "count_distinct", "earliest", "latest"]), EXPRESSIONS
    ).map(lambda words: f"{words[0]}({words[1]})")
    | EXPRESSIONS.map("pct({}, 50)".format),
    min_size=1,
    max_size=3,
).map(lambda found: f"stats {', '.join(found)} by a, bin(1s) as moment")
QUERIES = st.tuples(st.lists(COMMANDS, min_size=1, max_size=3), st.none() | AGGREGATIONS).map(
    lambda parts: " | ".join([*parts[0], *([parts[1]] if parts[1] else [])])
)


@given(QUERIES, LINES)
def test_a_query_finds_rows_of_its_columns(text: str, lines: list[dict[str, Any]]) -> None:
    query = Query(text)
    rows = query.run([event(number, line) for number, line in enumerate(lines)])
    assert all(set(row) <= set(query.columns) for row in rows)
    assert len(rows) <= len(lines)


@given(QUERIES, st.integers(0, 60), st.text(alphabet="|,()[]/\"'`=#{}a1 \n", max_size=3))
def test_a_damaged_query_is_understood_or_refused(text: str, at: int, damage: str) -> None:
    with contextlib.suppress(ValueError):
        Query(text[:at] + damage + text[at + len(damage) :])
