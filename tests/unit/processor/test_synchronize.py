from __future__ import annotations

import json

import pytest

from processor.actions import synchronize
from processor.diff import ChangedFile
from processor.errors import DeadlineExceeded, GitHubRefused, GitHubUnavailable, TaskClosed
from tests.unit.processor.fakes import NEWER_SHA, SHA, FakeGitHub, FakeWork, a_job

FINE = ChangedFile("src/a.py", "modified", 1, 0, "@@ -1 +1,2 @@\n x\n+y")
CONFLICT = ChangedFile("src/b.py", "modified", 1, 0, "@@ -1 +1,2 @@\n x\n+<<<<<<< HEAD")


def test_a_clean_pull_request_succeeds() -> None:
    work = FakeWork(FakeGitHub([FINE]))

    result = synchronize.run(a_job(), work)

    assert result.conclusion == "success"
    assert result.summary == "1 file, +1 \N{MINUS SIGN}0; no problems"
    assert work.github.statuses == [("pending", "reading the changes", None), ("success", result.summary, None)]
    assert result.artifacts["folders"]["items"][0]["path"] == "src/"
    json.dumps(result.artifacts)


def test_problems_conclude_failure() -> None:
    work = FakeWork(FakeGitHub([FINE, CONFLICT]))

    result = synchronize.run(a_job(), work)

    assert result.conclusion == "failure"
    assert work.github.states == ["pending", "failure"]
    assert result.artifacts["problems"]["conflict markers"]["count"] == 1


def test_no_changed_files_is_neutral() -> None:
    work = FakeWork()

    result = synchronize.run(a_job(), work)

    assert (result.conclusion, result.summary) == ("neutral", "no changed files")
    assert work.github.states == ["pending", "success"]


def test_a_list_that_github_cut_is_said() -> None:
    result = synchronize.run(a_job(), FakeWork(FakeGitHub([FINE] * 2, total=4200)))

    assert result.summary.startswith("first 2 of 4,200 files read; ")
    assert result.artifacts["files_left_out"] == 4198


def test_superseded_before_the_work_leaves_no_trace() -> None:
    work = FakeWork(FakeGitHub([FINE], heads=[NEWER_SHA]))

    result = synchronize.run(a_job(), work)

    assert (result.conclusion, result.summary) == ("cancelled", "superseded by ccccccc")
    assert work.github.statuses == []


def test_superseded_during_the_work_closes_the_pending_status() -> None:
    work = FakeWork(FakeGitHub([CONFLICT], heads=[SHA, NEWER_SHA]))

    result = synchronize.run(a_job(), work)

    assert result.conclusion == "cancelled"
    assert result.artifacts == {}
    assert work.github.statuses[1:] == [("error", "superseded by ccccccc", None)]


@pytest.mark.parametrize("error", [GitHubUnavailable("canary"), ZeroDivisionError("canary")])
def test_work_that_fails_closes_the_pending_status(error: Exception) -> None:
    work = FakeWork(FakeGitHub([FINE], breaks=error))

    with pytest.raises(type(error)):
        synchronize.run(a_job(), work)

    assert work.github.statuses[1:] == [("error", f"not finished: {type(error).__name__}", None)]


def test_the_first_error_counts_when_closing_fails_too() -> None:
    github = FakeGitHub([FINE], breaks=GitHubUnavailable("first"), refuses_status=GitHubRefused("second"))

    with pytest.raises(GitHubUnavailable):
        synchronize.run(a_job(), FakeWork(github))


def test_the_deadline_closes_the_pending_status() -> None:
    work = FakeWork(FakeGitHub([FINE] * 9), stops=(4, DeadlineExceeded("")))

    with pytest.raises(DeadlineExceeded):
        synchronize.run(a_job(), work)

    assert work.github.states == ["pending", "error"]


@pytest.mark.parametrize("checkpoint", [1, 2, 3])
def test_a_closed_task_does_not_touch_the_status_of_the_attempt_after_it(checkpoint: int) -> None:
    work = FakeWork(FakeGitHub([FINE]), stops=(checkpoint, TaskClosed("")))

    with pytest.raises(TaskClosed):
        synchronize.run(a_job(), work)

    assert work.github.states == ([] if checkpoint == 1 else ["pending"])
