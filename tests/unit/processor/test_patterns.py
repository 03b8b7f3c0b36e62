"""Patterns are git's: held against git itself, and never slow."""

from __future__ import annotations

import itertools
import re
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from processor.patterns import selects

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("a", "b", "ab", "aab", "c-d")
PATHS = ["/".join(names) for depth in (1, 2, 3) for names in itertools.product(NAMES, repeat=depth)] + ["a/b/a/b/a"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("checkout")
    subprocess.run(["git", "init", "--quiet", str(directory)], check=True)
    return directory


@given(st.text(alphabet="aabb**//?", min_size=1, max_size=8))
@example("a/**/b")
@example("**/b/**")
@example("a/**/")
@example("**/")
@example("[!a]")
@example("[^a]*/b")
@example("c[+-]d/")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_pattern_matches_what_it_matches_in_git(checkout: Path, pattern: str) -> None:
    # git's manual calls two stars beside something else ordinary ones; git itself lets some of them cross a slash.
    assume(not re.search(r"[^/]\*\*|\*\*[^/]", pattern))
    (checkout / ".gitignore").write_text(pattern + "\n")
    done = subprocess.run(
        ["git", "-C", str(checkout), "check-ignore", "--no-index", "--stdin"],
        input="\n".join(PATHS),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    assert [path for path in PATHS if selects((pattern,), path)] == done.stdout.splitlines()


@pytest.mark.parametrize(
    ("patterns", "path", "is_selected"),
    [
        (("*.py", "!tests/"), "tests/a.py", False),
        (("*.py", "!tests/", "tests/keep/"), "tests/keep/a.py", True),
        (("!tests/fixtures/",), "tests/fixtures/a.json", False),
        (("!tests/fixtures/",), "a.json", True),
        (("!a", "#b"), "#b", True),
        (("!a", "#b"), "c", False),
        (("!",), "a", True),
        (("[",), "[", True),
        (("a b ",), "a b ", True),
        (("ä*",), "\ud800", False),
    ],
)
def test_the_last_one_that_matches_decides(patterns: tuple[str, ...], path: str, is_selected: bool) -> None:
    assert selects(patterns, path) is is_selected


@pytest.mark.parametrize("pattern", ["*a*a*a*b", "*a" * 99 + "b", "**/a/" * 39 + "b", "*?" * 99, "[!b]*" * 39 + "b"])
@pytest.mark.parametrize("path", ["a" * 4000, "a/" * 2000 + "a"], ids=["one name", "many folders"])
def test_nothing_takes_long(pattern: str, path: str) -> None:
    started = time.process_time()
    selects((pattern,), path)
    assert time.process_time() - started < 1
