"""What the alarm drill showed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Drilled:
    """What the drill showed of one alarm."""

    name: str
    fired: bool
    cleared: bool
    by: str
    """What set it off, and what its metric was worked out from; empty when it did not fire."""
