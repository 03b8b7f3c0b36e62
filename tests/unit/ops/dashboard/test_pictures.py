"""`make pictures`, where a page or the browser is missing; with both it is tried by whoever makes them."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from local.progress import Progress
from ops.dashboard import browser
from ops.dashboard.pictures import pictures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def fake_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a script in the place of the browser, and nothing else on the path but the shell's tools."""

    def put(script: str) -> None:
        command = tmp_path / "bin" / "chromium"
        command.parent.mkdir()
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
        monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}/bin")

    return put


def test_the_pages_have_to_be_there(tmp_path: Path) -> None:
    printed = io.StringIO()
    (tmp_path / "dashboard.html").touch()
    assert pictures(tmp_path, Progress(Console(file=printed)), tmp_path / "images") == 1
    assert "make trace" in printed.getvalue()
    assert not (tmp_path / "images").exists()


def test_the_newest_trace_is_taken(tmp_path: Path, fake_browser: Callable[[str], None]) -> None:
    for number, name in enumerate(("dashboard", "pull-request", "trace-old", "trace-new")):
        page = tmp_path / f"{name}.html"
        page.touch()
        os.utime(page, (number, number))
    fake_browser('for one; do case $one in --screenshot=*) file=${one#*=};; esac; done; echo "$one" > "$file"')
    assert pictures(tmp_path, Progress(Console(file=io.StringIO())), tmp_path / "images") == 0
    taken = {file.name: file.read_text().rpartition("/")[2].strip() for file in (tmp_path / "images").iterdir()}
    assert taken == {
        "dashboard.png": "dashboard.html",
        "pull-request.png": "pull-request.html",
        "trace.png": "trace-new.html",
    }


def test_without_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert browser.find() is None
    with pytest.raises(browser.BrowserError, match="no browser: none of chromium"):
        browser.dom(tmp_path / "page.html")


def test_a_browser_that_fails(tmp_path: Path, fake_browser: Callable[[str], None]) -> None:
    fake_browser("echo no display >&2; exit 3")
    with pytest.raises(browser.BrowserError, match="the browser failed: no display"):
        browser.dom(tmp_path / "page.html")


def test_a_browser_that_makes_no_picture(tmp_path: Path, fake_browser: Callable[[str], None]) -> None:
    fake_browser("exit 0")
    out = tmp_path / "out.png"
    out.write_text("an old one")
    with pytest.raises(browser.BrowserError, match="no picture"):
        browser.screenshot(tmp_path / "page.html", out, width=10, height=10)
    assert not out.exists()
