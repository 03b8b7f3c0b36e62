from __future__ import annotations

import json
from typing import Any

import pytest

from processor.actions import synchronize
from processor.errors import DeadlineExceeded
from pullrequest.changed_file import ChangedFile
from pullrequest.errors import GitHubUnavailable
from pullrequest.finding import Findings
from tests.unit.processor.fakes import FakeGitHub, FakeWork, a_job

FINE = ChangedFile("src/a.py", "modified", 1, 0, "@@ -1 +1,2 @@\n x\n+y")
CONFLICT = ChangedFile("src/b.py", "modified", 1, 0, "@@ -1 +1,2 @@\n x\n+<<<<<<< HEAD")


def a_work(github: FakeGitHub | None = None, policy: synchronize.Policy | None = None, **fields: Any) -> FakeWork:
    return FakeWork(github or FakeGitHub(), policy=policy or synchronize.Policy(), **fields)


def test_a_clean_pull_request_succeeds() -> None:
    work = a_work(FakeGitHub([FINE]))

    result = synchronize.run(a_job(), work)

    assert result.conclusion == "success"
    assert result.summary == "1 file, +1 \N{MINUS SIGN}0; no problems"
    assert result.artifacts["folders"]["items"][0]["path"] == "src/"
    json.dumps(result.artifacts)


def test_problems_conclude_failure() -> None:
    work = a_work(FakeGitHub([FINE, CONFLICT]))

    result = synchronize.run(a_job(), work)

    assert result.conclusion == "failure"
    assert result.artifacts["problems"]["conflict markers"]["count"] == 1
    (finding,) = work.findings.items
    assert (finding.severity, finding.path, finding.line) == ("failure", "src/b.py", 2)
    assert "| ` src/b.py ` | 2 |" in result.text.replace("conflict markers | ", "")


def test_no_changed_files_is_neutral() -> None:
    work = a_work()

    result = synchronize.run(a_job(), work)

    assert (result.conclusion, result.summary) == ("neutral", "no changed files")


def test_a_list_that_github_cut_is_said() -> None:
    result = synchronize.run(a_job(), a_work(FakeGitHub([FINE] * 2, total=4200)))

    assert result.summary.startswith("first 2 of 4,200 files read; ")
    assert result.artifacts["files_left_out"] == 4198


@pytest.mark.parametrize("error", [GitHubUnavailable("canary"), ZeroDivisionError("canary")])
def test_work_that_fails_raises(error: Exception) -> None:
    with pytest.raises(type(error)):
        synchronize.run(a_job(), a_work(FakeGitHub([FINE], breaks=error)))


def test_the_deadline_stops_it() -> None:
    with pytest.raises(DeadlineExceeded):
        synchronize.run(a_job(), a_work(FakeGitHub([FINE] * 9), stops=(4, DeadlineExceeded(""))))


CASES = {
    "C6: a new image": (ChangedFile("logo.png", "added", 0, 0, None, blob_sha="d" * 40), "success", "notice"),
    "C6: a new font": (ChangedFile("a/b.woff2", "added", 0, 0, None, blob_sha="d" * 40), "success", "notice"),
    "C6: a new PDF": (ChangedFile("a.pdf", "added", 0, 0, None, blob_sha="d" * 40), "success", "notice"),
    "C7: a lock file that is called -diff": (ChangedFile("yarn.lock", "added", 0, 0, None, "d" * 40), "success", None),
    "C7: an empty file without a blob": (ChangedFile("py.typed", "added", 0, 0, None, None), "success", None),
    "C7: a text file that is called -diff": (
        ChangedFile("a/gen.js", "added", 0, 0, None, "d" * 40),
        "success",
        "notice",
    ),
    "C8: a mail that quotes": (
        ChangedFile("mail.txt", "modified", 1, 0, "@@ -1 +1,2 @@\n x\n+>>>>>>> quoted"),
        "success",
        None,
    ),
    "C8: a heading": (ChangedFile("a.md", "modified", 1, 0, "@@ -1 +1,2 @@\n x\n+======="), "success", None),
    "C8: the end of a conflict": (
        ChangedFile("a.c", "modified", 2, 0, "@@ -1 +1,3 @@\n x\n+=======\n+>>>>>>> topic"),
        "failure",
        "failure",
    ),
    "C10: a fixture about conflict markers": (CONFLICT, "failure", "failure"),
}


@pytest.mark.parametrize("case", CASES)
def test_cases_of_real_pull_requests(case: str) -> None:
    file, conclusion, severity = CASES[case]
    work = a_work(FakeGitHub([file]))
    assert synchronize.run(a_job(), work).conclusion == conclusion
    assert [one.severity for one in work.findings.items] == ([severity] if severity else [])


def test_the_policys_paths_silence_a_fixture() -> None:
    policy = synchronize.Policy(paths=("!src/b.py",))
    work = a_work(FakeGitHub([CONFLICT]), policy)
    work.findings = Findings(policy.concerns)
    assert synchronize.run(a_job(), work).conclusion == "success"


@pytest.mark.parametrize(
    ("policy", "conclusion"),
    [
        (synchronize.Policy(binary_addition="failure"), "failure"),
        (synchronize.Policy(binary_addition="ignore"), "success"),
        (synchronize.Policy(max_line_characters=3), "failure"),
        (synchronize.Policy(max_line_characters=3, over_large="warning"), "success"),
    ],
)
def test_the_policy_decides_what_fails(policy: synchronize.Policy, conclusion: str) -> None:
    image = ChangedFile("logo.png", "added", 0, 0, None, blob_sha="d" * 40)
    long = ChangedFile("a.py", "modified", 1, 0, "@@ -1 +1,2 @@\n x\n+yyyy")
    work = a_work(FakeGitHub([image, long]), policy)
    assert synchronize.run(a_job(), work).conclusion == conclusion
