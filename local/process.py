"""Processes of the local environment: started with a port of their own, stopped in every case."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STOP_SECONDS = 8.0


class LocalProcessError(RuntimeError):
    """A process of the local environment did not start; the message tells where its log is."""


def announce_port(file: Path, port: int) -> None:
    """Writes the port for the parent to read; whole or not at all."""
    draft = file.with_suffix(".tmp")
    draft.write_text(str(port))
    draft.replace(file)


def exit_with_parent() -> None:
    """Ends this process when its standard input is closed, as it is when its parent is gone, however it went."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), 15)

    threading.Thread(target=watch, daemon=True).start()


class LocalProcess:
    """One Python module run as a server of its own.

    Args:
        module: the module to run; takes --port-file and --exit-with-parent.
        arguments: further arguments.
        directory: for its log and its port file.
        environ: its whole environment.
        detached: keep it running when this process ends.
    """

    def __init__(
        self, module: str, arguments: list[str], directory: Path, environ: Mapping[str, str], *, detached: bool = False
    ) -> None:
        self.name = module.rsplit(".", 1)[-1]
        self.log = directory / f"{self.name}.log"
        port_file = directory / f"{self.name}.port"
        port_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", module, *arguments, "--port-file", str(port_file)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command if detached else [*command, "--exit-with-parent"],
                stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environ,
                # Ctrl-C reaches the whole foreground group; these are stopped in order by their parent.
                start_new_session=True,
            )
        self._port_file = port_file
        self.pid = self._process.pid

    @cached_property
    def port(self) -> int:
        """Where it answers: waits until it does, so that several can start at once.

        Raises:
            LocalProcessError: it did not start.
        """
        return self._wait_for_port()

    def _wait_for_port(self, timeout: float = 30.0) -> int:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._port_file.exists():
                return int(self._port_file.read_text())
            if self._process.poll() is not None:
                raise LocalProcessError(f"{self.name} ended at once; its log: {self.log}")
            time.sleep(0.02)
        self.stop()
        raise LocalProcessError(f"{self.name} did not answer within {timeout:.0f} s; its log: {self.log}")

    def stop(self) -> None:
        """Ends the process: politely, then not."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
