"""A data directory: made, held by one server at a time, and never begun anew over what another one left."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from federation.errors import ErrorCode, Refused

DATABASE_FILE = "potluck.db"
ADDRESS_FILE = "server.json"
SPOOL_FOLDER = "spool"
_LOCK_FILE = "lock"
_LOOKS = 5
_BETWEEN_LOOKS_S = 0.05  # `is_owned` holds the lock for an instant


class Occupied(Refused):
    """Another server owns the data directory."""


@dataclass(frozen=True)
class Address:
    """Where a server of this machine listens, and the certificate that it shows, if any."""

    url: str
    pid: int
    certificate: Path | None = None


@contextmanager
def sole_owner(data_dir: Path) -> Iterator[None]:
    """Makes and locks a data directory; refuses it to a second server by process and address of the first."""
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
            pid = file.read().strip() or "unknown"
            raise Occupied(
                ErrorCode.BUSY,
                f"{data_dir} belongs to a server that runs as process {pid}{_at_its_address(data_dir, pid)}.",
                "stop that server, or give this one another --data-dir",
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        _refuse_blobs_without_database(data_dir)
        yield


def is_owned(data_dir: Path) -> bool:
    """Whether a server runs on this directory now, whatever files a killed one left in it."""
    try:
        with (data_dir / _LOCK_FILE).open("rb") as file:
            return not _locked(file, fcntl.LOCK_SH)
    except OSError:
        return False


def write_address(data_dir: Path, url: str, certificate: Path | None = None) -> None:
    """Says where the server of this directory is, which is this process."""
    told = {"url": url, "pid": os.getpid()}
    if certificate is not None:
        told["certificate"] = str(certificate.resolve())
    draft = data_dir / f".{ADDRESS_FILE}"
    draft.write_text(json.dumps(told))
    draft.replace(data_dir / ADDRESS_FILE)


def read_address(data_dir: Path) -> Address | None:
    """Where a server said that it is; a killed one may have left the file behind."""
    try:
        told = json.loads((data_dir / ADDRESS_FILE).read_text())
        certificate = told.get("certificate")
        return Address(str(told["url"]), int(told["pid"]), Path(certificate) if certificate else None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def remove_address(data_dir: Path) -> None:
    """Says that nobody listens any more."""
    (data_dir / ADDRESS_FILE).unlink(missing_ok=True)


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


def _at_its_address(data_dir: Path, pid: str) -> str:
    address = read_address(data_dir)
    return f" at {address.url}" if address is not None and str(address.pid) == pid else ""


def _refuse_blobs_without_database(data_dir: Path) -> None:
    """An empty database is a valid one, to which every blob is litter; so none is made where blobs are."""
    database = data_dir / DATABASE_FILE
    if database.exists() and database.stat().st_size > 0:
        return
    if any((data_dir / SPOOL_FOLDER / "blobs").glob("??/*")):
        raise Refused(
            ErrorCode.WRONG_STATE,
            f"{database} is {'empty' if database.exists() else 'missing'}, yet there are models and updates beside it.",
            f"restore it from a backup, or move {data_dir} away to begin anew; nothing has been changed",
        )
