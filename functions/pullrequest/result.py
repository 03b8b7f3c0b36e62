"""What an action found, and what is kept of it."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from shared.job import Conclusion, Contract


class Result(Contract):
    """What an action found. The processor adds the job's identity and the duration, and that is the outcome."""

    conclusion: Conclusion
    summary: str = Field(max_length=1024)
    details_url: str | None = None
    artifacts: dict[str, Any] = Field(default_factory=dict)
    refused_by: dict[str, int] | None = None
    """Name and value of our own limit that decided, where one did: with another value the work is done again."""


class StoredResult(Result):
    """A result with the time that the work took."""

    duration_ms: int
