"""A data directory: made, held by one server at a time, and never begun anew over what another one left."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    local: str | None = None
    """Where this machine itself had better dial, when that is another URL."""


@contextmanager
def sole_owner(data_dir: Path) -> Iterator[None]:
    """Makes and locks a data directory; refuses it to a second server by process and address of the first."""
    try:
        if not data_dir.exists():
            data_dir.mkdir(parents=True, mode=0o700)
            (data_dir / ".gitignore").write_text("*\n")  # the key in it is nothing to commit by accident
        lock = _private(data_dir / _LOCK_FILE)
    except OSError as error:
        raise Refused(
            ErrorCode.INVALID_ARGUMENT,
            f"{data_dir} cannot be a data directory: {error.strerror}.",
            "choose another --data-dir, one that this user can write to",
        ) from None
    with lock as file:
        if not _take(file):
            file.seek(0)
            raise _occupied(data_dir, file.read())
        remove_address(data_dir)  # of one that was killed; a bridge must not take it for ours
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


def check_free(data_dir: Path) -> None:
    """Refuses what `sole_owner` would refuse, without taking the directory: before a second server tries the port."""
    if is_owned(data_dir):
        raise _occupied(data_dir, (data_dir / _LOCK_FILE).read_text())


def write_address(data_dir: Path, url: str, certificate: Path | None = None, local: str | None = None) -> None:
    """Says where the server of this directory is, which is this process."""
    told = {"url": url, "pid": os.getpid()}
    if certificate is not None:
        told["certificate"] = str(certificate.resolve())
    if local is not None and local != url:
        told["local"] = local
    draft = data_dir / f".{ADDRESS_FILE}"
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(told, file)
    draft.replace(data_dir / ADDRESS_FILE)


def read_address(data_dir: Path) -> Address | None:
    """Where a server said that it is; a killed one may have left the file behind."""
    try:
        told = json.loads((data_dir / ADDRESS_FILE).read_text())
        certificate, local = told.get("certificate"), told.get("local")
        return Address(
            str(told["url"]),
            int(told["pid"]),
            Path(certificate) if certificate else None,
            str(local) if local else None,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def owners_address(data_dir: Path) -> Address | None:
    """Where the server is that runs on this directory now; None: none does, or none that accepts connections yet.

    Whoever is told a secret on the strength of this can rely on it: nobody but this user could hold the lock or write
    the address, and the process that holds the one wrote the other.

    Raises:
        Refused: another user could be behind that address.
    """
    address = read_address(data_dir)
    if address is None or not is_owned(data_dir):
        return None
    try:
        for file in (data_dir / _LOCK_FILE, data_dir / ADDRESS_FILE):
            _refuse_what_others_hold(file)
        pid = (data_dir / _LOCK_FILE).read_text().strip()
    except OSError:
        return None
    return address if pid == str(address.pid) else None


def remove_address(data_dir: Path) -> None:
    """Says that nobody listens any more."""
    (data_dir / ADDRESS_FILE).unlink(missing_ok=True)


def _private(path: Path) -> IO[str]:
    """Opens a file that no other user can open: one who may read it could lock it."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "a+")
    with suppress(PermissionError):  # an older one, of another user: whom it matters to looks again
        os.fchmod(file.fileno(), 0o600)
    return file


def _refuse_what_others_hold(path: Path) -> None:
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise Refused(
            ErrorCode.FORBIDDEN,
            f"{path} belongs to another user (uid {found.st_uid}), so the server may be a stranger's.",
            "run this as the user that the server runs as",
        )
    if found.st_mode & 0o077:
        raise Refused(
            ErrorCode.FORBIDDEN,
            f"{path} is open to other users (mode {found.st_mode & 0o777:03o}), so the server may be a stranger's.",
            "start the server anew, which makes the file private, on a file system that knows modes",
        )


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


def _occupied(data_dir: Path, said: str) -> Occupied:
    pid = said.strip() or "unknown"
    return Occupied(
        ErrorCode.BUSY,
        f"{data_dir} belongs to a server that runs as process {pid}{_at_its_address(data_dir, pid)}.",
        "stop that server, or give this one another --data-dir",
    )


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
