"""The options of `make replay`. A module of their own, because the command line reads them at every command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import argparse

WAIT_SECONDS = 120.0


@dataclass(frozen=True)
class ReplayOptions:
    """What the operator asks for.

    Args:
        stack: name of a deployed stack, found with the AWS credentials and the region of the environment; None for
            the local stack that runs in the directory.
        error: select dead work of this group, whatever the case of its letters.
        delivery: select the dead work of this delivery, or of this execution.
        repository: select the dead work of this repository, ``owner/name``.
        all: select everything.
        yes: replay without asking.
        quarantine: list the quarantine instead.
        wait: seconds to follow what was replayed; 0 not to.
    """

    stack: str | None = None
    error: str | None = None
    delivery: str | None = None
    repository: str | None = None
    all: bool = False
    yes: bool = False
    quarantine: bool = False
    wait: float = WAIT_SECONDS

    @property
    def selects(self) -> bool:
        """Whether anything is selected, so that something is to be replayed."""
        return self.all or any(value is not None for value in (self.error, self.delivery, self.repository))

    @property
    def misuse(self) -> str | None:
        """What is wrong with these options, and what to do; None when they make sense together."""
        if self.wait < 0:
            return "--wait is a number of seconds, 0 or more"
        narrowed = (self.error, self.delivery, self.repository)
        if any(value is not None and not value.strip() for value in narrowed):
            return "an empty --error, --delivery or --repository selects nothing: leave it out"
        if self.all and any(value is not None for value in narrowed):
            return "ALL=1 (--all) selects everything: leave it out, or leave the other selection out"
        if self.quarantine and (self.selects or self.yes):
            return (
                "QUARANTINE=1 (--quarantine) only lists: what lies there cannot be replayed as it is "
                "(docs/reliability.md tells how to put mended work back)"
            )
        if self.yes and not self.selects:
            return "YES=1 (--yes) needs a selection: ERROR=, DELIVERY=, REPOSITORY= or ALL=1"
        return None

    @classmethod
    def of(cls, namespace: argparse.Namespace) -> Self:
        """The options as ``add_arguments`` has them parsed."""
        return cls(
            stack=namespace.stack,
            error=namespace.error,
            delivery=namespace.delivery,
            repository=namespace.repository,
            all=namespace.all,
            yes=namespace.yes,
            quarantine=namespace.quarantine,
            wait=namespace.wait,
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--stack", metavar="NAME", help="a deployed stack (default: the local one that runs)")
    parser.add_argument("--error", metavar="NAME", help="replay this group, as the list names it")
    parser.add_argument("--delivery", metavar="ID", help="replay the dead work of one delivery")
    parser.add_argument("--repository", metavar="OWNER/NAME", help="replay the dead work of one repository")
    parser.add_argument("--all", action="store_true", help="replay everything")
    parser.add_argument("--yes", action="store_true", help="do not ask before replaying")
    parser.add_argument("--quarantine", action="store_true", help="list what could not be read, with the reasons")
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=float,
        default=WAIT_SECONDS,
        help=f"follow what was replayed so long, 0 not to (default: {WAIT_SECONDS:.0f})",
    )
