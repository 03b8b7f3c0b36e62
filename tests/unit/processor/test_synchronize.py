from __future__ import annotations

import json

import pytest

from processor.actions import synchronize
from processor.errors import DeadlineExceeded
from pullrequest.changed_file import ChangedFile
from pullrequest.errors import GitHubUnavailable
from tests.unit.processor.fakes import FakeGitHub, FakeWork, a_job

FINE = ChangedFile("src/a.py", "modified", 1, 0, "@@ -1 +1,2 @@\n x\n+y")
CONFLICT = ChangedFile("src/b.py", "modified", 1, 0, "@@ -1 +1,2 @@\n x\n+<<<<<<< HEAD")


def test_a_clean_pull_request_succeeds() -> None:
    work = FakeWork(FakeGitHub([FINE]))

    result = synchronize.run(a_job(), work)

    assert result.conclusion == "success"
    assert result.summary == "1 file, +1 \N{MINUS SIGN}0; no problems"
    assert result.artifacts["folders"]["items"][0]["path"] == "src/"
    json.dumps(result.artifacts)


def test_problems_conclude_failure() -> None:
    work = FakeWork(FakeGitHub([FINE, CONFLICT]))

    result = synchronize.run(a_job(), work)

    assert result.conclusion == "failure"
    assert result.artifacts["problems"]["conflict markers"]["count"] == 1


def test_no_changed_files_is_neutral() -> None:
    work = FakeWork()

    result = synchronize.run(a_job(), work)

    assert (result.conclusion, result.summary) == ("neutral", "no changed files")


def test_a_list_that_github_cut_is_said() -> None:
    result = synchronize.run(a_job(), FakeWork(FakeGitHub([FINE] * 2, total=4200)))

    assert result.summary.startswith("first 2 of 4,200 files read; ")
    assert result.artifacts["files_left_out"] == 4198


@pytest.mark.parametrize("error", [GitHubUnavailable("canary"), ZeroDivisionError("canary")])
def test_work_that_fails_raises(error: Exception) -> None:
    with pytest.raises(type(error)):
        synchronize.run(a_job(), FakeWork(FakeGitHub([FINE], breaks=error)))


def test_the_deadline_stops_it() -> None:
    with pytest.raises(DeadlineExceeded):
        synchronize.run(a_job(), FakeWork(FakeGitHub([FINE] * 9), stops=(4, DeadlineExceeded(""))))
