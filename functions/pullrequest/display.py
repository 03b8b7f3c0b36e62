"""What is to be shown of a piece of work, whichever way it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pullrequest.finding import Finding

State = Literal["pending", "success", "failure", "neutral", "cancelled", "timed_out", "skipped", "action_required"]
"""``pending``, or GitHub's conclusion of a check run."""


@dataclass(frozen=True)
class Button:
    """What a person may ask for below a check run. GitHub's lengths: 20, 40 and 20 characters."""

    label: str
    description: str
    identifier: str


@dataclass(frozen=True)
class Display:
    """What is to be shown.

    Args:
        state: see ``State``.
        title: one line of our own words and numbers.
        details_url: where the details are, where that is somewhere else.
        text: Markdown below the title. What comes from the pull request is in code spans (``pullrequest.markdown``).
        findings: what is said on single lines.
        findings_left_out: how many more there were.
        buttons: at most three.
    """

    state: State
    title: str
    details_url: str | None = None
    text: str = ""
    findings: tuple[Finding, ...] = ()
    findings_left_out: int = 0
    buttons: tuple[Button, ...] = ()
