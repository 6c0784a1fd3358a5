"""A data directory belongs to one server at a time: a lock, which ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from federation.errors import ErrorCode, Refused

_LOCK_FILE = "lock"
_LOOKS = 5
_BETWEEN_LOOKS_S = 0.05  # `is_owned` holds the lock for an instant


class Occupied(Refused):
    """Another server owns the data directory."""


@contextmanager
def sole_owner(data_dir: Path) -> Iterator[None]:
    """Makes and locks a data directory; refuses it to a second server by the process of the first."""
    try:
        if not data_dir.exists():
            data_dir.mkdir(parents=True, mode=0o700)
            (data_dir / ".gitignore").write_text("*\n")  # the key in it is nothing to commit by accident
        lock = (data_dir / _LOCK_FILE).open("a+")
    except OSError as error:
        raise Refused(
            ErrorCode.INVALID_ARGUMENT,
            f"{data_dir} cannot be a data directory: {error.strerror}.",
            "choose another --data-dir, one that this user can write to",
        ) from None
    with lock as file:
        if not _take(file):
            file.seek(0)
            raise Occupied(
                ErrorCode.BUSY,
                f"{data_dir} belongs to a server that runs as process {file.read().strip() or 'unknown'}.",
                "stop that server, or give this one another --data-dir",
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def is_owned(data_dir: Path) -> bool:
    """Whether a server runs on this directory now, whatever files a killed one left in it."""
    try:
        with (data_dir / _LOCK_FILE).open("rb") as file:
            return not _locked(file, fcntl.LOCK_SH)
    except OSError:
        return False


def _take(file: IO[str]) -> bool:
    for look in range(_LOOKS):
        if look:
            time.sleep(_BETWEEN_LOOKS_S)
        if _locked(file, fcntl.LOCK_EX):
            return True
    return False


def _locked(file: IO[str] | IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
