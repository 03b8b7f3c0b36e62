"""Patterns as in a ``.gitignore``, matched in time that grows with the path and no faster.

Whoever opens a pull request names its files. Libraries for these patterns, such as pathspec, make one regular
expression of each, and a name that is made for it keeps its stars busy for minutes. The standard library's ``fnmatch``
writes stars as atomic groups, which never look back; so each folder's name is matched by itself.
"""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache
from typing import TypeAlias

Names: TypeAlias = "tuple[re.Pattern[str] | None, ...]"
"""What a path begins with, folder by folder. None is ``**``: any number of folders."""


def selects(patterns: tuple[str, ...], path: str) -> bool:
    """Whether the last pattern that matches a file has no ``!`` in front.

    In a ``.gitignore`` nothing below a folder that is left out could come back; here it can. Where there is nothing
    but what is left out, people mean: all but these.
    """
    folders = path.split("/")
    for is_selected, names in reversed(_compiled(patterns)):
        if _begins(folders, names):
            return is_selected
    return all(pattern.startswith("!") for pattern in patterns)


@lru_cache(maxsize=16)
def _compiled(patterns: tuple[str, ...]) -> list[tuple[bool, Names]]:
    return [(not pattern.startswith("!"), _names(pattern.removeprefix("!"))) for pattern in patterns]


def _names(pattern: str) -> Names:
    """git-scm.com/docs/gitignore#_pattern_format"""
    names = pattern.removeprefix("/").removesuffix("/").split("/")
    if "/" not in pattern[:-1]:
        names.insert(0, "**")
    # What is in a folder that matches is matched by it; these want something to be in it.
    if names[-1] == "**":
        names.append("*")
    if pattern.endswith("/"):
        names.append("*")
    return tuple(None if name == "**" else re.compile(fnmatch.translate(name.replace("[^", "[!"))) for name in names)


def _begins(folders: list[str], names: Names) -> bool:
    at = done = 0
    again: tuple[int, int] | None = None
    while done < len(names):
        name = names[done]
        if name is None:
            done += 1
            again = done, at
        elif at == len(folders):
            return False
        elif name.match(folders[at]):
            done, at = done + 1, at + 1
        elif again is None:
            return False
        else:
            # The earliest place is enough: what comes behind it has the most room then.
            done, at = again[0], again[1] + 1
            again = done, at
    return True
