"""Runs a module's tests against its mutant, in a process that is forked where all libraries are imported already.

An import of boto3, moto and the rest takes longer than the tests; a thousand of them would take half an hour.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import time
import traceback
from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session
from poodle.data_types import MutantTrialResult

from tests.mutants.table import ROOT, SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from poodle.data_types import Mutant, PoodleConfig

LIBRARIES = (
    "_pytest.assertion.rewrite", "aws_lambda_powertools.utilities.batch", "aws_lambda_powertools.utilities.idempotency",
    "aws_lambda_powertools.utilities.parser", "aws_xray_sdk.core", "boto3", "flask", "github", "hypothesis.strategies",
    "jinja2", "jwt", "moto.dynamodb.models", "moto.s3.models", "moto.secretsmanager.models", "moto.sqs.models",
    "moto.stepfunctions.models", "psutil", "pygit2", "pytest", "pytest_timeout", "requests", "rich.console",
    "unidiff", "yaml",
)  # fmt: skip
"""What tests and functions import; nothing of ours, which is what changes. More would do no harm."""

SERVICES = ("dynamodb", "lambda", "s3", "secretsmanager", "sqs", "stepfunctions")

POLL_SECONDS = 0.02


def run(
    *, config: PoodleConfig, run_folder: Path, mutant: Mutant, timeout: float | None, **_: Any
) -> MutantTrialResult:
    """Runs the tests of a mutant's module; poodle's interface of a runner.

    Args:
        config: ``runner_opts`` has ``tests`` and ``timeouts`` (seconds; what takes longer hangs, which is noticed as
            well) of each module, ``unchanged``: whose tests are run when nothing was changed, and ``until``: after this
            time nothing is tried any more.
        run_folder: has a copy of the source folder, with the change.
        mutant: the change.
        timeout: seconds, when nothing was changed; None for ten minutes.
    """
    options = config.runner_opts
    if mutant.source_file is None:
        module = options["unchanged"]
    else:
        if time.time() > options["until"]:
            return MutantTrialResult(found=False, reason_code=MutantTrialResult.RC_INCOMPLETE)
        module = mutant.source_file.relative_to(SOURCE).as_posix()
        timeout = options["timeouts"][module]
    tests, only = options["tests"][module], _without_others(module, options["tests"])
    _warm_up()
    output = run_folder.resolve() / "output.txt"
    child = os.fork()
    if not child:
        _test(run_folder.resolve() / SOURCE, tests, only, output)
    code = _ended(child, timeout)
    if code is None:
        return MutantTrialResult(found=True, reason_code=MutantTrialResult.RC_TIMEOUT)
    if code == 0:
        return MutantTrialResult(found=False, reason_code=MutantTrialResult.RC_NOT_FOUND)
    # 1: a test failed. Anything else: the module could not even be imported.
    told = output.read_text(errors="replace")
    return MutantTrialResult(found=True, reason_code=MutantTrialResult.RC_FOUND, reason_desc=told)


@cache
def _warm_up() -> None:
    """Imports the libraries, and reads botocore's data about AWS, which every test's clients would read again."""
    for library in LIBRARIES:
        importlib.import_module(library)
    # Every session makes a loader of its own, and reads everything again.
    loader = botocore.session.create_loader()
    botocore.session.create_loader = lambda *_: loader
    for service in SERVICES:
        botocore.session.Session().create_client(service, region_name="us-east-1")


def _without_others(module: str, modules: Iterable[str]) -> str:
    """An expression for pytest's ``-k`` that leaves out the cases of other handlers; empty, so takes all, without any.

    The tests of the wiring have cases of every handler, by its name, and each case costs an account on moto.
    """
    others = [one.removesuffix(".py").replace("/", ".") for one in modules if one != module and "/handler" in one]
    return f"not ({' or '.join(others)})" if others else ""


def _test(source: Path, tests: Sequence[str], only: str, output: Path) -> None:
    """The forked process: never returns."""
    code = 70
    try:
        os.setsid()
        file = os.open(output, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.chdir(ROOT)
        sys.dont_write_bytecode = True
        sys.path[:] = [one for one in sys.path if one not in (str(ROOT / SOURCE), str(SOURCE))]
        # Ours, and what was imported for the table: the tests import their own.
        for name in [name for name in sys.modules if name == "tests" or name.startswith("tests.")]:
            del sys.modules[name]
        import pytest

        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=line", "--hypothesis-seed=0"]
        options += ["-k", only]
        code = int(pytest.main([*options, "-o", f"pythonpath={source} {ROOT}", *tests]))
    except BaseException:  # noqa: BLE001 # it must not return into poodle, whatever happens
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _ended(child: int, timeout: float | None) -> int | None:
    """The exit code; None when it took too long, and was killed with all that it started."""
    deadline = time.monotonic() + (timeout or 600.0)
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(POLL_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
