"""What `make trace` is asked for."""

from __future__ import annotations

import argparse
from pathlib import Path

HOURS = 6.0
LONGEST_HOURS = 30 * 24
"""X-Ray keeps traces for 30 days."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--delivery", metavar="ID", help="the delivery (default: the newest one)")
    parser.add_argument("--stack", metavar="NAME", help="a deployed stack (default: what the local one left)")
    parser.add_argument("--out", metavar="FILE", type=Path, help="the page (default: .local/trace-<delivery>.html)")
    parser.add_argument(
        "--hours",
        metavar="NUMBER",
        type=hours,
        default=HOURS,
        help=f"how far to look back in X-Ray, at most {LONGEST_HOURS} (default: {HOURS:.0f})",
    )


def hours(text: str) -> float:
    """A number of hours that X-Ray looks back, for argparse."""
    number = float(text)
    if not 0 < number <= LONGEST_HOURS:
        raise argparse.ArgumentTypeError(f"must be above 0, and at most {LONGEST_HOURS}")
    return number
