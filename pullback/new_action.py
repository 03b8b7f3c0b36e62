"""`pullback new-action NAME`: a module for a new action, and its test. Both pass at once, and do something."""

from __future__ import annotations

import keyword
import re
import sys
from typing import TYPE_CHECKING

from local.stack import PROJECT

sys.path.append(str(PROJECT / "functions"))

from processor.triggers import collect

if TYPE_CHECKING:
    from pathlib import Path

    from local.progress import Progress

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""Longer ones make lines too long."""

MODULE = '''"""TODO: what this action says of a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from processor.action_policy import ActionPolicy
from pullrequest.finding import Level
from pullrequest.result import Result
from pullrequest.text import counted

if TYPE_CHECKING:
    from processor.work import Work
    from shared.job import Job


class Policy(ActionPolicy, frozen=True, kw_only=True):
    """What a repository's policy may say of it, in the section [{name}]."""

    large_file: Annotated[Level, Meta(description="A file with more than `max_lines` added lines.")] = "warning"
    max_lines: Annotated[int, Meta(ge=1, le=1_000_000, description="Added lines of one file.")] = 1_000


# GitHub event -> values of the payload's action that start it; one action alone may have each of them.
TRIGGERS = {{"pull_request": ("{name}",)}}
# It stores and builds nothing of what a pull request brings, so that it runs for forks, too.
READS_ONLY = True
PENDING = "looking at the changes"


def run(job: Job, work: Work) -> Result:
    """Looks at the changed files.

    Raises:
        WorkError: the files could not be read.
    """
    files = 0
    for file in work.github.files():
        work.checkpoint()
        files += 1
        if file.additions > work.policy.max_lines:
            work.findings.add(work.policy.large_file, file.path, f"{{file.additions:,}} added lines", line=1)
    return Result(
        conclusion="failure" if work.findings.has_failures else "success",
        summary=f"{{counted(files, 'file')}} looked at",
        artifacts={{"files": files, "base": job.pull_request.base.sha}},
    )
'''

TEST = """from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from processor.actions import {name}
from pullrequest.changed_file import ChangedFile
from tests.unit.processor.fakes import FakeGitHub, FakeWork, a_job

if TYPE_CHECKING:
    from pullrequest.finding import Level


@pytest.mark.parametrize(
    ("level", "conclusion", "findings"),
    [("failure", "failure", 1), ("warning", "success", 1), ("ignore", "success", 0)],
)
def test_a_large_file_is_told_as_the_policy_says(level: Level, conclusion: str, findings: int) -> None:
    files = [ChangedFile("a.py", "modified", 2_000, 0, None), ChangedFile("b.py", "modified", 1, 0, None)]
    work = FakeWork(FakeGitHub(files), policy={name}.Policy(large_file=level))
    result = {name}.run(a_job("{name}"), work)
    assert (result.conclusion, result.summary) == (conclusion, "2 files looked at")
    assert [one.path for one in work.findings.items] == ["a.py"] * findings
"""


def new_action(name: str, root: Path, progress: Progress) -> int:
    """Writes the module and its test.

    Args:
        name: the action's; a name that Python takes.
        root: the checkout.
        progress: hears what was written.

    Returns:
        The exit code: 2 when the name cannot be one, or is one already.
    """
    console = progress.console
    module = root / "functions" / "processor" / "actions" / f"{name}.py"
    test = root / "tests" / "unit" / "processor" / f"test_{name}.py"
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        console.print(
            "[red]error:[/] a name has up to 40 lower-case letters, digits and underscores, and begins with a letter"
        )
        return 2
    if holder := collect(module.parent).get("pull_request", {}).get(name):
        console.print(f"[red]error:[/] pull_request/{name} starts {holder} already; choose another name")
        return 2
    for place in (module, module.with_suffix(""), test):
        if place.exists():
            console.print(f"[red]error:[/] {place.relative_to(root)} is there already; choose another name")
            return 2
    module.write_text(MODULE.format(name=name))
    test.write_text(TEST.format(name=name))
    for place in (module, test):
        console.print(f"  {place.relative_to(root)}")
    console.print(
        f"\nIts own test: .venv/bin/pytest {test.relative_to(root)}"
        f"\nThrough the whole stack: make up, then make trigger ACTION={name}"
        "\nIts policy is in docs/policy.md after make docs; docs/actions.md tells the rest."
    )
    return 0
