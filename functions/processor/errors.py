"""Why an attempt failed, besides what its pull request's side says (``pullrequest.errors``).

The class name is the execution's ``error``, as there.
"""

from __future__ import annotations

from pullrequest.errors import WorkError


class UnknownAction(WorkError):
    """No module and no folder of this name in processor/actions."""


class InvalidJob(WorkError):
    """The event does not satisfy the contract; the message names the fields."""


class DeadlineExceeded(WorkError):
    """The function's time was nearly up before the work was done."""


class Overtaken(WorkError):
    """Nobody wants the work any more; the message says why. It ends the work as ``cancelled``, and fails nothing."""


class TaskOver(WorkError):
    """The execution no longer waits for this attempt (timed out, aborted, or completed by another)."""


class ArtifactStoreUnavailable(WorkError):
    """The artifact bucket did not take or give an object. Worth another attempt."""


class OutcomeTooLarge(WorkError):
    """An action produced more artifact metadata than an execution's output may carry."""
