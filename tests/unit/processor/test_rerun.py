"""*Re-run all checks*: each run of ours that is complete is requested again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from processor.rerun import rerequest_all
from pullrequest.github import CheckRun

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = '{"pull_request":7,"base":{"ref":"main","sha":"' + "b" * 40 + '"}}'


@dataclass
class Suite:
    runs: list[CheckRun]
    requested: list[int] = field(default_factory=list)

    def runs_of_suite(self) -> list[CheckRun]:
        return self.runs

    def rerequest(self, run: int) -> None:
        self.requested.append(run)

    def patiently(self, function: Callable[[], Any]) -> Any:
        return function()


def test_runs_that_are_complete_and_ours_are_requested() -> None:
    suite = Suite(
        [
            CheckRun(1, OURS, "failure", 0),
            CheckRun(2, OURS, "success", 0),
            CheckRun(3, OURS, None, 0),
            CheckRun(4, "another", "failure", 0),
            CheckRun(5, None, "failure", 0),
        ]
    )
    result = rerequest_all(suite)
    assert suite.requested == [1, 2]
    assert (result.conclusion, result.summary) == ("success", "2 check runs requested again")


def test_a_suite_without_any_is_no_failure() -> None:
    result = rerequest_all(Suite([]))
    assert (result.conclusion, result.summary) == ("neutral", "0 check runs requested again")
