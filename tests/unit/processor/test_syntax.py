from __future__ import annotations

import contextlib
import json
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
    without_comments,
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


NOT_CHECKED = {
    "comments under any name": ("appsettings.json", b'{ // c\n"A": 1 }', "JSON with comments"),
    "a comment before all": ("rush.json", b"// comment\n{}", "JSON with comments"),
    "a block comment": ("nx.json", b'{/* a \n ] */ "a": [1]}', "JSON with comments"),
    "a trailing comma": ("angular.json", b'{"a": [1, 2,], "b": {"c": 1,},}', "JSON with comments"),
    "a trailing comma behind a comment": ("babel.config.json", b'{"a": 1, // last\n}', "JSON with comments"),
    "marks of comments in strings": ("x.json", b'{"a": "// \\" /* , ]", }', "JSON with comments"),
    "a byte order mark and comments": ("x.json", b"\xef\xbb\xbf// c\n{}", "JSON with comments"),
    "a variable of Terraform's": ("policies/lambda.json", b'{"Resource": ${arns}}', "a template"),
    "Jinja": ("meta.yaml", b'{% set v = "1" %}\npackage: {name: x', "a template"),
    "Helm": ("helmfile.yaml", b"{{ range .x }}\n- a: b\n{{ end }}", "a template"),
    "ERB": ("generator/package.json", b'{"name": <%= name %>}', "a template"),
    "a cookiecutter": ("setup.py", b"name = {{ cookiecutter.name }}\nx = = 1", "a template"),
    "Git LFS": (
        "data.json",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n",
        "stored in Git LFS",
    ),
    "Git LFS, in YAML": ("a.yml", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "stored in Git LFS"),
    "git-crypt": ("secret.toml", b"\0GITCRYPT\0\x01\x02", "encrypted by git-crypt"),
    "a lazy import": ("new.py", b"lazy import json\n", "needs a newer Python"),
    "unpacking in a comprehension": ("new.py", b"x = [*y for y in z]\n", "needs a newer Python"),
}


@pytest.mark.parametrize("case", NOT_CHECKED)
def test_what_cannot_be_judged_is_not_checked_with_the_reason(case: str) -> None:
    path, content, reason = NOT_CHECKED[case]
    with pytest.raises(NotChecked) as caught:
        check(path, content)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("tsconfig.json", b'{"a": }'),
        ("a.json", b'{"a": 1 // c\n "b": 2}'),
        ("a.json", b'{"a": "{{ x }}" "b": 1}'),
        ("a.json", b'{"a": "\\x"}'),
        ("a.json", b'["unclosed // ]'),
        ("chart/templates/deployment.yaml", b"a: [1\nb: 2"),
        ("a.yaml", b"a: '{{ x }}'\n\t- b: \"{% x %}\"\n"),
        ("{{cookiecutter.name}}/setup.py", b"x = (\n"),
        ("a.py", b"x = '${a}' = = 1"),
        ("a.py", b"def f(:\n"),
    ],
)
def test_neither_a_name_nor_a_string_excuses_a_file(path: str, content: bytes) -> None:
    assert isinstance(check(path, content), SyntaxProblem)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON, st.sampled_from([None, 1]))
def test_json_without_comments_stays_as_it_is(value: object, indent: int | None) -> None:
    for ascii_only in (True, False):
        text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
        assert without_comments(text) == text


@pytest.mark.parametrize("unit", ["/*", '"\\', "//", ',"', ", ", "'\\", "{{", '"\\"', "a'", "${", "/* */,", ",]"])
@pytest.mark.parametrize("path", ["a.json", "a.yaml", "a.py", "a.toml"])
def test_whatever_is_repeated_takes_no_longer_than_its_length(path: str, unit: str) -> None:
    content = b"{" + (unit * (limit(path) // len(unit) - 2)).encode()
    started = time.process_time()
    with contextlib.suppress(NotChecked):
        check(path, content)
    assert time.process_time() - started < 2


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
    try:
        problem = check(path, content)
    except NotChecked as reason:
        assert str(reason)  # noqa: PT017 - it is one of two ends
        return
    assert problem is None or (problem.line is None or problem.line >= 1)
