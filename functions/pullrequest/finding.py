"""What an action has to say about one file, or one line of it: an annotation, where the pull request shows them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from pullrequest.text import printable
from shared.contract import Contract

if TYPE_CHECKING:
    from collections.abc import Callable

Severity = Literal["failure", "warning", "notice"]
"""GitHub's levels of an annotation. Only ``failure`` makes a check fail."""

Level = Literal["failure", "warning", "notice", "ignore"]
"""What a repository's policy may say of a kind of finding."""

MAX_FINDINGS = 200
"""Findings that are kept; the rest is counted. With MAX_FINDINGS_BYTES it keeps a piece of work's record well below
DynamoDB's 400 KB."""

MAX_MESSAGE_BYTES = 500
MAX_PATH_BYTES = 1024
"""A longer path cannot be annotated."""

MAX_FINDINGS_BYTES = 128 * 1024
"""All of them, as JSON."""


class Finding(Contract, frozen=True, kw_only=True):
    """One finding. ``path`` is the file's own, as it is: whoever shows it makes it harmless."""

    severity: Severity
    path: Annotated[str, Meta(max_length=MAX_PATH_BYTES)]
    message: Annotated[str, Meta(max_length=MAX_MESSAGE_BYTES)]
    line: Annotated[int, Meta(ge=1)] | None = None


class Findings:
    """Collects what an action finds.

    Args:
        concerns: whether the repository's policy has the action look at this path.
    """

    def __init__(self, concerns: Callable[[str], bool] = lambda _: True) -> None:
        self._concerns = concerns
        self._bytes = 0
        self.items: list[Finding] = []
        self.counts: Counter[str] = Counter()
        """Findings by severity, those that were not kept among them."""

    def add(self, level: Level, path: str, message: str, *, line: int | None = None) -> None:
        """Adds a finding, unless the policy ignores its kind or its path.

        Args:
            level: its severity, or ``ignore``.
            path: the file, as the pull request names it.
            message: our own words and numbers; what comes from the pull request is cut and made printable here.
            line: in the file at the head SHA, from 1.
        """
        if level == "ignore" or not self._concerns(path):
            return
        self.counts[level] += 1
        if len(self.items) >= MAX_FINDINGS:
            return
        # A path that is no text in UTF-8 cannot be told to GitHub.
        name = path.encode(errors="replace").decode()
        finding = Finding(severity=level, path=name, message=printable(message, MAX_MESSAGE_BYTES), line=line)
        size = len(finding.to_json())
        if len(name.encode()) <= MAX_PATH_BYTES and self._bytes + size <= MAX_FINDINGS_BYTES:
            self._bytes += size
            self.items.append(finding)

    @property
    def left_out(self) -> int:
        """Findings that were not kept."""
        return self.counts.total() - len(self.items)

    @property
    def has_failures(self) -> bool:
        """Whether a finding makes the check fail."""
        return bool(self.counts["failure"])
