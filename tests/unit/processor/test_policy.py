"""The repository's policy: what it may say, and what is said of one that cannot be read."""

from __future__ import annotations

import time
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from processor.action_policy import ActionPolicy
from processor.policy import (
    FILE,
    MAX_BYTES,
    MAX_WARNINGS,
    Policy,
    PolicyInvalid,
    default_of,
    line_of,
    not_concerned,
    of_repository,
    read,
)
from pullrequest.changed_file import ChangedFile
from pullrequest.finding import Level
from pullrequest.github import NoPlainFile
from pullrequest.result import MAX_TEXT, Result
from tests.unit.processor.fakes import FakeGitHub


class BuildPolicy(ActionPolicy, frozen=True, kw_only=True):
    syntax: Level = "failure"
    max_files: Annotated[int, Meta(ge=1, le=100)] = 10


MODELS: dict[str, type[ActionPolicy]] = {"build": BuildPolicy}
CANARY = "canary"


def policy_of(text: str, default: dict[str, Any] | None = None) -> Policy:
    return read(text.encode(), MODELS, default)[0]


def test_without_a_word_the_models_count() -> None:
    policy = policy_of("")
    assert (policy.general.forks, policy.of("build"), policy.warnings) == ("report", BuildPolicy(), ())
    assert policy.of("synchronize") == ActionPolicy()


def test_what_it_says_counts() -> None:
    text = 'forks = "approve"\n[build]\nrun = false\npaths = ["src/", "!*.md"]\nsyntax = "warning"\n'
    policy = policy_of(text)
    assert policy.general.forks == "approve"
    assert policy.of("build") == BuildPolicy(run=False, paths=("src/", "!*.md"), syntax="warning")


def test_it_lies_over_the_default_key_by_key() -> None:
    default = {"forks": "allow", "build": {"syntax": "notice", "max_files": 3}}
    policy = policy_of('[build]\nsyntax = "ignore"\n', default)
    assert (policy.general.forks, policy.of("build")) == ("allow", BuildPolicy(syntax="ignore", max_files=3))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[build", 1, "not TOML"),
        ("a = 1\nb = \n", 2, "not TOML"),
        (f'forks = "{CANARY}"', 1, "forks: not one of the words"),
        ("forks = 1", 1, "forks: Invalid|forks: not one|forks: Expected"),
        ('[synchronize]\nx = 1\n[build]\n\nsyntax = "canary"\n', 5, "build.syntax: not one of the words"),
        ("[build]\nmax_files = 0\n", 2, "build.max_files: Expected `int` >= 1"),
        ("build.max_files = true", 1, "build.max_files: Expected `int`, got `bool`"),
        ("build = 3", 1, "build: Expected `object`"),
        ('[build]\npaths = "src"\n', 2, "build.paths: Expected `array`"),
        ('[build]\npaths = ["a", 3]\n', 2, r"build.paths\[1\]|build.paths\[\.\.\.\]"),
        ('[build]\npaths = ["src\\\\main"]\n', 2, "build.paths"),
        ("[build]\npaths = [" + '"a",' * 101 + "]\n", 2, "build.paths"),
        ("a = " + "[" * 2000, None, "not TOML|nested"),
        ("a = " + "1" * 5000, None, "not TOML"),
        ('[a."at line 77"]\n[a."at line 77"]\n', 2, "not TOML"),
        (f'[a."at line {"7" * 5000}"]\n' * 2, 2, "not TOML"),
        ("# \x85 \u2028 are no ends of a line\nforks = 1\n", 2, "forks"),
        ("[build] # [tests]\nmax_files = 0\n", 2, "build.max_files"),
        ('"build" . max_files = 0\n', 1, "build.max_files"),
        ('[ "build" ]\npaths = [\n "forks = 1",\n ["a"],\n]\nmax_files = 0\n', 2, "build.paths"),
        ("x = '" + "x" * MAX_BYTES + "'", None, "16 KiB"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_read_names_line_and_field(text: str, line: int | None, words: str) -> None:
    with pytest.raises(PolicyInvalid, match=words) as caught:
        policy_of(text)
    if line is not None:
        assert caught.value.line == line
        assert str(caught.value).startswith(f"line {line}")
    assert CANARY not in str(caught.value)


def test_what_is_no_utf8_names_its_line() -> None:
    with pytest.raises(PolicyInvalid, match="line 2: not UTF-8"):
        read(b"a = 1\nb = '\xff'\n", MODELS)


def test_what_is_not_known_is_warned_of_with_its_line() -> None:
    policy = policy_of('frks = "allow"\n[build]\nsyntx = "ignore"\n[deploy]\nx = 1\n[synchronize]\nanything = 1\n')
    assert policy.warnings == (
        "line 1, ` frks `: not known",
        "line 3, ` build.syntx `: not known",
        "line 4, ` deploy `: not known",
    )
    result = policy.told(Result(conclusion="success", summary="fine"))
    assert (result.conclusion, result.summary) == ("success", "fine")
    assert "` build.syntx `" in result.text


@pytest.mark.parametrize(
    ("conclusion", "told"), [("success", "neutral"), ("failure", "failure"), ("neutral", "neutral")]
)
def test_one_that_cannot_be_read_is_neutral_and_defaults_apply(conclusion: Any, told: str) -> None:
    github = FakeGitHub(base_files={FILE: b"[build]\nmax_files = 0\n"})
    policy = of_repository(github, MODELS, {"build": {"max_files": 4}})
    assert policy.of("build") == BuildPolicy(max_files=4)
    result = policy.told(Result(conclusion=conclusion, summary="fine"))
    assert result.conclusion == told
    assert result.summary.startswith("policy not read: .github/pullback.toml, line 2, build.max_files: ")
    assert result.summary.endswith("; defaults apply; fine")


def test_a_folder_of_that_name_cannot_be_read() -> None:
    class Folder(FakeGitHub):
        def base_file(self, path: str) -> bytes | None:
            raise NoPlainFile

    assert of_repository(Folder(), MODELS, {}).problem is not None


def test_a_stacks_default_has_to_be_right() -> None:
    assert default_of("") == {}
    assert default_of('forks = "allow"') == {"forks": "allow"}
    for wrong in ("forks = 1", "frks = 'allow'", "[build]\nrun = 1", "[["):
        with pytest.raises(PolicyInvalid):
            default_of(wrong)


@pytest.mark.parametrize(
    ("paths", "path", "concerns"),
    [
        ((), "a", True),
        (("src/",), "src/a.py", True),
        (("src/",), "docs/a.md", False),
        (("*.py", "!tests/"), "tests/a.py", False),
        (("!tests/fixtures/",), "tests/fixtures/a.json", False),
        (("!tests/fixtures/",), "a.json", True),
        (("/a",), "b/a", False),
        (("**/generated/**",), "x/generated/y.py", True),
    ],
)
def test_paths_are_gitignores(paths: tuple[str, ...], path: str, concerns: bool) -> None:
    assert ActionPolicy(paths=paths).concerns(path) is concerns


def changed(*paths: str) -> FakeGitHub:
    return FakeGitHub(changed=[ChangedFile(path, "modified", 1, 0, None) for path in paths])


def test_an_action_runs_where_it_is_concerned() -> None:
    assert not_concerned(ActionPolicy(), changed("a")) is None
    assert not_concerned(ActionPolicy(paths=("src/",)), changed("a", "src/b")) is None
    for section in (ActionPolicy(run=False), ActionPolicy(paths=("src/",))):
        display = not_concerned(section, changed("a"))
        assert display is not None
        assert display.state == "skipped"


def test_a_change_of_the_policy_is_told_whatever_its_paths_are() -> None:
    policy = policy_of('[build]\npaths = ["src/"]\n')
    (finding,) = policy.told(Result(conclusion="success", summary="fine"), is_changed=True).findings
    assert (finding.severity, finding.path, finding.line) == ("notice", FILE, 1)


def test_what_is_said_of_the_policy_leaves_a_result_that_can_be_kept() -> None:
    policy = policy_of("".join(f"unknown_{number} = 1\n" for number in range(MAX_WARNINGS + 5)))
    assert len(policy.warnings) == MAX_WARNINGS
    result = Result(conclusion="success", summary="s" * 1024, text="a line\n" * (MAX_TEXT // 7))
    kept = Result.read(policy.told(result).plain())
    assert "unknown_0" in kept.text


@pytest.mark.parametrize(
    "text",
    [
        'u = """\n' + "a" + "." * 12_000 + '\n"""',
        'u = """\n[' + " " * 12_000 + '\n"""',
        'u = """\na' + " " * 12_000 + '\n"""',
        '"' + "[" * 12_000 + '" = 1',
        ".".join("u" * 6_000) + " = 1",
        "[" + ".".join("u" * 6_000) + "]",
        "".join(f"{'a.' * 30}u{number} = 1\n" for number in range(230)),
    ],
    ids=["dots", "spaces", "spaces behind", "brackets", "dotted", "table", "many dotted"],
)
def test_no_policy_takes_long(text: str) -> None:
    started = time.process_time()
    try:
        assert policy_of(text).warnings
    except PolicyInvalid as invalid:
        # Python 3.14 gives up on a key of thousands of parts, older ones read it: either is an answer.
        assert str(invalid) == "nested too deeply"  # noqa: PT017
    assert time.process_time() - started < 3


KEY = st.text(alphabet="abcdefgh_-", min_size=1, max_size=6)


@given(st.lists(st.tuples(KEY, st.lists(KEY, unique=True, max_size=4)), unique_by=lambda one: one[0], max_size=5))
def test_every_key_is_found_on_its_line(tables: list[tuple[str, list[str]]]) -> None:
    lines, places = ["# a comment = 1", ""], {}
    for table, keys in tables:
        lines.append(f"[{table}] # x = 1")
        places[table] = len(lines)
        for key in keys:
            lines.append(f'  {key} = "[not.a.table]"')
            places[f"{table}.{key}"] = len(lines)
    for name, line in places.items():
        assert line_of("\n".join(lines), name) == line


@given(st.binary(max_size=200) | st.text(alphabet="[]build.runpaths=\"'\n truefalse{},", max_size=80).map(str.encode))
def test_any_content_is_read_or_refused(content: bytes) -> None:
    try:
        policy, _ = read(content, MODELS)
    except PolicyInvalid:
        return
    assert isinstance(policy.of("build"), BuildPolicy)
