"""Nothing of a fork is stored or built, unless the policy allows it or somebody who may push approves the commit."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs

from processor import registry
from processor.forks import APPROVE, held_back
from shared.job import RequestedAction, Sender
from tests.unit.processor.fakes import a_job

STORES = SimpleNamespace()
READS = SimpleNamespace(READS_ONLY=True)


@dataclass
class GitHub:
    fork: bool = True
    permission: str | None = "write"
    asked: list[str] = field(default_factory=list)

    def is_fork(self) -> bool:
        return self.fork

    def permission_of(self, login: str) -> str | None:
        self.asked.append(login)
        return self.permission


def approved(identifier: str = "approve") -> Any:
    return structs.replace(
        a_job(), requested_action=RequestedAction(identifier=identifier), sender=Sender(login="`octo`cat")
    )


@pytest.mark.parametrize("forks", ["report", "approve", "allow"])
def test_what_is_no_forks_is_done_and_so_is_what_only_reads(forks: Any) -> None:
    assert held_back(a_job(), STORES, forks, GitHub(fork=False)) is None
    assert held_back(a_job(), READS, forks, GitHub()) is None


def test_by_default_a_check_says_that_it_was_not_done() -> None:
    display = held_back(a_job(), STORES, "report", GitHub())
    assert display is not None
    assert (display.state, display.buttons) == ("neutral", ())
    assert "pullback.toml" in display.text
    # Whoever presses a button that another policy has left there.
    assert held_back(approved(), STORES, "report", GitHub()) is not None


def test_where_all_may_everything_is_done() -> None:
    assert held_back(a_job(), STORES, "allow", GitHub()) is None


@pytest.mark.parametrize(
    ("job", "permission", "is_done"),
    [
        (a_job(), "admin", False),
        (approved(), "admin", True),
        (approved(), "write", True),
        (approved(), "read", False),
        (approved(), "none", False),
        (approved(), None, False),
        (approved("other"), "admin", False),
    ],
)
def test_only_who_may_push_approves(job: Any, permission: str | None, is_done: bool) -> None:
    github = GitHub(permission=permission)
    display = held_back(job, STORES, "approve", github)
    assert (display is None) == is_done
    if display is not None:
        assert (display.state, display.buttons) == ("action_required", (APPROVE,))
        # Who was refused is named, in a code span.
        assert ("`` `octo`cat `` may not approve" in display.text) == bool(github.asked)


def test_the_report_is_for_all_and_the_build_is_not() -> None:
    reads = {name: getattr(registry.find(name), "READS_ONLY", False) for name in ("build", "synchronize")}
    assert reads == {"build": False, "synchronize": True}


def test_the_buttons_words_fit() -> None:
    assert (len(APPROVE.label) <= 20, len(APPROVE.description) <= 40, len(APPROVE.identifier) <= 20) == (True,) * 3
