"""Whether a file can be read by the language its name promises. Parsing only: nothing is built, imported or run.

The contents are hostile: every check is bounded in size, depth and time, and none of them can raise.
"""

from __future__ import annotations

import ast
import io
import json
import re
import sys
import tokenize
import tomllib
import warnings
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_BYTES = 1024 * 1024
"""Larger files are not checked. A parsed JSON document takes about 25 times its size in memory."""

MAX_PYTHON_BYTES = 256 * 1024
"""A syntax tree takes up to 700 times the size of its source (``a,a,a,...``): 175 MiB for this much."""

MAX_LINE_LOOKED_AT = 500
"""Characters of a line of Python that are looked at for newer syntax: the patterns go back and forth in it."""

TOO_LARGE = "too large"
TOO_EXPENSIVE = "too expensive to parse"

MAX_NESTED_PYTHON_BYTES = 64 * 1024
MAX_PYTHON_DEPTH = 20
"""Depth of brackets in a file above that size. The parser keeps what it tried at each depth: 400 MiB for 64 KiB in 190
brackets, which is as deep as it goes, and 1.5 GiB for 256 KiB."""

MAX_PYTHON_BACKSLASHES = 1_000

MAX_YAML_DEPTH = 200
"""libyaml's time grows with the square of the depth: 16 s for 100 kB of ``[``."""

MAX_TOML_DOTS = 200
"""Dots in one line. tomllib's time and memory grow with the square of a dotted key's parts: 1.5 GiB for 40 kB of them.
A line may also have its dots elsewhere, so such a file is not checked, rather than wrong."""

# The C loader where PyYAML has it: ten times as fast, and the same events.
_YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# How a file begins that is stored in another form: git-lfs.com, AGWA/git-crypt.
_STORED = {
    b"version https://git-lfs.github.com/spec/v1": "stored in Git LFS",
    b"\0GITCRYPT\0": "encrypted by git-crypt",
}
# What template engines look for: Jinja, Go, Mustache, ERB, EJS, and variables of Terraform and of many shells.
_TEMPLATE_MARK = re.compile(r"\{\{|\{%|\{#|<%|\$\{")
# Where a string begins on a line, and how it goes on; an apostrophe inside a word (it's) begins none.
_QUOTE = re.compile(r"""\"|(?<!\w)'""")
_QUOTE_ENDS = {'"': re.compile(r"(?:\\.|[^\"\\])*\"", re.DOTALL), "'": re.compile(r"(?:\\.|[^'\\])*'")}
_OPENS = re.compile(r"\"|//|/\*")
_TRAILING_COMMA = re.compile(r",(?=\s*[\]}])")
# Syntax that a version of Python brought, as its lines look: docs.python.org/3/whatsnew.
_NEWER_PYTHON = {
    (3, 12): re.compile(r"\s*type\s+\w+.*=|\s*(async\s+)?(def|class)\s+\w+\["),
    (3, 14): re.compile(r"""\s*except\*?\s+[\w.]+\s*,|.*\bt[rR]?["']"""),
    (3, 15): re.compile(r"\s*lazy\s+(import|from)\b|.*[\[({]\s*\*{1,2}[^\])}]+\bfor\b"),
}
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
_CODING_LINE = re.compile(rb"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_CODECS = {
    **dict.fromkeys(("utf-8", "utf8", "utf-8-unix", "utf-8-sig"), "utf-8-sig"),
    **dict.fromkeys(("latin-1", "latin1", "iso-8859-1", "iso-latin-1"), "latin-1"),
    **dict.fromkeys(("ascii", "us-ascii"), "ascii"),
}
_TOML_LINE = re.compile(r"at line (\d+), column \d+\)$")


@dataclass(frozen=True, slots=True)
class SyntaxProblem:
    """Where a file cannot be read. Never holds its content: parsers quote what they could not read."""

    kind: str
    line: int | None = None


class NotChecked(Exception):
    """It cannot be told whether its language could read the file; the text is the reason, in our words."""


def check(path: str, content: bytes) -> SyntaxProblem | None:
    """The first problem of a file, or None when there is none or its language is not checked.

    Args:
        path: the file's path, which tells the language.
        content: what is in it, at most ``limit(path)`` bytes.

    Raises:
        NotChecked: see there.
    """
    kind = language(path)
    if kind is None:
        return None
    for mark, reason in _STORED.items():
        if content.startswith(mark):
            raise NotChecked(reason)
    if len(content) > limit(path):
        raise NotChecked(TOO_LARGE)
    problem = _problem(kind, content)
    if problem is not None:
        _require_its_language(kind, content, problem)
    return problem


def _problem(kind: str, content: bytes) -> SyntaxProblem | None:
    try:
        with warnings.catch_warnings():
            # The parser warns about odd escapes, quoting the source.
            warnings.simplefilter("ignore")
            _PARSERS[kind](content)
    except NotChecked:
        raise
    except (RecursionError, MemoryError):
        # Parsers of nested data give up like this. The tool that reads the file would as well.
        return SyntaxProblem(kind)
    except Exception as error:  # noqa: BLE001 - the contents are hostile; whatever a parser raises, it could not read them
        return SyntaxProblem(kind, _line_of(error))
    return None


def language(path: str) -> str | None:
    """``json``, ``toml``, ``yaml`` or ``python``; None when the file's name promises none of them."""
    return _LANGUAGES.get(PurePosixPath(path).suffix.lower())


def _require_its_language(kind: str, content: bytes, problem: SyntaxProblem) -> None:
    """Raises NotChecked where a file that cannot be read is another language, or a newer one, than its name says."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return
    if kind == "json" and (plain := without_comments(text)) != text and _problem(kind, plain.encode()) is None:
        raise NotChecked("JSON with comments")
    if _is_template(text):
        raise NotChecked("a template")
    if kind == "python" and problem.line is not None:
        line = "".join(text.split("\n")[problem.line - 1 : problem.line])[:MAX_LINE_LOOKED_AT]
        if any(mark.match(line) for version, mark in _NEWER_PYTHON.items() if version > sys.version_info):
            raise NotChecked("needs a newer Python")


def without_comments(text: str) -> str:
    """JSON with its comments and trailing commas left out, as the tools read it that allow them.

    Linear in any text: no character is looked at again once a string or a comment has been found to end behind it.
    """
    kept: list[str] = []
    outside: list[str] = []
    at = 0
    while token := _OPENS.search(text, at):
        outside.append(text[at : token.start()])
        if token[0] == '"':
            string = _QUOTE_ENDS['"'].match(text, token.end())
            if string is None:
                at = token.start()
                break
            kept += [_TRAILING_COMMA.sub("", "".join(outside)), text[token.start() : string.end()]]
            outside, at = [], string.end()
        else:
            closing = "\n" if token[0] == "//" else "*/"
            end = text.find(closing, token.end())
            at = len(text) if end < 0 else end + len(closing)
    return "".join([*kept, _TRAILING_COMMA.sub("", "".join([*outside, text[at:]]))])


def _is_template(text: str) -> bool:
    return any(_TEMPLATE_MARK.search(piece) for line in text.split("\n") for piece in _outside_quotes(line))


def _outside_quotes(line: str) -> Iterator[str]:
    """What of a line is in no string. Behind a quote that does not end everything is."""
    at = 0
    while (quote := _QUOTE.search(line, at)) and (string := _QUOTE_ENDS[quote[0]].match(line, quote.end())):
        yield line[at : quote.start()]
        at = string.end()
    yield line[at:]


def limit(path: str) -> int:
    """Bytes up to which a file of this name is checked."""
    return MAX_PYTHON_BYTES if language(path) == "python" else MAX_BYTES


def _no_constant(_: str) -> NoReturn:
    raise ValueError("NaN and infinities are not JSON")


def _parse_json(content: bytes) -> None:
    # Numbers are not converted: Python refuses integers of more than 4,300 digits, which JSON allows.
    json.loads(content, parse_int=len, parse_float=len, parse_constant=_no_constant)


def _parse_toml(content: bytes) -> None:
    text = content.decode()
    if any(line.count(".") > MAX_TOML_DOTS for line in text.split("\n")):
        raise NotChecked(TOO_EXPENSIVE)
    tomllib.loads(text)


def _parse_yaml(content: bytes) -> None:
    # Events are what the parser sees before anything is built: tags and aliases stay names.
    depth = 0
    for event in yaml.parse(content, Loader=_YAML_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_YAML_DEPTH:
                raise RecursionError
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _bracket_depth(text: str) -> int:
    """The deepest nesting of brackets, as the language counts them: those in strings and comments do not."""
    if sys.version_info < (3, 12) and any(line.count("\\") > MAX_PYTHON_BACKSLASHES for line in text.split("\n")):
        # Before 3.12 the tokenizer looks for the end of a string from each quote of a line: hours for 256 kB of them.
        raise NotChecked(TOO_EXPENSIVE)
    depth = deepest = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.OP and token.string in _BRACKETS:
            depth += _BRACKETS[token.string]
            deepest = max(deepest, depth)
    return deepest


def _parse_python(content: bytes) -> None:
    # From text: given bytes, Python imports the codec that the file asks for.
    text = content.decode(_python_encoding(content))
    if len(content) > MAX_NESTED_PYTHON_BYTES and _bracket_depth(text) > MAX_PYTHON_DEPTH:
        raise NotChecked(TOO_EXPENSIVE)
    # To a tree only.
    ast.parse(text)


def _python_encoding(content: bytes) -> str:
    """The encoding of a source file (PEP 263), as one of a few codecs that are loaded anyway."""
    for line in content.split(b"\n", 2)[:2]:
        if match := _CODING_LINE.match(line):
            name = match[1].decode("ascii", "replace").lower().replace("_", "-")
            if name not in _CODECS:
                raise NotChecked("an unusual encoding")
            return _CODECS[name]
    return "utf-8-sig"


_PARSERS: dict[str, Callable[[bytes], None]] = {
    "json": _parse_json,
    "toml": _parse_toml,
    "yaml": _parse_yaml,
    "python": _parse_python,
}
_LANGUAGES = {
    ".json": "json",
    ".toml": "toml",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".py": "python",
    ".pyi": "python",
}


def _line_of(error: Exception) -> int | None:
    """The line that a parser complains about, counted from 1."""
    line: object = None
    if isinstance(error, SyntaxError | json.JSONDecodeError):
        line = error.lineno
    elif isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        line = error.problem_mark.line + 1
    elif isinstance(error, tomllib.TOMLDecodeError) and (match := _TOML_LINE.search(str(error))):
        line = int(match[1])
    return line if isinstance(line, int) and line > 0 else None
