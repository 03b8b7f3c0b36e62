from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.unit.processor import hostile

ROOT = Path(__file__).resolve().parents[3]


def test_nothing_of_a_hostile_pull_request_is_executed_or_imported(tmp_path: Path) -> None:
    Path(hostile.CANARY).unlink(missing_ok=True)

    done = subprocess.run(
        [sys.executable, "-P", "-m", "tests.unit.processor.hostile"],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "functions"), str(ROOT)]),
            "TMPDIR": str(tmp_path),
        },
        capture_output=True,
        timeout=60,
        check=True,
    )

    assert json.loads(done.stdout) == []
    assert not Path(hostile.CANARY).exists()
    assert list(tmp_path.iterdir()) == []


def test_the_hostile_files_are_all_seen() -> None:
    """The test above would prove nothing if the files were not looked at."""
    from processor.actions import build
    from tests.unit.processor.fakes import FakeWork, a_job

    work = FakeWork(policy=build.Policy(), github=hostile.pull_request(hostile.HOSTILE))
    result = build.run(a_job("build"), work)

    assert result.artifacts["files"] == len(hostile.HOSTILE) - 1
    assert [item["path"] for item in result.artifacts["problems"]["items"]] == ["broken.py"]
    assert [item["reason"] for item in result.artifacts["left_out"]["items"]] == ["path is git's own"]
    assert sum(result.artifacts["not_checked"].values()) == 1
