"""The process that libFuzzer runs in: ``python -m tests.fuzz.coverage_guided TARGET OUTCOMES LIBFUZZER-ARGUMENTS...``.

Started by tests.fuzz.engines. The coverage is that of functions/, and of tests.fuzz.source.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAVE_INTERVAL_SECONDS = 1.0


def main() -> None:
    """Fuzzes until libFuzzer ends the process."""
    # Not by a statement: it is there for `make fuzz` alone, and has no types.
    atheris = importlib.import_module("atheris")
    sys.path[:0] = [str(ROOT / "functions"), str(ROOT)]
    harness = [f"tests.fuzz.{file.stem}" for file in Path(__file__).parent.glob("*.py") if file.stem != "source"]
    # Of the harness only what turns bytes into decisions: where pydantic or a codec decides, in a language without
    # coverage, different decisions are the only sign of different inputs.
    with atheris.instrument_imports(
        include=[
            "closing",
            "crash",
            "processor",
            "pullrequest",
            "replay",
            "shared",
            "sweeper",
            "task",
            "tests",
            "watch",
            "webhook",
        ],
        exclude=[*harness, "tests.fuzz", "tests.conftest", "tests.support"],
    ):
        from tests.fuzz import targets

        targets.prepare()
    _, name, outcomes_file, *arguments = sys.argv
    run = targets.TARGETS[name].run
    outcomes: Counter[str] = Counter()
    saved_at = 0.0

    def fuzz(data: bytes) -> None:
        nonlocal saved_at
        outcomes[run(data)] += 1
        # libFuzzer leaves without a word to Python, so the last second of them is lost.
        if time.monotonic() > saved_at + SAVE_INTERVAL_SECONDS:
            saved_at = time.monotonic()
            Path(outcomes_file).write_text(json.dumps(dict(outcomes.most_common())), encoding="utf-8")

    atheris.Setup([sys.argv[0], *arguments], fuzz)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
