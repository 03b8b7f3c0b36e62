"""Works through an input of some size, in a process that has started as the processor's does.

    python growth.py report FILES
    python growth.py bundle ARCHIVE

Prints, as JSON, the CPU seconds of the work, and the peak of the process' memory in MB before it and with it.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LINES = 120
"""Of a patch. A third of them is added, a third removed."""


def report(files: int) -> Callable[[], object]:
    """The report on a pull request of so many files, handed over one by one as GitHub's client does."""
    from processor.actions.synchronize.diff import examine
    from pullrequest.changed_file import ChangedFile

    third = LINES // 3
    patches = []
    for number in range(50):
        lines = [f" {number * line:x} = value({line}, of={number})" for line in range(third)]
        lines += [f"-{number * line:x} = before({line}, of={number})" for line in range(third)]
        lines += [f"+{number * line:x} = after({line}, of={number})" for line in range(third)]
        patches.append(f"@@ -1,{2 * third} +1,{2 * third} @@\n" + "\n".join(lines))

    def changed() -> Iterator[ChangedFile]:
        for number in range(files):
            path = f"src/package_{number % 40}/module_{number}.py"
            yield ChangedFile(path, "modified", third, third, patches[number % len(patches)])

    def work() -> None:
        found = examine(changed())
        if (found.files, found.additions, found.unreadable.count) != (files, files * third, 0):
            sys.exit(f"the report is wrong: {found.summary()}")
        json.dumps(found.to_dict())

    return work


def bundle(archive: Path) -> Callable[[], object]:
    """The bundle of an archive: read, every file checked that has a language, packed again."""
    from processor.actions.build.archive import pack, read_archive
    from processor.actions.build.syntax import check, language, limit

    def work() -> None:
        with archive.open("rb") as stream, tempfile.TemporaryFile() as spool, tempfile.TemporaryFile() as packed:
            tree = read_archive(stream, spool)
            for file in tree.files:
                is_checked = language(file.path) is not None and file.size <= limit(file.path)
                if is_checked and check(file.path, tree.read(file)) is not None:
                    sys.exit(f"{file.path} cannot be read")
            pack(tree, packed)

    return work


def peak_megabytes() -> float:
    """The highest resident set of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage's: that of a process which was started by a larger one begins with the larger one's.
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024)


def main() -> None:
    """Does the work, and prints what it took."""
    kind, size = sys.argv[1:]
    importlib.import_module("processor.handler")
    work = report(int(size)) if kind == "report" else bundle(Path(size))
    before = peak_megabytes()
    began = time.process_time()
    work()
    seconds = time.process_time() - began
    print(json.dumps({"seconds": seconds, "before": before, "peak": peak_megabytes()}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
