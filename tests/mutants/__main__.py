"""The mutation tester's command line: ``python -m tests.mutants --help``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poodle import PoodleTrialRunError
from poodle.data_types import MutantTrialResult, PoodleConfig, PoodleWork
from poodle.mutate import create_mutants_for_file, initialize_mutators
from poodle.run import clean_run_trial, run_mutant_trails
from poodle.util import create_temp_zips
from rich.console import Console
from wcmatch.pathlib import GLOBSTAR

from tests.mutants import runner
from tests.mutants.operands import OperandMutator
from tests.mutants.table import ROOT, SOURCE, Change, Table, change_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poodle.data_types import Mutant

WORKERS = 2
RUN_SECONDS = 3600
"""After so long what was not tried yet is left; a run on a busy machine took a third of it."""
HANGS_AFTER = 4
"""So many times what a module's tests take without a change; a mutant that takes longer hangs."""
HANGS_AFTER_SECONDS = 10.0
"""And at least so long: the machine may be busy."""


def main() -> int:
    """Returns the exit code: 0 everything was noticed or is explained, 1 something was not, 2 the tests fail anyway, or
    the time was up."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants",
        description="Changes the code in small ways, and sees whether a test notices.",
    )
    parser.add_argument("--only", default="", help="part of a module's path: only these modules")
    options = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True, markup=False)
    table = Table.read()
    modules = [one for one in table.modules if options.only in one]
    with tempfile.TemporaryDirectory() as directory:
        work = PoodleWork(_config(Path(directory) / "work"))
        _collect_triggers()
        create_temp_zips(work)
        work.runner = runner.run
        mutants, changes = _mutants(work, modules, table)
        console.print(f"{len(mutants)} changes to {len(modules)} modules")
        try:
            timeouts = {module: _clean_run_seconds(work, module, table) for module in modules}
        except PoodleTrialRunError as error:
            console.print(*error.args)
            return 2
        work.config.runner_opts |= {"timeouts": timeouts, "until": time.time() + RUN_SECONDS}
        work.echo = _Progress(len(mutants))
        trials = run_mutant_trails(work, mutants, RUN_SECONDS).mutant_trials
    left = sum(trial.result.reason_code == MutantTrialResult.RC_INCOMPLETE for trial in trials)
    if left:
        console.print(f"the time is up: {left} changes were not tried")
        return 2
    survivors = {change for change, trial in zip(changes, trials, strict=True) if not trial.result.found}
    return _report(console, survivors, table, modules)


def _collect_triggers() -> None:
    """Writes webhook/triggers.json, as every test run does, before the sources are copied; a fresh clone has none.

    In a process of its own: the mutants' tests are forked from this one, and must import the changed modules anew.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / SOURCE), str(ROOT)))}
    subprocess.run([sys.executable, "-c", "import tests.conftest"], cwd=ROOT, env=environment, check=True)


def _clean_run_seconds(work: PoodleWork, module: str, table: Table) -> float:
    """Runs a module's tests without a change; how long the same may take with one.

    Raises:
        PoodleTrialRunError: they fail.
    """
    work.config.runner_opts |= {"tests": table.modules, "unchanged": module}
    return max(HANGS_AFTER_SECONDS, HANGS_AFTER * float(clean_run_trial(work, SOURCE).duration))


def _mutants(work: PoodleWork, modules: Sequence[str], table: Table) -> tuple[list[Mutant], list[Change]]:
    work.mutators = initialize_mutators(work)
    mutants: list[Mutant] = []
    changes: list[Change] = []
    for module in modules:
        source = (SOURCE / module).read_text()
        for mutant in create_mutants_for_file(work, SOURCE, SOURCE / module):
            if not table.skips(source, mutant.lineno):
                mutants.append(mutant)
                changes.append(change_of(module, source, mutant))
    return mutants, changes


def _report(console: Console, survivors: set[Change], table: Table, modules: Sequence[str]) -> int:
    new = sorted(survivors - table.explained.keys(), key=str)
    stale = sorted((one for one in table.explained.keys() - survivors if one.module in modules), key=str)
    for title, found in (("No test notices:", new), ("Explained, but noticed or not there any more:", stale)):
        if found:
            console.print(f"\n{title}")
        for change in found:
            fields = "\n".join(f"{name} = {json.dumps(text)}" for name, text in vars(change).items() if text)
            console.print(f"\n[[explained]]\n{fields}")
    console.print(f"\n{len(survivors)} not noticed, of which {len(survivors) - len(new)} are explained")
    return 1 if new or stale else 0


@dataclass
class _Progress:
    """poodle's way to tell of each trial; every fiftieth is told of. Travels to the workers, which say nothing."""

    total: int
    told: int = 0

    def __call__(self, text: str = "", **_: Any) -> None:
        if text.startswith("COMPLETED"):
            self.told += 1
            if self.told % 50 == 0 or self.told == self.total:
                Console().print(f"{self.told} of {self.total}", highlight=False)


def _config(directory: Path) -> PoodleConfig:
    return PoodleConfig(
        project_name=None,
        project_version=None,
        config_file=None,
        source_folders=[SOURCE],
        only_files=[],
        file_flags=None,
        file_filters=[],
        file_copy_flags=GLOBSTAR,
        file_copy_filters=["*.pyc"],
        work_folder=directory,
        max_workers=WORKERS,
        log_format="%(message)s",
        log_level="WARNING",
        echo_enabled=False,
        echo_no_color=True,
        mutator_opts={},
        # Texts are for people, or names that a test of the template or of the log holds.
        skip_mutators=["String"],
        add_mutators=[OperandMutator],
        min_timeout=1,
        timeout_multiplier=1,
        runner="command_line",
        runner_opts={},
        reporters=[],
        reporter_opts={},
        fail_under=None,
        skip_delete_folder=False,
    )


if __name__ == "__main__":
    sys.exit(main())
