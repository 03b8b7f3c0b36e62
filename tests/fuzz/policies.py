"""The repository's policy: what people write into it, and the names of the files that its patterns are held against."""

from __future__ import annotations

import json
import re
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import structs

from processor.action_policy import ActionPolicy
from processor.patterns import selects
from processor.policy import MAX_BYTES, MAX_WARNINGS, General, Policy, PolicyInvalid, model_of, read
from processor.registry import names
from pullrequest.result import Result
from tests.fuzz.source import Source
from tests.fuzz.stored import CANARIES, check_hidden
from tests.fuzz.watch import told, watched

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS = 10
"""No input takes longer, on whatever machine."""

GOOD = """# what counts for us
forks = "approve"

[synchronize]
paths = ["src/", "!*.md"]
binary_addition = "warning"
max_added_lines = 2000

[build] # the bundle
run = true
syntax_error = "notice"
"""
DEFAULTS: tuple[dict[str, Any], ...] = (
    {},
    {"forks": "allow", "build": {"run": False}},
    {"synchronize": {"max_added_lines": 7, "paths": ["docs/"]}, "build": {"left_out": "ignore"}},
)
# Right for some key, and each wrong for others.
VALUES = (
    "true", '"failure"', '"ignore"', "1", "2000", '["src/", "!*.md"]', '"approve"', "[]", "{}", "0", "-1", "1e3", "nan",
    "9" * 30, "0x10", "2026-11-27", "12:00:00", '[""]', '["a", 3]', r'["a\\b"]', "[[]]",
    f'"{CANARIES[0]}"', "{run = 1}",
    '"""\n[build]\nrun = 1\n"""', "'''\na.a.a.a.a.a\n'''", '[\n "forks = 1",\n]', '"\x85\u2028"',
)  # fmt: skip
NO_VALUES = ("", "9" * 5000, "\x85", "1 x", f'"{CANARIES[0]}', CANARIES[2])
TABLES = (
    "synchronize",
    "build",
    '"build"',
    " build ",
    "deploy",
    "build.paths",
    "build.x",
    "forks",
    "[build]",
    CANARIES[1],
)
ODD_KEYS = ("frks", '"at line 7"', '"[[["', "a.b.c", "''", '"|`*_<b>@octocat"', "build", CANARIES[1])
PIECES = ("a", "b", "*", "**", "?", "/", "!", "[ab]", "[!a]", "[", "]", "-", "^", "#", " ", "é", ".", "ab")

# All that a refusal says: places, keys of ours, and these words.
_PROBLEM = re.compile(
    r"not TOML|not UTF-8|nested too deeply|larger than \d+ KiB|not one of the words that are known|"
    r"Expected `\w+`(?:, got `\w+`| (?:of length )?[<>]= \d+| matching regex '[^']+')?|Integer value out of range"
)


@cache
def models() -> Mapping[str, type[ActionPolicy]]:
    return {name: model_of(name) for name in names()}


@cache
def fields() -> frozenset[str]:
    """Every key there is."""
    keys = {f"{name}.{key}" for name, model in models().items() for key in model.__struct_fields__}
    return frozenset({*General.__struct_fields__, *models(), *keys})


def policy_seeds() -> list[bytes]:
    raw = [
        b"", GOOD.encode(), b"\xef\xbb\xbf" + GOOD.encode(), GOOD.replace("\n", "\r\n").encode(), b"\xff", b"[",
        b"x = ", b"# \xc2\x85\n[build]\nrun = 1", b"x = " + b"[" * 3000, b"x = " + b"1" * 5000, b"u." * 500 + b"u = 1",
        b'[a."at line 77"]\n' * 2, b'x = """\na' + b"." * 3000 + b'\n"""', b"#" * (MAX_BYTES + 1),
    ]  # fmt: skip
    # Which default, how many lines, and of each what it is, its key, its value.
    kinds = [bytes([1, 0, 1, 0, *line]) for line in ((0, 0, 0, 6), (0, 0, 0, 0), (0, 0, 7, 0), (7, 0, 0, 0))]
    written = [
        bytes([1, default, 6, *(number * step % 256 for number in range(24))])
        for default in range(len(DEFAULTS))
        for step in range(1, 60)
    ]
    patterns = [bytes([2, 3, *(number * step % 256 for number in range(30))]) for step in range(1, 30)]
    return [*(b"\0" + text for text in raw), *kinds, *written, *patterns]


def policy(data: bytes) -> str:
    """A policy is read, or refused by line and key without a word of it; patterns keep their promises."""
    source = Source(data)
    started = time.process_time()
    match source.below(3):
        case 0:
            outcome = f"anything: {_read(source.rest(), {})}"
        case 1:
            default = source.pick(DEFAULTS)
            outcome = f"written: {_read(_document(source).encode(), default)}"
        case _:
            outcome = f"patterns: {_patterns(source)}"
    assert time.process_time() - started < SECONDS
    return outcome


def _read(content: bytes, default: Mapping[str, Any]) -> str:
    # Before anybody watches: an import may write bytecode.
    sections = models()
    with watched() as output:
        try:
            found, whole = read(content, sections, default)
        except PolicyInvalid as invalid:
            check_refusal(invalid, content)
            return "not TOML" if "not TOML" in str(invalid) else "refused"
    assert not output.getvalue()
    check_policy(found, content)
    # What counts is all there: the same again, with nothing above it.
    again, _ = read(b"", sections, whole)
    assert (again.general, again.sections) == (found.general, found.sections)
    if not content.strip():
        assert whole == default
    return "warned" if found.warnings else "read"


def check_refusal(invalid: PolicyInvalid, content: bytes) -> None:
    """A refusal names a line that there is and a key of ours, and says what is wrong in our own words.

    Raises:
        AssertionError: otherwise.
    """
    for canary in CANARIES:
        check_hidden(told(invalid), canary)
    text = str(invalid)
    # Of the whole nothing stands before what is wrong.
    place, _, problem = text.partition(": ") if ": " in text else ("", "", text)
    assert _PROBLEM.fullmatch(problem), f"not our words: {problem!a}"
    lines = content.split(b"\n")
    assert invalid.line is None or 1 <= invalid.line <= len(lines)
    field = re.sub(r"\[(?:\d+|\.\.\.)\]", "", place.removeprefix(f"line {invalid.line}").removeprefix(", "))
    assert not field or field in fields(), f"no key of ours: {field!a}"
    if field and invalid.line:
        # Of a key in a table that is one line, or has one header, that.
        line = lines[invalid.line - 1]
        assert any(name.encode() in line for name in field.split(".")), f"{field} is not in line {invalid.line}"


def check_policy(found: Policy, content: bytes) -> None:
    """What is said of a policy fits into a result, on lines of its own.

    Raises:
        AssertionError: otherwise.
    """
    assert found.sections.keys() == models().keys()
    assert len(found.warnings) <= MAX_WARNINGS
    for warning in found.warnings:
        line = re.match(r"line (\d+|\?), `", warning)
        assert line, warning
        assert line[1] == "?" or int(line[1]) <= content.count(b"\n") + 1
        assert warning.isprintable()
        assert len(warning) < 200
    result = Result(conclusion="success", summary="s" * 1024, text="a line of text\n" * 2000)
    shown = found.told(result, is_changed=True)
    assert Result.read(json.loads(shown.to_json())) == shown
    assert structs.replace(shown, text="", findings=()) == structs.replace(result, text="")


def _document(source: Source) -> str:
    lines, keys = [], sorted(General.__struct_fields__)
    for _ in range(source.below(10)):
        if source.below(4) == 1:
            table = source.pick(TABLES)
            model = models().get(table.strip(' "'))
            keys = sorted(model.__struct_fields__) if model else []
            lines.append(f"[{table}]")
            continue
        key = source.pick(ODD_KEYS if source.rarely() or not keys else keys)
        lines.append(f"{key} = {source.pick(NO_VALUES if source.rarely() else VALUES)}{source.pick(('', ' # why'))}")
    return "\n".join(lines) + source.pick(("\n", "", "\r\n"))


def _patterns(source: Source) -> str:
    patterns = tuple(
        "".join(source.pick(PIECES) for _ in range(source.below(9))) or "a" for _ in range(source.below(5))
    )
    path = "/".join(
        "".join(source.pick(PIECES) for _ in range(1 + source.below(4))) for _ in range(1 + source.below(4))
    )
    if source.rarely():
        path += source.text(20) * 200
    section = ActionPolicy.read({"paths": list(patterns)})
    assert section.concerns(path) is (not patterns or selects(patterns, path))
    concerned = section.concerns(path)
    for pattern in patterns:
        if pattern.startswith("!"):
            continue
        matches = selects((pattern,), path)
        # What is below a file that matches does, too, and the last one decides.
        assert not matches or selects((pattern,), f"{path}/x")
        assert selects((*patterns, pattern), path) is (matches or selects(patterns, path))
        assert selects((*patterns, "**", f"!{pattern}"), path) is not matches
    literal = re.sub(r"([*?\[])", r"[\1]", path)
    assert selects((f"/{literal}",), path)
    return "concerned" if concerned else "not concerned"
