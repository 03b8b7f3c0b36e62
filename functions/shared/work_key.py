"""The key of a piece of work in the idempotency table: who does it, and what came of it, is its item."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.job import Job

FINISHED = frozenset({"reported", "closed"})
"""Phases of work of which the pull request shows the end (pullrequest.claim)."""


def work_key(job: Job) -> str:
    """The key. The base is beside it, in the item: one holder at a time writes what is shown on a commit, whichever
    base it is about. Repository, number, SHA and action are validated by the job, and none holds a ``#``."""
    key = f"work#{job.repository.full_name}#{job.pull_request.number}#{job.pull_request.head.sha}#{job.action}"
    return f"{key}#{job.rerun}" if job.rerun else key
