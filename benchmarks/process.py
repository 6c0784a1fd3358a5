"""What a process has cost: CPU time and memory, as Linux counts them. Works on any process of the same user."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

KIB, MIB = 1 << 10, 1 << 20

_ROLLUP = {"Rss": "rss", "Pss": "pss", "Private_Clean": "uss", "Private_Dirty": "uss"}
_STATUS = {"RssAnon": "anon", "RssFile": "file"}
_SCHEDULED = 2  # CPUCLOCK_SCHED of the kernel's posix-timers: user and system time, in nanoseconds


@dataclass(frozen=True)
class Memory:
    """Bytes that a process holds.

    Attributes:
        rss: resident, shared pages counted in full.
        pss: resident, each shared page divided by the number of its users.
        uss: resident and shared with nobody.
        anon: resident and of no file: heap and stacks.
        file: resident pages of mapped files, which the kernel can drop.
    """

    rss: int
    pss: int
    uss: int
    anon: int
    file: int

    def __sub__(self, before: Memory) -> Memory:
        """What has been added since `before`."""
        return Memory(*(getattr(self, each.name) - getattr(before, each.name) for each in fields(self)))


def memory(pid: int) -> Memory:
    """What the process holds now. Reading it walks its page tables: milliseconds, not microseconds."""
    sizes = dict.fromkeys((each.name for each in fields(Memory)), 0)
    for path, names in (("smaps_rollup", _ROLLUP), ("status", _STATUS)):
        for name, size in _kib_fields(Path(f"/proc/{pid}/{path}")):
            if name in names:
                sizes[names[name]] += size
    return Memory(**sizes)


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads, those that ended included, since the process began."""
    return time.clock_gettime((~pid << 3) | _SCHEDULED)


class Peak:
    """The most memory that a process holds while the context lasts, anonymous and file-mapped apart.

    The kernel keeps one high-water mark for the sum (`rss`, exact); the parts are sampled.
    """

    def __init__(self, pid: int, every_s: float = 0.002) -> None:
        self._pid = pid
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.anon = self.file = self.rss = 0

    def __enter__(self) -> Self:
        Path(f"/proc/{self._pid}/clear_refs").write_text("5")  # resets the high-water mark
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(self._every_s):
            self._look()

    def _look(self) -> None:
        try:
            now = dict(_kib_fields(Path(f"/proc/{self._pid}/status")))
        except (FileNotFoundError, ProcessLookupError):
            return  # it has ended; what was seen stands
        self.anon = max(self.anon, now.get("RssAnon", 0))
        self.file = max(self.file, now.get("RssFile", 0))
        self.rss = max(self.rss, now.get("VmHWM", 0))


def _kib_fields(path: Path) -> list[tuple[str, int]]:
    """The lines `Name:  123 kB` of a file in /proc, in bytes."""
    found = []
    for line in path.read_text().splitlines():
        name, _, rest = line.partition(":")
        if rest.endswith(" kB"):
            found.append((name, int(rest.split()[0]) * KIB))
    return found


def family(pid: int) -> list[int]:
    """The process and everything that it has started, directly or not, and that still runs."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields_of = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        children.setdefault(int(fields_of[1]), []).append(int(stat.parent.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found
