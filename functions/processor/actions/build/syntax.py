"""Whether a file can be read by the language its name promises. Parsing only: nothing is built, imported or run.

The contents are hostile: every check is bounded in size, depth and time, and none of them can raise.
"""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
import tomllib
import warnings
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 1024 * 1024
"""Larger files are not checked. A parsed JSON document takes about 25 times its size in memory."""

MAX_PYTHON_BYTES = 256 * 1024
"""A syntax tree takes up to 700 times the size of its source (``a,a,a,...``): 175 MiB for this much."""

MAX_NESTED_PYTHON_BYTES = 64 * 1024
MAX_PYTHON_DEPTH = 20
"""Depth of brackets in a file above that size. The parser keeps what it tried at each depth: 400 MiB for 64 KiB in 190
brackets, which is as deep as it goes, and 1.5 GiB for 256 KiB."""

MAX_YAML_DEPTH = 200
"""libyaml's time grows with the square of the depth: 16 s for 100 kB of ``[``."""

MAX_TOML_DOTS = 200
"""Dots in one line. tomllib's time and memory grow with the square of a dotted key's parts: 1.5 GiB for 40 kB of them.
A line may also have its dots elsewhere, so such a file is not checked, rather than wrong."""

# The C loader where PyYAML has it: ten times as fast, and the same events.
_YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# JSON with comments by convention of the tools that read it.
_COMMENTED_JSON = re.compile(
    r"(.*/)?(\.vscode/[^/]+|\.devcontainer/(.+/)?[^/]+|\.?devcontainer|[tj]sconfig[^/]*|\.eslintrc|tslint|\.swcrc"
    r"|\.jshintrc|api-extractor[^/]*|turbo|deno|language-configuration)\.json",
    re.IGNORECASE,
)
# Another file once a template engine has run over it: cookiecutters for any kind, Helm charts and Ansible for YAML.
_TEMPLATE = re.compile(r".*(\{\{|\}\}).*", re.DOTALL)
_YAML_TEMPLATE = re.compile(r"(.*/)?templates/.+", re.DOTALL)
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
    """The file is too large, too expensive to parse, in an unusual encoding, JSON with comments, or a template."""


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
    if len(content) > limit(path) or _is_another_language(kind, path):
        raise NotChecked
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


def _is_another_language(kind: str, path: str) -> bool:
    convention = {"json": _COMMENTED_JSON, "yaml": _YAML_TEMPLATE}.get(kind)
    return bool(_TEMPLATE.fullmatch(path) or (convention and convention.fullmatch(path)))


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
        raise NotChecked
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
        raise NotChecked
    # To a tree only.
    ast.parse(text)


def _python_encoding(content: bytes) -> str:
    """The encoding of a source file (PEP 263), as one of a few codecs that are loaded anyway."""
    for line in content.split(b"\n", 2)[:2]:
        if match := _CODING_LINE.match(line):
            name = match[1].decode("ascii", "replace").lower().replace("_", "-")
            if name not in _CODECS:
                raise NotChecked
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
