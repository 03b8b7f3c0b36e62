"""A row of the drill's table, with what is done in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drills.chaos.model import Expected, Situation

if TYPE_CHECKING:
    from collections.abc import Callable

    from drills.chaos.trial import Trial


@dataclass(frozen=True)
class Fault(Situation):
    """One row: what is broken, what is done, and what must hold.

    Args:
        scene: what is done; the default is one delivery, with the faults in force before it.
    """

    scene: Callable[[Trial], None] | None = None


GITHUB_REFUSES = {"path": r"/pulls/\d+$", "status": 403, "times": 1}
"""Final at once, and so short that whoever closes the status meets nothing of it."""
FAILS_AND_IS_REPLAYED = Expected(
    executions=("FAILED GitHubRefused", "SUCCEEDED success"), statuses=("error", "pending", "success")
)
"""Before the pending status is shown, so that the status is closed first, and then the replay does the work."""


def counting(**counted: int | str) -> Expected:
    """An ordinary success that counted these metrics, named as for ``metrics``."""
    return Expected(metrics=metrics(**counted))


def metrics(**counted: int | str) -> dict[str, int | str]:
    """What was counted, by metric: ``function_Metric`` stands for ``function.Metric``."""
    return {name.replace("_", ".", 1): value for name, value in counted.items()}
