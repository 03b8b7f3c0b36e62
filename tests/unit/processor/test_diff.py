from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.actions.synchronize.diff import (
    MAX_ADDED_LINES,
    MAX_LINE_CHARACTERS,
    MAX_LISTED,
    MAX_WITHHELD_LINES,
    added_lines,
    examine,
    is_binary_addition,
    sensitive_kinds,
)
from pullrequest.changed_file import ChangedFile


def added(path: str, *lines: str, **fields: Any) -> ChangedFile:
    """A new file with these lines."""
    hunk = f"@@ -0,0 +1,{len(lines)} @@\n" + "\n".join(f"+{line}" for line in lines)
    return ChangedFile(
        **{"path": path, "status": "added", "additions": len(lines), "deletions": 0, "patch": hunk} | fields
    )


def changed(path: str, patch: str, additions: int = 1, deletions: int = 0) -> ChangedFile:
    return ChangedFile(path, "modified", additions, deletions, patch)


def test_sizes_are_counted_in_all_and_by_folder() -> None:
    report = examine(
        [added("src/a.py", "1", "2"), added("src/deep/b.py", "1"), ChangedFile("README.md", "removed", 0, 9, None)]
    ).to_dict()

    assert (report["files"], report["additions"], report["deletions"]) == (3, 3, 9)
    assert report["folders"]["items"] == [
        {"path": ".", "files": 1, "additions": 0, "deletions": 9},
        {"path": "src/", "files": 2, "additions": 3, "deletions": 0},
    ]


def test_summary_is_one_line() -> None:
    report = examine([added(".github/workflows/ci.yml", "on: push"), ChangedFile("b", "removed", 0, 25, None)])

    assert report.summary() == "2 files, +1 \N{MINUS SIGN}25; workflow touched; no problems"


@pytest.mark.parametrize(
    ("path", "kinds"),
    [
        (".github/workflows/ci.yml", ["workflow"]),
        (".github/actions/build/run.sh", ["workflow"]),
        ("action.yml", ["workflow"]),
        (".github/ISSUE_TEMPLATE.md", []),
        ("template.yaml", ["infrastructure"]),
        ("infra/main.tf", ["infrastructure"]),
        ("Dockerfile", ["infrastructure"]),
        ("api/Dockerfile.prod", ["infrastructure"]),
        ("k8s/deployment.yaml", ["infrastructure"]),
        ("statemachine/processor.asl.json", ["infrastructure"]),
        ("docs/dockerfile-tips.md", []),
        ("src/helmet/a.py", []),
        ("CODEOWNERS", ["code owners"]),
        (".github/CODEOWNERS", ["code owners"]),
        ("src/codeowners", []),
        ("uv.lock", ["lock file"]),
        ("web/package-lock.json", ["lock file"]),
        ("src/uv.lock.py", []),
        ("src/app.py", []),
    ],
)
def test_sensitive_paths(path: str, kinds: list[str]) -> None:
    assert sensitive_kinds(ChangedFile(path, "modified", 1, 0, None)) == kinds


def test_moving_a_sensitive_file_away_touches_it() -> None:
    file = ChangedFile("old/ci.yml", "renamed", 0, 0, None, previous_path=".github/workflows/ci.yml")

    assert sensitive_kinds(file) == ["workflow"]


def test_sensitive_paths_are_no_problem() -> None:
    assert not examine([added("uv.lock", "x"), added("main.tf", "x")]).problems


def test_conflict_markers_in_added_lines_are_a_problem() -> None:
    report = examine([added("a.py", "x = 1", "<<<<<<< HEAD", "x = 2", "=======", "x = 3", ">>>>>>> topic")])

    assert report.problems["conflict markers"].items == [{"path": "a.py", "line": 2, "markers": 3}]
    assert report.summary().endswith("conflict markers in 1 file")


@pytest.mark.parametrize(
    "lines",
    [
        ["Heading", "=======", "Text"],
        ["=======", "Heading", "======="],
        ["||||||| ", "======="],
        ["<<<<<<<<<< not seven", ">>>>>>>text", " <<<<<<< indented"],
        ["cat <<<<<<<EOF"],
    ],
)
def test_what_only_looks_like_a_conflict_is_none(lines: list[str]) -> None:
    assert not examine([added("a.md", *lines)]).problems


@pytest.mark.parametrize(
    "lines", [["<<<<<<< HEAD"], ["<<<<<<<"], ["=======", ">>>>>>> topic"], ["=======\r", ">>>>>>> topic\r"]]
)
def test_a_part_of_a_conflict_is_enough(lines: list[str]) -> None:
    assert examine([added("a", *lines)]).conflict_markers.count == 1


@pytest.mark.parametrize("line", [">>>>>>> topic", ">>>>>>> topic\r", "======="])
def test_what_a_mail_or_a_heading_has_is_none(line: str) -> None:
    assert not examine([added("a", line)]).problems


def test_markers_that_are_removed_or_context_are_no_problem() -> None:
    patch = "@@ -1,4 +1,3 @@\n-<<<<<<< HEAD\n >>>>>>> topic\n =======\n-x\n+y"

    assert not examine([changed("a", patch)]).problems


def test_over_large_additions_are_a_problem() -> None:
    report = examine(
        [
            added("lines", *["x"] * (MAX_ADDED_LINES + 1)),
            added("line", "ok", "x" * (MAX_LINE_CHARACTERS + 1)),
            added("withheld", additions=MAX_WITHHELD_LINES + 1, patch=None),
            added("withheld but small", additions=MAX_WITHHELD_LINES, patch=None),
            added("fine", *["x" * MAX_LINE_CHARACTERS] * MAX_ADDED_LINES),
        ]
    )

    assert [item["path"] for item in report.over_large.items] == ["lines", "line", "withheld"]
    assert report.over_large.items[1] == {"path": "line", "line": 2, "characters": 5001, "reason": "long line"}


def test_lock_files_may_be_large() -> None:
    large = added("web/yarn.lock", *["x"] * (MAX_ADDED_LINES + 1))
    withheld = added("uv.lock", additions=90_000, patch=None)

    assert not examine([large, withheld]).problems


def test_a_new_binary_file_is_a_problem_and_an_empty_one_is_not() -> None:
    binary = ChangedFile("logo.png", "added", 0, 0, None, blob_sha="d" * 40)
    empty = ChangedFile("__init__.py", "added", 0, 0, None, blob_sha="e69de29bb2d1d6434b8b29ae775ad8c2e48c5391")
    renamed = ChangedFile("b.png", "renamed", 0, 0, None, blob_sha="d" * 40)

    assert [is_binary_addition(file) for file in (binary, empty, renamed)] == [True, False, False]
    assert examine([binary, empty, renamed]).problems["binary additions"].count == 1


@pytest.mark.parametrize("patch", ["@@ -1,9 +1,9 @@\n+cut", "no hunk\n@@ nonsense", "@@ -0,0 +1 @@\nx"])
def test_a_patch_that_cannot_be_read_is_said_and_is_no_problem(patch: str) -> None:
    report = examine([changed("a", patch, additions=2)])

    assert report.unreadable.count == 1
    assert not report.problems


def test_lines_that_look_like_headers_stay_lines() -> None:
    file = added("a", "++ b/other", "-- a/other", "diff --git a/x b/x", "@@ -1 +1 @@", "\u2028", "cr\r", "")

    assert [line for _, line in added_lines(file.patch or "")] == [
        "++ b/other", "-- a/other", "diff --git a/x b/x", "@@ -1 +1 @@", "\u2028", "cr\r", "",
    ]  # fmt: skip


def test_a_path_never_breaks_out_of_its_report() -> None:
    report = examine([added("a\n+++ b/evil\n<<<<<<< x\u202e", "x")])

    assert report.files == 1
    assert not report.problems


# Any line that fits into a patch.
lines = st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=40), min_size=1)


@given(lines)
def test_every_added_line_is_read_back(texts: list[str]) -> None:
    read = list(added_lines(added("a", *texts).patch or ""))

    assert read == list(enumerate(texts, 1))


@given(
    st.lists(
        st.builds(
            ChangedFile,
            path=st.text(min_size=1),
            status=st.sampled_from(["added", "modified", "removed", "renamed", "changed"]),
            additions=st.integers(0, 10**9),
            deletions=st.integers(0, 10**9),
            patch=st.none() | st.text() | st.text().map(lambda text: f"@@ -0,0 +1 @@\n+{text}"),
            blob_sha=st.none() | st.just("d" * 40),
            previous_path=st.none() | st.text(min_size=1),
        )
    )
)
def test_any_list_of_files_gives_a_consistent_report(files: list[ChangedFile]) -> None:
    report = examine(files)
    document = report.to_dict()

    assert document["files"] == len(files)
    assert sum(folder.files for folder in report.folders.values()) == len(files)
    assert sum(folder.additions for folder in report.folders.values()) == document["additions"]
    assert all(character.isprintable() for character in report.summary())
    for listing in (*document["problems"].values(), *document["sensitive"].values(), document["folders"]):
        assert listing["count"] == len(listing["items"]) + listing["left_out"]
        assert len(listing["items"]) <= MAX_LISTED
    json.dumps(document).encode("ascii")


@pytest.mark.parametrize("character", ["x", "\x00", "ß", "\u4e16", "🙂", "\ud800", '"'])
def test_the_report_of_the_largest_pull_request_is_below_48_kib(character: str) -> None:
    kinds = (".github/workflows/", "k8s/", "", "")
    names = ("x.yml", "x.tf", "uv.lock", "CODEOWNERS")
    marker = "@@ -0,0 +1 @@\n+<<<<<<< HEAD"
    files = []
    for number in range(750):
        for kind, name in zip(kinds, names, strict=True):
            path = f"{kind}{number}{character * 600}/{name}" if name != "CODEOWNERS" else "docs/CODEOWNERS"
            patch = (marker, None, None, "broken")[number % 4]
            additions = (10**9, 0, 10**9, 1)[number % 4]
            files.append(ChangedFile(path, "added", additions, 10**9, patch if number % 4 != 1 else None, "d" * 40))
            files.append(ChangedFile(path, "added", 0, 0, None, "d" * 40))

    report = examine(files)

    assert len(json.dumps(report.to_dict())) < 48 * 1024
    assert len(report.summary()) < 300


@settings(deadline=None)
@given(st.integers(1, 5))
def test_checkpoints_stop_the_examination(stop: int) -> None:
    seen = 0

    def checkpoint() -> None:
        nonlocal seen
        seen += 1
        if seen == stop:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        examine([added("a", "x")] * 5, checkpoint)
    assert seen == stop
