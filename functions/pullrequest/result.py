"""What an action found, and what is kept of it."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, field, structs

from pullrequest.finding import Finding
from shared.contract import Contract
from shared.job import Conclusion

MAX_TEXT = 32_000
"""Characters of a result's Markdown. With its findings it keeps a record below DynamoDB's 400 KB."""


class Result(Contract, frozen=True, kw_only=True):
    """What an action found. The processor adds the job's identity and the duration, and that is the outcome."""

    conclusion: Conclusion
    summary: Annotated[str, Meta(max_length=1024)]
    details_url: str | None = None
    artifacts: dict[str, Any] = field(default_factory=dict)
    text: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    """Markdown for a check run; what comes from the pull request is in code spans (``pullrequest.markdown``)."""
    findings: tuple[Finding, ...] = ()
    findings_left_out: int = 0
    refused_by: dict[str, int] | None = None
    """Name and value of our own limit that decided, where one did: with another value the work is done again."""


class StoredResult(Result, frozen=True, kw_only=True):
    """A result with the time that the work took."""

    duration_ms: int

    @classmethod
    def of(cls, result: Result, duration_ms: int) -> StoredResult:
        """The result, with its time."""
        return cls(**(structs.asdict(result) | {"duration_ms": duration_ms}))
