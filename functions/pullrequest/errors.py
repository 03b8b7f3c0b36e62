"""Why work could not be done. The class name is the execution's ``error``: ``Retry`` in the state machine matches it.

Messages become the execution's ``cause`` and go to the log: no token, no credential, no text from a pull request.
"""

from __future__ import annotations


class WorkError(Exception):
    """Base of the errors that end a task as failed."""


class WorkInProgress(WorkError):
    """Another attempt does the same work right now. Worth another attempt, which will find its result."""


class WorkRecordUnavailable(WorkError):
    """The record of who does the work could not be read or written. Worth another attempt."""


class GitHubUnavailable(WorkError):
    """GitHub did not answer, or answered 5xx. Worth another attempt."""


class GitHubRateLimited(WorkError):
    """GitHub's primary or secondary rate limit. Worth another attempt, later."""


class GitHubLagging(WorkError):
    """GitHub's API does not know yet what its webhook told of. Worth another attempt, a little later.

    Args:
        message: which call.
        call: the same, as a value of the metric.
    """

    def __init__(self, message: str, call: str) -> None:
        super().__init__(message)
        self.call = call


class GitHubRefused(WorkError):
    """GitHub answered 4xx: credential, permission, or the pull request is gone. Another attempt answers the same.

    Args:
        message: which call.
        status: the answer's, where there was one.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class CredentialUnavailable(WorkError):
    """The GitHub credential could not be read. Worth another attempt."""


class CredentialInvalid(WorkError):
    """The GitHub credential is there and cannot be used. Another attempt reads the same."""
