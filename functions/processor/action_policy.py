"""What every action's section of a policy may say."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from processor.patterns import selects
from shared.contract import Contract

# Editors read it, too: only what regular expressions are in every language.
Pattern = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\\\n]*$")]


class ActionPolicy(Contract, frozen=True, kw_only=True):
    """What every action's section may say. An action with more to decide declares ``Policy`` with this as its base."""

    run: Annotated[bool, Meta(description="Whether the action runs at all.")] = True
    paths: Annotated[
        tuple[Pattern, ...],
        Meta(
            max_length=100,
            description="Which files it is about, as in `.gitignore`, without `\\`; `!` in front leaves out, and the "
            "last one that matches decides. Without any: all. "
            "A pull request that changes none of them skips the action; findings in other files are not told.",
        ),
    ] = ()

    def concerns(self, path: str) -> bool:
        """Whether the action is about this file."""
        return not self.paths or selects(self.paths, path)
