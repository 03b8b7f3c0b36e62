"""How much memory a running stack takes, and how much it took at most."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Self

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

INTERVAL_SECONDS = 1.0
"""Between two samples. The kernel walks the page tables for each, some milliseconds a process."""
MEGABYTE = 1024 * 1024


class MemorySampler:
    """Samples memory in a thread of its own, between enter and exit.

    Counted is the proportional set size where the kernel tells it (Linux), so that pages that processes share count
    once; elsewhere the resident set.

    Args:
        servers: the process ids of servers by name. What a server has started counts as ``<name> children``.
        interval: seconds between two samples.
    """

    def __init__(self, servers: Mapping[str, int], interval: float = INTERVAL_SECONDS) -> None:
        self.peak: dict[str, float] = {}
        """MB (1024²) by part, at the moment when their sum was highest."""
        self._servers = servers
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    @property
    def peak_mb(self) -> float:
        """The highest sum, in MB (1024²)."""
        return sum(self.peak.values())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            sample = used(self._servers)
            if sum(sample.values()) > self.peak_mb:
                self.peak = sample
            if self._stop.wait(self._interval):
                return


def servers_of(pids: Iterable[int]) -> dict[str, int]:
    """The process ids of servers by name: ``local.engine`` is called ``engine``. Those that are gone are left out."""
    servers: dict[str, int] = {}
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            command = psutil.Process(pid).cmdline()
            if "-m" in command:
                servers[command[command.index("-m") + 1].rpartition(".")[2]] = pid
    return servers


def used(servers: Mapping[str, int]) -> dict[str, float]:
    """The memory in MB (1024²) that each server and, apart, its children take now; parts that are gone are left out."""
    parts: dict[str, float] = {}
    for name, pid in servers.items():
        try:
            process = psutil.Process(pid)
            parts[name] = _size(process) / MEGABYTE
            children = process.children(recursive=True)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if children:
            parts[f"{name} children"] = sum(map(_size, children)) / MEGABYTE
    return parts


def _size(process: psutil.Process) -> int:
    """Bytes; 0 when the process is gone."""
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.rss))
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
