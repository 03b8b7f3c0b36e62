"""What a check run carries for us: enough to do its work again when somebody presses *Re-run*.

GitHub gives it back with the event, also for a pull request from a fork, of which the event names no number.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from shared.contract import Contract
from shared.job import Commit, DeliveryId, Job


class ExternalId(Contract, frozen=True, kw_only=True, omit_defaults=True):
    """A check run's ``external_id``, as JSON: the pull request, its base, and which re-run it is."""

    pull_request: Annotated[int, Meta(ge=1)]
    base: Commit
    rerun: DeliveryId | None = None

    @classmethod
    def of(cls, job: Job) -> ExternalId:
        """That of a job's check run."""
        return cls(pull_request=job.pull_request.number, base=job.pull_request.base, rerun=job.rerun)
