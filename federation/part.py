"""A file on its way into the spool, and the room that the spool has left."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from federation.errors import ErrorCode, Refused
from federation.fault_points import reach

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What a disk without room answers a write with."""


def storage_full(problem: str) -> Refused:
    """The refusal of a spool that has no room."""
    mend = "try again later; the operator can free space, raise the quota or lower keep_rounds"
    return Refused(ErrorCode.STORAGE_FULL, problem, mend)


@contextmanager
def refusing_when_full() -> Iterator[None]:
    """A full disk is a refusal, not a crash."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise storage_full("the server's disk is full.") from error
        raise


class Room:
    """How many bytes a spool holds, and whether more may come."""

    def __init__(self, used: int, quota_bytes: int | None) -> None:
        self.used = used
        self.quota_bytes = quota_bytes
        self._lock = threading.Lock()

    def check(self, count: int) -> None:
        """Refuses (storage_full) what cannot fit, before the first byte comes."""
        if self.quota_bytes is not None and self.used + count > self.quota_bytes:
            raise storage_full(f"{count} bytes more would exceed the server's quota of {self.quota_bytes} bytes.")

    def take(self, count: int) -> None:
        """Count bytes in, or refuse."""
        with self._lock:
            self.check(count)
            self.used += count

    def give_back(self, count: int) -> None:
        """Count bytes out."""
        with self._lock:
            self.used -= count


class Part:
    """A temporary file that is hashed as it is written, and gone unless `keep` was called.

    It stands in `live` for as long as it is open, so that no sweep takes it for a leftover.
    """

    def __init__(self, folder: Path, prefix: str, room: Room, live: set[Path]) -> None:
        self._room = room
        self._live = live
        self._hash = hashlib.sha256()
        self.size = 0
        self.fd, name = tempfile.mkstemp(prefix=f"{prefix}.", suffix=".raw", dir=folder)
        self.path = Path(name)
        live.add(self.path)

    @property
    def sha256(self) -> str:
        """Of what has been written so far."""
        return self._hash.hexdigest()

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append; a full disk or quota is refused (storage_full)."""
        if self.fd < 0:
            raise ValueError("the part is closed")
        count = memoryview(chunk).nbytes
        self._room.take(count)
        self.size += count
        with refusing_when_full():
            write_all(self.fd, chunk)
            reach("part_written")
        self._hash.update(chunk)

    def keep(self) -> None:
        """The file was moved to its place: it and its room are the spool's now."""
        self._close()

    def discard(self) -> None:
        """Remove the file unless it was kept."""
        if self.fd >= 0:
            self._close()
            self.path.unlink(missing_ok=True)
            self._room.give_back(self.size)

    def _close(self) -> None:
        os.close(self.fd)
        self.fd = -1
        self._live.discard(self.path)


def write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    """Write every byte: one write may take fewer than it is given."""
    left = memoryview(data)
    while left.nbytes:
        left = left[os.write(fd, left) :]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
