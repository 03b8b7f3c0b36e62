"""docs/runbook.md as tests read it: its sections, their parts, and the commands in them, as bash expands them."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PAGE = ROOT / "docs" / "runbook.md"
PARTS = ["Meaning", "Impact", "Threshold", "First", "Causes", "Fix", "Verify"]
"""The parts of an alarm's section, in order."""
STEPS = ["When", "Steps", "Verify", "Go back"]
"""What every procedure has, in order, whatever else."""

_PLACEHOLDER = "placeholder-of-forty-characters-or-so-00"
_END = "\x1e"
"""Ends a command in what the recording shell writes; each argument ends with NUL."""

_RECORD = f"""
record() {{ printf '%s\\0' "$@" '{_END}' >>"$RECORD"; }}
make() {{ record make "$@"; }}
sleep() {{ :; }}
"""


@dataclass(frozen=True)
class Section:
    """A heading and what is below it, up to the next one."""

    title: str
    level: int
    chapter: str
    """The heading of the second level that it is under."""
    text: str

    @property
    def anchor(self) -> str:
        """What GitHub makes of the heading."""
        return re.sub(r"[^\w\- ]", "", self.title.lower()).replace(" ", "-")

    def parts(self) -> dict[str, str]:
        """The text of each part, by the bold words that begin it, in order."""
        pieces = re.split(r"^\*\*([^*]+)\*\*:?", self.text, flags=re.MULTILINE)
        return dict(zip(pieces[1::2], (piece.strip() for piece in pieces[2::2]), strict=True))


def blocks(text: str) -> list[str]:
    """The shell commands in a text, one string for each fenced block."""
    found = re.findall(r"^( *)```sh\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return ["".join(line.removeprefix(indent) for line in code.splitlines(keepends=True)) for indent, code in found]


@cache
def sections() -> dict[str, Section]:
    """Every section of the page, by its anchor."""
    found: dict[str, Section] = {}
    chapter = ""
    pieces = re.split(r"^(#{2,3}) (.+)\n", PAGE.read_text(), flags=re.MULTILINE)
    for marks, title, text in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        chapter = title if len(marks) == 2 else chapter
        section = Section(title, len(marks), chapter, text)
        assert section.anchor not in found, f"{section.anchor} is there twice"
        found[section.anchor] = section
    return found


def of_chapter(*chapters: str) -> list[Section]:
    """The sections of the third level in these chapters, in order."""
    return [one for one in sections().values() if one.level == 3 and one.chapter in chapters]


def setup() -> str:
    """The shell's setup, as the page gives it."""
    (block,) = blocks(sections()["shell"].text)
    return block


def commands(text: str, directory: Path, *, before: str = "") -> list[list[str]]:
    """The ``aws`` and ``make`` commands that bash makes of a text, those inside of others included. None is run.

    Args:
        text: shell commands.
        directory: where bash runs; what the commands would write is written there.
        before: shell commands that are run first; what they call is not recorded. ``aws`` may be among them.

    Raises:
        subprocess.CalledProcessError: a variable is not set, or bash does not understand it.
    """
    record = directory / "record"
    record.write_text("")
    # The operator fills these in.
    text = text.replace("=…", f"={_PLACEHOLDER}")
    script = f'{before}\nset -eu{_RECORD}\naws() {{ record aws "$@"; echo {_PLACEHOLDER}; }}\n{text}'
    subprocess.run(
        ["bash", "-c", script],
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "RECORD": str(record), "LC_ALL": "C.UTF-8"},
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
    return [command.split("\0")[:-1] for command in record.read_text().split(f"{_END}\0")[:-1]]
