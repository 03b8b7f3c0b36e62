"""Runs both actions on a pull request that does everything to be executed, and prints what Python saw it do.

A program of its own, because an audit hook stays for the rest of the process. Standard output: one JSON array of the
forbidden audit events.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from processor.actions import build, synchronize
from pullrequest.changed_file import ChangedFile
from tests.unit.processor.fakes import FakeGitHub, FakeWork, a_job, an_archive

CANARY = "/tmp/pullback-was-executed"  # noqa: S108 - a name that must never come into being
TOUCH = f"import os, pathlib; os.system('touch {CANARY}'); pathlib.Path('{CANARY}').touch()\n"
HOSTILE = {
    "setup.py": TOUCH,
    "conftest.py": TOUCH,
    "sitecustomize.py": TOUCH,
    "usercustomize.py": TOUCH,
    "json.py": TOUCH,
    "yaml/__init__.py": TOUCH,
    "evil.pth": f"import os; os.system('touch {CANARY}')\n",
    "codec.py": f"# coding: evil_codec\n{TOUCH}",
    "broken.py": f"{TOUCH}(",
    "Makefile": f"all:\n\ttouch {CANARY}\n$(shell touch {CANARY})\n",
    "package.json": json.dumps({"scripts": {"preinstall": f"touch {CANARY}"}}),
    "pyproject.toml": f'[build-system]\nrequires = []\nbuild-backend = "setup"\nbackend-path = ["."] # {CANARY}\n',
    "evil.yaml": f"!!python/object/apply:os.system ['touch {CANARY}']\n",
    "evil2.yml": f"a: !!python/name:os.system\nb: !!python/module:setup\nc: !!python/object/new:os.system [{CANARY}]\n",
    ".pre-commit-config.yaml": f"repos: [{{repo: local, hooks: [{{id: x, entry: touch {CANARY}}}]}}]\n",
    ".gitattributes": "* filter=evil\n",
    ".git/config": f"[core]\n fsmonitor = touch {CANARY}\n",
    f"$(touch {CANARY}).py": TOUCH,
    f"; touch {CANARY} #.json": "{}",
    "{0.__class__.__init__.__globals__}.toml": "a = 1",
    "%s%n.py": "x = 1",
}
BENIGN = {
    "a.py": "x = 1\n",
    "bad.py": "(",
    "a.json": "{}",
    "bad.json": "{",
    "a.toml": "a = 1",
    "bad.toml": "=",
    "a.yaml": "a: 1",
    "bad.yaml": "a: [",
    "latin.py": "# coding: latin-1\n",
    "../x": "",
}

# compile is not among them: it is also what ast.parse does. Code that was compiled can do nothing before exec.
FORBIDDEN = (
    "exec", "import", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.startfile",
    "code.__new__", "ctypes.", "marshal.", "pickle.", "pty.", "socket.", "shutil.", "os.symlink", "os.link", "os.chmod",
    "os.rename", "os.mkdir", "os.truncate", "sys.settrace", "builtins.input",
)  # fmt: skip


def pull_request(files: dict[str, str]) -> FakeGitHub:
    changed = [
        ChangedFile(
            path, "added", text.count("\n"), 0, f"@@ -0,0 +1,{text.count(chr(10))} @@\n" + text.replace("\n", "\n+")
        )
        for path, text in files.items()
    ]
    return FakeGitHub(changed, archive=an_archive({path: text.encode() for path, text in files.items()}))


def run_both(files: dict[str, str]) -> None:
    synchronize.run(a_job(), FakeWork(pull_request(files), policy=synchronize.Policy()))
    build.run(a_job("build"), FakeWork(pull_request(files), policy=build.Policy()))


def main() -> None:
    # What the actions need is imported when it is first needed.
    run_both(BENIGN)
    seen: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(FORBIDDEN):
            seen.append(f"{event} {arguments[:1]!r:.200}")
        elif event == "open" and not isinstance(arguments[0], int):
            path, mode = str(arguments[0]), arguments[1]
            # Temporary files have a name only where the file system gives no unnamed ones.
            if any(name in path for name in HOSTILE) or "pullback" in path:
                seen.append(f"open {path} {mode}")

    sys.addaudithook(watch)
    run_both(HOSTILE)
    events, watched = list(seen), len(seen)
    # That the hook sees anything at all.
    exec("pass")  # noqa: S102
    if len(seen) == watched:
        events.append("the hook does not work")
    sys.stdout.write(json.dumps(events))


if __name__ == "__main__":
    main()
