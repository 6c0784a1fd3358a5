"""CPU time and memory are those of the process that was asked about."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.process import MIB, Peak, cpu_seconds, family, memory

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

BURNS = "sum(range(5_000_000)); print('done', flush=True); input()"
FORKS = (
    "import subprocess, sys; c = subprocess.Popen([sys.executable, '-c', 'print(1, flush=True); input()']); c.wait()"
)


@contextmanager
def running(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that has printed its first line."""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process
        assert process.stdin is not None
        process.stdin.write(b"\n")


def test_cpu_time_is_what_the_process_itself_would_say() -> None:
    before = time.process_time()
    seen = cpu_seconds(os.getpid())
    assert before <= seen <= time.process_time()


def test_cpu_time_of_another_process_is_its_own_and_rests_while_it_waits() -> None:
    with running(BURNS) as process:
        spent = cpu_seconds(process.pid)
        assert spent > 0.01
        sum(range(5_000_000))  # ours
        assert cpu_seconds(process.pid) - spent < 0.01


def test_memory_that_is_written_to_is_anonymous_and_private() -> None:
    before = memory(os.getpid())
    held = bytearray(os.urandom(32 * MIB))
    grown = memory(os.getpid()) - before
    assert len(held) == 32 * MIB
    for kind in (grown.anon, grown.uss, grown.pss, grown.rss):
        assert kind > 30 * MIB
    assert grown.file < 8 * MIB


def test_a_mapped_file_is_counted_apart_from_memory(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(32 * MIB))
    before = memory(os.getpid())
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[position] for position in range(0, 32 * MIB, 4096)) == 0
        grown = memory(os.getpid()) - before
    assert grown.file > 30 * MIB
    assert grown.anon < 8 * MIB


def test_the_peak_remembers_memory_that_was_given_back() -> None:
    before = memory(os.getpid()).rss
    with Peak(os.getpid(), every_s=60) as peak:  # the kernel keeps the mark, not the sampling
        held = bytearray(os.urandom(64 * MIB))
        del held
    assert peak.rss - before > 60 * MIB


def test_the_peak_forgets_what_was_before_it() -> None:
    held = bytearray(os.urandom(64 * MIB))
    del held
    with Peak(os.getpid()) as peak:
        pass
    assert peak.rss - memory(os.getpid()).rss < 32 * MIB


def test_the_parts_of_the_peak_are_those_of_memory() -> None:
    before = memory(os.getpid())
    with Peak(os.getpid()) as peak:
        held = bytearray(os.urandom(32 * MIB))
    assert len(held) > 0
    assert peak.anon - before.anon > 30 * MIB
    assert peak.file - before.file < 8 * MIB


def test_a_family_is_a_process_and_all_that_it_has_started() -> None:
    with running(FORKS) as process:
        members = family(process.pid)
        assert members[0] == process.pid
        assert len(members) == 2
        assert set(members) <= set(family(os.getpid()))
