"""The mutation tester's own parts; what it finds is `make mutants`."""

from __future__ import annotations

import ast
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from poodle.data_types import Mutant, MutantTrialResult

from tests.conftest import ROOT
from tests.mutants import runner
from tests.mutants.operands import OperandMutator
from tests.mutants.table import SOURCE as FUNCTIONS
from tests.mutants.table import Change, Table, TableError, change_of, statement_at

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SOURCE = """
class Holder:
    @property
    @final
    def held(self) -> bool:
        if self.a and self.b or self.c:
            telemetry.log.info(
                "held",
                since=now(),
            )
        return True
"""


def mutations(source: str) -> list[Any]:
    mutator = OperandMutator(config=SimpleNamespace(), echo=print)
    return mutator.create_mutations(parsed_ast=ast.parse(source), file_lines=source.splitlines())


def test_every_operand_of_a_condition_is_left_out_once() -> None:
    was = "if self.a and self.b or self.c:"
    assert [change_of("m.py", SOURCE, one) for one in mutations(SOURCE)] == [
        Change("m.py", "Holder.held", was, becomes)
        for becomes in (
            "if (self.c):",
            "if (self.a and self.b):",
            "if (self.b) or self.c:",
            "if (self.a) or self.c:",
        )
    ]


def test_a_change_to_the_module_itself_is_in_no_function() -> None:
    (first, _) = mutations("\nIS_ON = a or b\n")
    assert change_of("m.py", "\nIS_ON = a or b\n", first) == Change("m.py", "", "IS_ON = a or b", "IS_ON = (b)")


@pytest.mark.parametrize(
    ("lineno", "statement"),
    [
        (2, "class Holder:"),
        (3, "@property"),
        (4, "@property"),
        (5, "@property"),
        (6, "if self.a and self.b or self.c:"),
        (7, "telemetry.log.info("),
        (9, "telemetry.log.info("),
        (11, "return True"),
    ],
)
def test_a_statement_is_found_by_any_of_its_lines(lineno: int, statement: str) -> None:
    assert statement_at(SOURCE, lineno) == statement


def test_the_table_names_what_is_there_and_gives_reasons() -> None:
    table = Table.read()
    assert table.modules
    for change in table.explained:
        # What is not there any more would be noticed by a run only.
        assert " ".join((ROOT / "functions" / change.module).read_text().split()).find(change.was) >= 0, change


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[modules]\n"no/such.py" = []', r"there is no functions/no/such\.py"),
        ('[modules]\n"shared/job.py" = ["unit/no.py"]', r"there is no tests/unit/no\.py"),
        ('[modules]\n[[explained]]\nmodule = "a"\nwas = "b"\nbecomes = "c"\nreason = "d"', "is of no module"),
        ('[modules]\n[[skipped]]\nstatement = "b"\nreason = ""', "a reason is missing"),
        (
            (
                '[modules]\n"shared/job.py" = []\n[[explained]]\nmodule = "shared/job.py"\nwas = "b"\nbecomes = "c"\n'
                'reason = ""'
            ),
            "a reason is missing",
        ),
    ],
)
def test_a_table_that_is_wrong_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "table.toml").write_text(text)
    with pytest.raises(TableError, match=problem):
        Table.read(tmp_path / "table.toml")


@pytest.mark.parametrize(
    ("test", "found", "reason"),
    [
        ("from changed import ONE\n\ndef test() -> None:\n    assert ONE == 1", False, MutantTrialResult.RC_NOT_FOUND),
        ("from changed import ONE\n\ndef test() -> None:\n    assert ONE == 2", True, MutantTrialResult.RC_FOUND),
        ("import not_there", True, MutantTrialResult.RC_FOUND),
        ("import time\n\ndef test() -> None:\n    time.sleep(60)", True, MutantTrialResult.RC_TIMEOUT),
    ],
)
def test_a_change_is_noticed_by_a_test_that_fails_or_hangs(tmp_path: Path, test: str, found: bool, reason: str) -> None:
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "changed.py").write_text("ONE = 1\n")
    (tmp_path / "test_it.py").write_text(test)
    result = run(tmp_path, time.time() + 60, timeout=4.0 if reason == MutantTrialResult.RC_TIMEOUT else 60.0)
    assert (result.found, result.reason_code) == (found, reason), result.reason_desc


def test_the_cases_of_other_handlers_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "functions" / "mine").mkdir(parents=True)
    (tmp_path / "functions" / "mine" / "handler.py").write_text("ONE = 1\n")
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\n"
        "@pytest.mark.parametrize('module', ['mine.handler', 'other.handler'])\n"
        "def test(module: str) -> None:\n"
        "    assert module == 'mine.handler'\n"
    )
    result = run(tmp_path, time.time() + 60, module="mine/handler.py", others=("other/handler.py", "other/what.py"))
    assert not result.found, result.reason_desc


def test_nothing_is_tried_when_the_time_is_up(tmp_path: Path) -> None:
    assert run(tmp_path, time.time() - 1).reason_code == MutantTrialResult.RC_INCOMPLETE


def run(
    directory: Path, until: float, timeout: float = 60.0, module: str = "changed.py", others: Sequence[str] = ()
) -> MutantTrialResult:
    mutant = Mutant("", 0, 0, 0, 0, "", source_folder=FUNCTIONS, source_file=FUNCTIONS / module)
    tests = {one: [str(directory / "test_it.py")] for one in (module, *others)}
    config = SimpleNamespace(runner_opts={"tests": tests, "timeouts": {module: timeout}, "until": until})
    return runner.run(config=config, run_folder=directory, mutant=mutant, timeout=None)
