"""The fault drill, `make chaos`: a written table of faults, each put into the running stack and held to what must hold.

``rows`` is the table, ``model`` and ``fault`` say what a row consists of, ``scenes`` what is done in a row that is more
than one delivery, ``rig`` the hands that reach into the stack, ``trial`` one row under way, ``drill`` runs and checks,
``report`` writes it down. ``proxy`` is the process between the functions and the embedded AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from local.progress import Progress


def chaos(directory: Path, progress: Progress, only: str | None = None) -> int:
    """Runs the drill; see ``drills.chaos.drill``."""
    # Imported here: the proxy, which is in this package too, needs none of it.
    from drills.chaos import drill

    return drill.chaos(directory, progress, only)
