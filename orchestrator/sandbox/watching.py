"""What a group of processes has in memory, as the system counts it from outside.

The limit that a process lays upon itself counts private memory only; what is shared, of which Linux has several kinds,
shows here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_FIELDS = ("RssAnon:", "RssShmem:")


def members(group: int) -> list[int]:
    """The processes of this group; none where the system has no `/proc`."""
    return sorted(_members(group)) if _PROC.is_dir() else []


def resident(process: int) -> int:
    """Bytes of private and shared memory that are no file's; 0 for a process that has ended, or where nobody says."""
    status = ""
    with suppress(OSError):
        status = (_PROC / str(process) / "status").read_text()
    return sum(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith(_FIELDS))


def _members(group: int) -> Iterator[int]:
    for name in os.listdir(_PROC):
        with suppress(OSError, ValueError, IndexError):
            fields = (_PROC / str(int(name)) / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                yield int(name)
