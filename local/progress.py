"""Says what is going on, in the terminal: one line a step, with its time, and what it is doing meanwhile."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.status import Status


class Progress:
    """Progress of a command.

    Args:
        console: where to write.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        if not self.console.is_terminal:
            self.console.width = 120
        self._status: Status | None = None
        self._title = ""

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A step of the work; printed with its time when it is over."""
        started = time.monotonic()
        self._title = title
        if not self.console.is_terminal:
            self.console.print(f"  … {title}")
        try:
            with self.console.status(title) as self._status:
                yield
        except BaseException:
            self.console.print(f"  [red]✗[/] {title} [dim]{time.monotonic() - started:.1f} s[/]")
            raise
        finally:
            self._status = None
        self.console.print(f"  [green]✓[/] {title} [dim]{time.monotonic() - started:.1f} s[/]")

    def detail(self, line: str) -> None:
        """What the running step is doing; shown in a terminal, until the next one."""
        if self._status is not None and (text := line.strip()):
            self._status.update(f"{self._title} [dim]{escape(text[:90])}[/]")
