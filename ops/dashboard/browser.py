"""A headless Chromium, for what only a browser tells of a page: whether its script draws it, and how it looks."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_SECONDS = 120
SCRIPT_MS = 10_000
"""So much of its own time a page has until it is looked at; that time passes as fast as the machine can."""


class BrowserError(RuntimeError):
    """There is no browser, or it did not do what it should; the message says which."""


def find() -> str | None:
    """The command of the browser, if there is one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def dom(page: Path) -> str:
    """The page as it is when its scripts have run, as HTML.

    Raises:
        BrowserError: there is no browser, or it failed.
    """
    return _run(page, "--dump-dom")


def screenshot(page: Path, out: Path, *, width: int, height: int) -> None:
    """Writes a picture of the upper left of a page, in pixels.

    Raises:
        BrowserError: there is no browser, or it failed.
    """
    out.unlink(missing_ok=True)
    _run(
        page,
        "--hide-scrollbars",
        # Or what lies far below may be missing.
        "--run-all-compositor-stages-before-draw",
        f"--window-size={width},{height}",
        f"--screenshot={out.resolve()}",
    )
    if not out.exists():
        raise BrowserError(f"the browser made no picture of {page}")


def _run(page: Path, *arguments: str) -> str:
    command = find()
    if command is None:
        raise BrowserError(f"no browser: none of {', '.join(NAMES)} is installed")
    # A profile of its own: it neither reads nor leaves anything of a user's.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = [
            "--headless",
            "--no-sandbox",  # which root cannot have; the pages are our own, and load nothing
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            # No name leads anywhere: what a page would load is missing.
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={profile}",
            f"--virtual-time-budget={SCRIPT_MS}",
        ]
        try:
            done = subprocess.run(
                [command, *options, *arguments, page.resolve().as_uri()],
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
                check=True,
            )
        except subprocess.TimeoutExpired:
            raise BrowserError(f"the browser did not end within {TIMEOUT_SECONDS} s") from None
        except subprocess.CalledProcessError as error:
            raise BrowserError(f"the browser failed: {error.stderr.strip()[-500:]}") from None
    return done.stdout
