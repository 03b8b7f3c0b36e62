"""The page of a pull request, for people: what GitHub would show, in the open and without its looks."""

from __future__ import annotations

import re
from base64 import b64encode
from collections import defaultdict
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from local.github.checks import latest

if TYPE_CHECKING:
    from local.github.model import ChangedFile, PullRequest
    from local.github.state import State

HERE = Path(__file__).parent
MAX_FILES = 300
"""Files whose diff the page has; a browser has to show them."""

MAX_DELIVERIES = 5
"""Deliveries of the App's hook that it has, the newest ones: what came of a button."""

_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+(\d+)")
# Raw HTML stays text, and so do links and images: nothing of a text leads anywhere or loads anything.
_MARKDOWN = (
    MarkdownIt("commonmark", {"html": False, "linkify": False})
    .enable("table")
    .disable(["autolink", "image", "link", "reference"])
)


@dataclass
class Line:
    """One line of a diff, with what is said of it."""

    kind: str
    number: int | None
    text: str
    notes: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class File:
    """One changed file; ``apart`` is said of lines that its diff does not show."""

    path: str
    status: str
    additions: int
    deletions: int
    lines: list[Line]
    apart: list[dict[str, Any]]
    notes: int


def page(state: State, pull: PullRequest, *, has_buttons: bool) -> str:
    """The page, as HTML. Whatever comes from the pull request is text in it.

    Args:
        state: has all that is shown.
        pull: the pull request.
        has_buttons: whether there is somebody to press them; a page that is kept has none.
    """
    runs = latest(state.checks.of(pull.head_sha))
    statuses = {one.context: one for one in state.statuses(pull.head_sha)}
    notes: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        for one in run.annotations:
            notes[one["path"]].append(one | {"check": run.name})
    changed = state.repository.changed_files(pull.base_sha, pull.head_sha)
    # Files of which something is said come first.
    shown = sorted(changed, key=lambda file: file.filename not in notes)[:MAX_FILES]
    files = [_file(file, notes.pop(file.filename, [])) for file in shown]
    css = (HERE / "page.css").read_text()
    digest = b64encode(sha256(css.encode()).digest()).decode()
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["markdown"] = lambda text: Markup(_MARKDOWN.render(visible(text or "")))  # noqa: S704 - its HTML
    environment.finalize = _harmless
    return environment.from_string(
        (HERE / "page.html").read_text()
    ).render(
        pull=pull,
        css=Markup(css),  # noqa: S704 - ours
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'self'",
        has_buttons=has_buttons,
        deliveries=state.hooks.list("app")[:MAX_DELIVERIES],
        runs=runs,
        statuses=statuses.values(),
        files=files,
        changed=len(changed),
        elsewhere=[one for some in notes.values() for one in some],
    )


def _harmless(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def visible(text: str) -> str:
    """The text, with characters that have an effect instead of a shape shown as one."""
    return "".join(one if one.isprintable() or one in "\n\t" else "\N{REPLACEMENT CHARACTER}" for one in text)


def _file(file: ChangedFile, notes: list[dict[str, Any]]) -> File:
    lines = list(_lines(file.patch or ""))
    by_number = {line.number: line for line in lines if line.number is not None and line.kind != "removed"}
    apart: list[dict[str, Any]] = []
    for note in notes:
        line = by_number.get(note["end_line"])
        (line.notes if line else apart).append(note)
    return File(file.filename, file.status, file.additions, file.deletions, lines, apart, len(notes))


def _lines(patch: str) -> Any:
    number = 0
    for text in patch.split("\n") if patch else ():
        if hunk := _HUNK.match(text):
            number = int(hunk[1]) - 1
            yield Line("hunk", None, text)
        elif text.startswith("-"):
            yield Line("removed", None, text)
        elif text.startswith("\\"):
            yield Line("hunk", None, text)
        else:
            number += 1
            yield Line("added" if text.startswith("+") else "same", number, text)
