"""A status is asked for before it is written only where an earlier holder of the claim may have written it."""

from __future__ import annotations

import pytest

from pullrequest.display import Display
from pullrequest.result import StoredResult
from pullrequest.showing import show, show_result
from tests.unit.processor.fakes import FakeClaim, FakeGitHub

SHOWN = ("success", "fine", "https://details.example")
DISPLAY = Display("success", "fine", "https://details.example")


class AskedGitHub(FakeGitHub):
    """Counts how often it is asked what it shows."""

    asked = 0

    def shows(self, state: str, description: str, target_url: str | None = None) -> bool:
        self.asked += 1
        return super().shows(state, description, target_url)


def test_a_first_holder_writes_what_is_shown_already() -> None:
    """The status may be another one's, of a run that was closed long ago: this one's is not there before it wrote."""
    github, claim = AskedGitHub(statuses=[SHOWN]), FakeClaim()
    show(github, claim, DISPLAY)
    assert (github.statuses, github.asked) == ([SHOWN, SHOWN], 0)
    assert claim.said == ["writing"]


def test_a_successor_does_not_write_again_what_its_predecessor_has_shown() -> None:
    github, claim = AskedGitHub(statuses=[SHOWN]), FakeClaim(is_taken_over=True)
    show(github, claim, DISPLAY)
    assert (github.statuses, claim.said) == ([SHOWN], [])


@pytest.mark.parametrize(
    "standing",
    [
        ("pending", "fine", "https://details.example"),
        ("success", "else", "https://details.example"),
        ("success", "fine", None),
    ],
)
def test_a_successor_writes_what_is_not_shown_yet(standing: tuple[str, str, str | None]) -> None:
    github, claim = AskedGitHub(statuses=[standing]), FakeClaim(is_taken_over=True)
    show(github, claim, DISPLAY)
    assert (github.statuses, claim.said) == ([standing, SHOWN], ["writing"])


def test_a_result_that_is_shown_leaves_no_pending_status() -> None:
    github, claim = FakeGitHub(), FakeClaim(pending_shown=True)
    show_result(github, claim, StoredResult(conclusion="success", summary="fine", duration_ms=1))
    assert (claim.phase, claim.pending_shown) == ("reported", False)
