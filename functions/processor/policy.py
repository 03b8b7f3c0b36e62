"""The repository's policy: ``.github/pullback.toml`` on the base branch, as it is at the base SHA.

Read there and never at the head, so that no pull request changes its own rules. Without one, and for whatever one does
not say, the stack's default counts, and then what the models say: rules under which nothing fails that may be right.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, structs

from processor.action_policy import ActionPolicy
from processor.forks import Forks
from processor.registry import find, names
from pullrequest.display import Display
from pullrequest.finding import MAX_FINDINGS, Finding
from pullrequest.github import NoPlainFile
from pullrequest.markdown import code, cut
from pullrequest.result import MAX_TEXT
from shared.contract import Contract, InvalidContract

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pullrequest.github import PullRequestClient
    from pullrequest.result import Result

FILE = ".github/pullback.toml"
MAX_BYTES = 16 * 1024
"""Far more than anybody writes. tomllib's time grows with the square of a dotted key's length."""

MAX_WARNINGS = 20
CHANGES_POLICY = "This changes the policy. It counts once it is merged: the base's policy judges this pull request."

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_HEADER = re.compile(rf"[ \t]*\[\[?[ \t]*({_DOTTED})[ \t]*\]\]?[ \t\r]*(?:#|$)")
_ASSIGNMENT = re.compile(rf"[ \t]*({_DOTTED})[ \t]*=")


class General(Contract, frozen=True, kw_only=True):
    """What is outside the actions' sections."""

    forks: Annotated[
        Forks,
        Meta(
            description="What is done for a pull request from a fork: `report` does only what stores and builds "
            "nothing of it, `approve` the rest too once somebody who may push has approved the commit, `allow` all."
        ),
    ] = "report"


class PolicyInvalid(ValueError):
    """A policy cannot be read. The text says where and what, and quotes nothing.

    Args:
        line: from 1; None where no line is to blame.
        field: the key, such as ``build.paths``; empty for the whole.
        problem: what is wrong.
    """

    def __init__(self, line: int | None, field: str, problem: str) -> None:
        where = ", ".join(filter(None, (f"line {line}" if line else "", field)))
        super().__init__(f"{where}: {problem}" if where else problem)
        self.line = line


@dataclass(frozen=True)
class Policy:
    """A policy that was read, over the one below it."""

    general: General = field(default_factory=General)
    sections: Mapping[str, ActionPolicy] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    problem: PolicyInvalid | None = None
    """Why the repository's file was not read; then this is the stack's default."""

    def of(self, action: str) -> ActionPolicy:
        """An action's section."""
        return self.sections.get(action) or ActionPolicy()

    def told(self, result: Result, *, is_changed: bool = False) -> Result:
        """The result, with what is to be said of the policy itself. One that cannot be read makes a check neutral.

        Args:
            result: the action's.
            is_changed: the pull request changes the policy.
        """
        if is_changed:
            # Whatever the action's paths are.
            finding = Finding(severity="notice", path=FILE, message=CHANGES_POLICY, line=1)
            left_out = result.findings_left_out + max(0, len(result.findings) + 1 - MAX_FINDINGS)
            findings = (finding, *result.findings)[:MAX_FINDINGS]
            result = structs.replace(result, findings=findings, findings_left_out=left_out)
        notes = [f"policy not read: {FILE}, {self.problem}; defaults apply"] if self.problem else []
        text = "\n".join(f"- {FILE}: {warning}" for warning in self.warnings)
        if not notes and not text:
            return result
        conclusion = "neutral" if notes and result.conclusion == "success" else result.conclusion
        summary = "; ".join([*notes, result.summary])[:1024]
        whole = cut("\n\n".join(filter(None, (text, result.text))), MAX_TEXT)
        return structs.replace(result, conclusion=conclusion, summary=summary, text=whole)


def read(
    content: bytes, models: Mapping[str, type[ActionPolicy]], default: Mapping[str, Any] | None = None
) -> tuple[Policy, dict[str, Any]]:
    """A policy, laid over a default, and the two as plain data.

    Args:
        content: TOML in UTF-8.
        models: by action the model of its section. A section of an action that is not among them is that action's to
            read.
        default: the policy below it, as plain data.

    Raises:
        PolicyInvalid: see there.
    """
    if len(content) > MAX_BYTES:
        raise PolicyInvalid(None, "", f"larger than {MAX_BYTES // 1024} KiB")
    try:
        text = content.decode()
        data = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise PolicyInvalid(content[: error.start].count(b"\n") + 1, "", "not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        # Its words quote the text, and the place stands behind them.
        found = re.search(r"\(at line (\d+), column \d+\)\Z", str(error))
        # Without a line it is the end.
        line = int(found[1]) if found else text.count("\n") + 1
        raise PolicyInvalid(line, "", "not TOML") from None
    except ValueError:
        # A number with more digits than Python reads.
        raise PolicyInvalid(None, "", "not TOML") from None
    except RecursionError:
        raise PolicyInvalid(None, "", "nested too deeply") from None
    unknown = list(_unknown(data, models))
    warnings = [f"line {line_of(text, key) or '?'}, {code(key)}: not known" for key in unknown[:MAX_WARNINGS]]
    whole = _over(default or {}, data)
    try:
        general = General.read({name: whole[name] for name in General.__struct_fields__ if name in whole})
    except InvalidContract as error:
        raise _invalid(text, error.field, error.problem) from None
    sections = {}
    for name, model in models.items():
        try:
            sections[name] = model.read(whole.get(name, {}))
        except InvalidContract as error:
            raise _invalid(text, ".".join(filter(None, (name, error.field))), error.problem) from None
    return Policy(general, sections, tuple(warnings)), whole


def of_repository(
    github: PullRequestClient, models: Mapping[str, type[ActionPolicy]], default: Mapping[str, Any]
) -> Policy:
    """The policy that counts for a pull request.

    Args:
        github: gives the file at the base SHA.
        models: by action the model of its section.
        default: the stack's, as plain data that is valid.

    Raises:
        WorkError: GitHub did not give it.
    """
    stacks, _ = read(b"", models, default)
    try:
        content = github.base_file(FILE)
    except NoPlainFile:
        return _with_problem(stacks, PolicyInvalid(None, "", "no file of at most 1 MB"))
    if content is None:
        return stacks
    try:
        policy, _ = read(content, models, default)
    except PolicyInvalid as problem:
        return _with_problem(stacks, problem)
    return policy


def not_concerned(section: ActionPolicy, github: PullRequestClient) -> Display | None:
    """What is shown where the policy does not run the action for this pull request; None where it does.

    Raises:
        WorkError: GitHub did not list the files.
    """
    if not section.run:
        return Display("skipped", "the policy does not run this action")
    if section.paths and not any(section.concerns(file.path) for file in github.files()):
        return Display("skipped", "no changed file is one that the policy names for this action")
    return None


def model_of(action: str) -> type[ActionPolicy]:
    """The model of an action's section.

    Raises:
        UnknownAction: there is none of this name.
    """
    return getattr(find(action), "Policy", ActionPolicy)


def default_of(text: str) -> dict[str, Any]:
    """The stack's default, as plain data.

    Raises:
        PolicyInvalid: see there.
    """
    policy, whole = read(text.encode(), {name: model_of(name) for name in names()} if text else {})
    if policy.warnings:
        raise PolicyInvalid(None, "", policy.warnings[0])
    return whole


def _with_problem(policy: Policy, problem: PolicyInvalid) -> Policy:
    """The policy, with why another one was not read."""
    return Policy(policy.general, policy.sections, policy.warnings, problem)


def line_of(text: str, key: str) -> int | None:
    """The line of a key such as ``build.paths[0]`` in a TOML document, from 1; else that of its table."""
    parts = re.sub(r"\[[^\[\]]*\]", "", key).split(".")
    table: list[str] = []
    best: tuple[int, int] | None = None
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line):
            found = table = _names(header[1])
        elif assignment := _ASSIGNMENT.match(line):
            found = [*table, *_names(assignment[1])]
        else:
            continue
        if parts[: len(found)] == found and (best is None or len(found) > best[0]):
            best = len(found), number
    return best[1] if best else None


def _names(dotted: str) -> list[str]:
    return [name.strip().strip("\"'") for name in dotted.split(".")]


def _invalid(text: str, field: str, problem: str) -> PolicyInvalid:
    return PolicyInvalid(line_of(text, field), field, problem)


def _unknown(data: Mapping[str, Any], models: Mapping[str, type[ActionPolicy]]) -> Iterable[str]:
    for key, value in data.items():
        if key in models:
            if isinstance(value, dict):
                yield from (f"{key}.{name}" for name in value if name not in models[key].__struct_fields__)
        elif key not in General.__struct_fields__ and key not in names():
            yield key


def _over(default: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """One document over another: tables key by key, anything else as a whole."""
    whole = {**default, **data}
    for key, value in data.items():
        below = default.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            whole[key] = _over(below, value)
    return whole
