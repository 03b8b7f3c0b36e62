"""The sampler of memory and CPU time, on processes of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from drills.load.usage import Sampler, servers_of, used

if TYPE_CHECKING:
    from collections.abc import Iterator

MEGABYTES = 60


@pytest.fixture
def large() -> Iterator[subprocess.Popen[str]]:
    """A process that holds so much, and has a child that holds as much."""
    hold = f"held = bytearray(b'x') * ({MEGABYTES} << 20)"
    child = f"{hold}; print('ready', flush=True); input()"
    parent = f"import subprocess, sys; {hold}; sys.exit(subprocess.call([sys.executable, '-c', {child!r}]))"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    """Lets the process and its child end."""
    if process.poll() is None:
        process.communicate("\n")


def test_a_server_and_its_children_are_counted_apart(large: subprocess.Popen[str]) -> None:
    parts = used({"server": large.pid})
    assert parts.keys() == {"server", "server children"}
    assert all(MEGABYTES < size < MEGABYTES + 40 for size in parts.values()), parts


def test_servers_are_called_after_their_modules() -> None:
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(0.1)
        found = servers_of([process.pid, os.getpid()])
        process.terminate()
    assert found["server"] == process.pid
    assert servers_of([process.pid]) == {}


def test_what_is_gone_is_left_out() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert used({"gone": process.pid}) == {}


def test_the_peak_stays_when_the_process_is_gone(large: subprocess.Popen[str]) -> None:
    with Sampler({"server": large.pid, "test": os.getpid()}, interval=0.02) as sampler:
        time.sleep(0.2)
        end(large)
        time.sleep(0.1)
    assert sampler.peak_mb > 2 * MEGABYTES
    assert sampler.peak.keys() >= {"server", "server children", "test"}


def test_cpu_time_is_counted_by_part_from_enter_on() -> None:
    """Of the parent only what it takes from then on, of a child that it starts meanwhile all."""
    burn = "import time; end = time.process_time() + {}\nwhile time.process_time() < end: pass\n"
    child = burn.format(0.3) + "print('burnt', flush=True); input()"
    parent = f"{burn.format(0.5)}print('ready', flush=True); input(); import subprocess, sys\n"
    parent += f"sys.exit(subprocess.call([sys.executable, '-c', {child!r}]))"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with Sampler({"server": process.pid}, interval=0.02) as sampler:
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "burnt\n"
            time.sleep(0.1)
        end(process)
    assert sampler.cpu_seconds["server children"] >= 0.3
    assert sampler.cpu_seconds["server"] < 0.3
