"""How much memory a running stack takes at most, and how much CPU time, by its parts."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Self

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

INTERVAL_SECONDS = 1.0
"""Between two samples. The kernel walks the page tables for each, some milliseconds a process."""
MEGABYTE = 1024 * 1024


class Sampler:
    """Samples memory and CPU time in a thread of its own, between enter and exit.

    Counted of memory is the proportional set size where the kernel tells it (Linux), so that pages that processes share
    count once; elsewhere the resident set. Of CPU time a process that ends lacks what it took since the last sample.

    Args:
        servers: the process ids of servers by name. What a server has started counts as ``<name> children``.
        interval: seconds between two samples.
    """

    def __init__(self, servers: Mapping[str, int], interval: float = INTERVAL_SECONDS) -> None:
        self.peak: dict[str, float] = {}
        """MB (1024²) by part, at the moment when their sum was highest."""
        self._servers = servers
        self._interval = interval
        self._cpu: dict[tuple[str, psutil.Process], tuple[float, float]] = {}
        """By part and process: the CPU seconds that it had taken at the first sample, and at its last one."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="usage", daemon=True)

    @property
    def peak_mb(self) -> float:
        """The highest sum, in MB (1024²)."""
        return sum(self.peak.values())

    @property
    def cpu_seconds(self) -> dict[str, float]:
        """CPU seconds by part, user's and system's, since enter."""
        taken: dict[str, float] = {}
        for (part, _), (first, last) in self._cpu.items():
            taken[part] = taken.get(part, 0.0) + last - first
        return taken

    def __enter__(self) -> Self:
        self._cpu = {key: (seconds, seconds) for key, seconds in _cpu_seconds(self._servers).items()}
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
            stopped = self._stop.wait(self._interval)
            for key, seconds in _cpu_seconds(self._servers).items():
                # A process that was started since has taken all of it since.
                self._cpu[key] = (self._cpu.get(key, (0.0, 0.0))[0], seconds)
            if stopped:
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
    for part, process in _processes(servers):
        parts[part] = parts.get(part, 0.0) + _size(process) / MEGABYTE
    return parts


def _processes(servers: Mapping[str, int]) -> Iterator[tuple[str, psutil.Process]]:
    """Each server and each process below it, with its part's name."""
    for name, pid in servers.items():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process = psutil.Process(pid)
            children = process.children(recursive=True)
            yield name, process
            for child in children:
                yield f"{name} children", child


def _cpu_seconds(servers: Mapping[str, int]) -> dict[tuple[str, psutil.Process], float]:
    taken: dict[tuple[str, psutil.Process], float] = {}
    for part, process in _processes(servers):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            times = process.cpu_times()
            taken[part, process] = times.user + times.system
    return taken


def _size(process: psutil.Process) -> int:
    """Bytes; 0 when the process is gone."""
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.rss))
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
