"""How the pages of the dashboard and of a trace are filled in."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from local.story import clean

if TYPE_CHECKING:
    from pathlib import Path


@cache
def templates(directory: Path) -> Environment:
    """The templates of a directory.

    Branch names and the like are attacker text: escaped by Jinja, and without control characters by ``finalize``.
    """
    return Environment(
        loader=FileSystemLoader(directory),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: clean(value) if type(value) is str else value,
    )
