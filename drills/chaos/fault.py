"""A row of the drill's table, with what is done in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drills.chaos.model import Situation

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
