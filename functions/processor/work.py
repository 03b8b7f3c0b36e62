"""What an action gets and what it gives back: the seam between the processor and its actions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from processor.artifacts import ArtifactStore
    from pullrequest.finding import Findings
    from pullrequest.github import PullRequestClient
    from pullrequest.result import Result
    from shared.job import Job
    from shared.telemetry import Telemetry


class Work(Protocol):
    """One running piece of work, as its action sees it."""

    @property
    def github(self) -> PullRequestClient:
        """GitHub, bound to the job's repository and pull request."""

    @property
    def artifacts(self) -> ArtifactStore:
        """The artifact bucket."""

    @property
    def policy(self) -> Any:
        """The action's section of the repository's policy: its ``Policy``, or the base of all of them."""

    @property
    def telemetry(self) -> Telemetry:
        """The structured log (``telemetry.log``) and the metrics of the catalogue (``telemetry.count``).

        What they are given is neither a secret nor text of the pull request.
        """

    def complete(self, result: Result) -> Result:
        """The processor's: adds findings, and what is to be said of the policy."""

    @property
    def findings(self) -> Findings:
        """What the action finds in single files; the pull request shows it on their lines."""

    @property
    def checkpoint(self) -> Callable[[], None]:
        """Call it between steps and inside long loops, at least every few seconds of work.

        Raises ``DeadlineExceeded`` when the function's time is nearly up, ``TaskOver`` when the execution no longer
        waits for this attempt, and ``Overtaken`` when a newer push or the pull request's end has made the work vain.
        Let them pass.
        """


class Action(Protocol):
    """The interface of a module in ``processor.actions``.

    Besides, a module may say ``READS_ONLY = True``: it stores and builds nothing of what a pull request brings. Any
    other is held back where that comes from a fork, unless the policy says otherwise (processor/forks.py).
    """

    TRIGGERS: dict[str, tuple[str, ...]]
    """GitHub event -> values of the payload's ``action`` that start this action. A literal: the build reads it
    without importing the module (processor/triggers.py)."""

    PENDING: str
    """What the commit status says while the action runs."""

    def run(self, job: Job, work: Work) -> Result:
        """Do the work. It may run again after an attempt that failed or died; its result is shown once.

        Raises:
            pullrequest.errors.WorkError: when the work could not be done; its class name is the execution's error.
        """
