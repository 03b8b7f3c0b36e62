"""Watches one call: what it writes to its log, and whether it does anything outside the process."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Audit events of whatever has an effect outside the process. An input is data: none of its bytes is a reason for any.
_EFFECTS = (
    "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.kill", "os.symlink", "os.link",
    "os.chmod", "os.chown", "os.rename", "os.mkdir", "os.mkfifo", "os.mknod", "os.remove", "os.rmdir", "os.truncate",
    "os.utime", "os.putenv", "shutil.", "tempfile.", "socket.connect", "socket.bind", "socket.sendto",
    "socket.getaddrinfo", "ctypes.dlopen", "pty.",
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class _Auditor:
    """Python's audit hook. It can never be taken out again, so it sleeps while nobody watches."""

    def __init__(self) -> None:
        self.awake = False
        self.seen: list[str] = []
        self._is_installed = False

    def install(self) -> None:
        if not self._is_installed:
            self._is_installed = True
            sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.awake:
            return
        if event == "open":
            # Descriptors were opened before; -1 flags are what open_code() tells.
            path, _, flags = arguments
            is_effect = not isinstance(path, int) and isinstance(flags, int) and flags > 0 and bool(flags & _WRITING)
        else:
            is_effect = event.startswith(_EFFECTS)
        if is_effect:
            self.seen.append(f"{event} {arguments!r:.200}")


_auditor = _Auditor()


@contextlib.contextmanager
def watched() -> Iterator[io.StringIO]:
    """Collects standard output and error of the block.

    Raises:
        AssertionError: the block had an effect outside the process.
    """
    _auditor.install()
    _auditor.seen.clear()
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        _auditor.awake = True
        try:
            yield output
        finally:
            _auditor.awake = False
    assert not _auditor.seen, f"effects outside the process: {_auditor.seen}"


def told(error: BaseException) -> str:
    """All that a runtime would show of an exception: its text, its chain, its traceback."""
    return "".join(traceback.format_exception(error)) + repr(error)
