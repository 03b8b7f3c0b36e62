from __future__ import annotations

import time
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.actions.build.syntax import (
    MAX_BYTES,
    MAX_PYTHON_BYTES,
    NotChecked,
    SyntaxProblem,
    check,
    language,
    limit,
)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a.json", b'{"a": [1, 2.5e3, null]}'),
        ("a.json", "\ufeff{}".encode()),
        ("a.json", '{"ä": 1}'.encode("utf-16")),
        ("a.json", b"9" * 100_000),
        ("a.json", b"1e999999999"),
        ("a.json", b'"\\ud800"'),
        ("a.toml", b'[tool.ruff]\nselect = ["A"]\nwhen = 2026-01-01'),
        ("a.yaml", b"a: &x 1\nb: *x\nc: !Ref d\n---\nsecond: document"),
        ("a.yml", b""),
        ("a.yml", b"a: !!python/object/apply:os.system [id]"),
        ("a.py", b"import os\nos.system('exit 1')\nraise SystemExit"),
        ("a.py", "# coding: latin-1\nname = 'ä'".encode("latin-1")),
        ("a.py", "#!/usr/bin/python\n# -*- coding: UTF_8 -*-\nname = 'ä'".encode()),
        ("a.py", "\ufeffname = 'ä'\r\n".encode()),
        ("a.pyi", b"def f(x: int) -> str: ..."),
        ("a.py", b"pattern = '\\d'"),
        ("a.txt", b"\0\xff<<<"),
        ("Makefile", b"all:\n\trm -rf /"),
    ],
)
def test_what_its_language_can_read_is_no_problem(path: str, content: bytes) -> None:
    assert check(path, content) is None


@pytest.mark.parametrize(
    ("path", "content", "line"),
    [
        ("a.json", b'{"a": 1,\n "b": }', 2),
        ("a.json", b"", 1),
        ("a.json", b"[NaN]", None),
        ("a.json", b'{"a": "\xff\xfe"}', None),
        ("a.json", b"// comment\n{}", 1),
        ("a.toml", b"a = 1\na = 2\n", 2),
        ("a.toml", b"a = \n", 1),
        ("a.toml", b"a = '\xff'", None),
        ("a.toml", b"a = " + b"1" * 10_000, None),
        ("a.yaml", b"a: 1\nb: [1\nc: 2", 3),
        ("a.yaml", b"a: *unknown\n\t- tab", 2),
        ("a.yaml", b"a: '\xff'", None),
        ("a.py", b"x = 1\ndef f(:\n", 2),
        ("a.py", b"print 'two'", 1),
        ("a.py", b"x = 1\0", None),
        ("a.py", "# coding: ascii\nx = 'ä'".encode(), None),
        ("a.py", b"x = '\xff'", None),
        ("A.PY", b"<<<<<<< HEAD", 1),
    ],
)
def test_a_problem_names_the_language_and_the_line(path: str, content: bytes, line: int | None) -> None:
    problem = check(path, content)

    assert problem is not None
    assert problem.kind == path.lower().rpartition(".")[2].replace("py", "python")
    if line is not None:
        assert problem.line == line


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a.json", b"[" * MAX_BYTES),
        ("a.json", b'{"a":' * (MAX_BYTES // 5)),
        ("a.toml", b"a = " + b"[" * 100_000),
        ("a.yaml", b"[" * MAX_BYTES),
        ("a.yaml", b"- " * (MAX_BYTES // 2)),
        ("a.yaml", b"{a: " * (MAX_BYTES // 4)),
        ("a.py", b"(" * MAX_PYTHON_BYTES),
        ("a.py", b"-" * (MAX_PYTHON_BYTES - 1) + b"1"),
        ("a.py", b"a" + b"()" * 100_000),
        ("a.py", b"not " * 60_000 + b"1"),
        ("a.py", b"lambda:" * 30_000 + b"1"),
        ("a.py", b"x = " + b"9" * 200_000),
    ],
)
def test_deep_or_huge_values_are_a_problem_within_a_second(path: str, content: bytes) -> None:
    started = time.process_time()

    assert isinstance(check(path, content), SyntaxProblem)
    assert time.process_time() - started < 2


def test_a_long_chain_of_attributes_is_decided_within_a_second() -> None:
    started = time.process_time()

    # Python 3.14 reads a chain of any length, older ones give up: either is an answer.
    assert check("a.py", b"a" + b".a" * 100_000) in (None, SyntaxProblem("python"))
    assert time.process_time() - started < 2


def test_billion_laughs_stay_a_name() -> None:
    levels = [b"a0: &a0 [lol]"] + [b"a%d: &a%d [%s]" % (n, n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 30)]

    assert check("a.yaml", b"\n".join(levels)) is None


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a.json", b" " * (MAX_BYTES + 1)),
        ("a.py", b"\n" * (MAX_PYTHON_BYTES + 1)),
        # Codecs are modules that Python imports by the name in the file.
        ("a.py", b"# coding: rot13\nk = 1"),
        ("a.py", b"\n# vim: set fileencoding=evil_codec :\n"),
        # This takes the parser 1.5 GiB, and brackets in strings must not hide it.
        ("a.py", b"x=" + b"(" * 190 + b"a," * 130_000 + b")" * 190),
        ("a.py", b"x=" + b"(')'," * 190 + b"a," * 129_000 + b")" * 190),
        # 40 kB like this take tomllib 1.5 GiB.
        ("a.toml", b".".join([b"a"] * 20_000) + b" = 1"),
    ],
)
def test_what_is_too_expensive_or_unusual_is_not_checked(path: str, content: bytes) -> None:
    with pytest.raises(NotChecked):
        check(path, content)


@pytest.mark.parametrize(
    "path",
    [
        "tsconfig.json",
        "web/tsconfig.build.json",
        "jsconfig.json",
        ".vscode/settings.json",
        "x/.vscode/launch.json",
        ".devcontainer/devcontainer.json",
        ".devcontainer.json",
        ".eslintrc.json",
        "chart/templates/deployment.yaml",
        "{{cookiecutter.name}}/setup.py",
    ],
)
def test_json_with_comments_and_templates_are_told_as_not_checked(path: str) -> None:
    with pytest.raises(NotChecked):
        check(path, b"// \x00 {{")


@pytest.mark.parametrize("path", ["app/templates/views.py", "templates/settings.toml", "templates/package.json"])
def test_a_folder_of_templates_hides_no_other_language(path: str) -> None:
    assert isinstance(check(path, b"{{ ="), SyntaxProblem)


def test_other_files_are_nobodys_language() -> None:
    assert language("README.md") is None
    assert check("README.md", b"// \x00 {{") is None


def test_warnings_of_the_parser_are_not_shown() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check("a.py", b"'secret \\d'") is None


def test_a_problem_never_holds_the_content() -> None:
    for path in ("a.json", "a.toml", "a.yaml", "a.py"):
        assert "canary" not in repr(check(path, b"canary canary: [ = canary\n\t- '"))


@given(st.sampled_from(["a.json", "a.toml", "a.yaml", "a.py"]), st.binary() | st.text().map(str.encode))
def test_no_content_can_raise(path: str, content: bytes) -> None:
    assert len(content) <= limit(path)
    problem = check(path, content)

    assert problem is None or (problem.line is None or problem.line >= 1)
