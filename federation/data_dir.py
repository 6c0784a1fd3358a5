"""A data directory: made, held by one server at a time, and never begun anew over what another one left."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from federation.errors import ErrorCode, Refused

DATABASE_FILE = "potluck.db"
ADDRESS_FILE = "server.json"
SPOOL_FOLDER = "spool"


@contextmanager
def sole_owner(data_dir: Path) -> Iterator[None]:
    """Makes and locks a data directory; refuses it to a second server by process and address of the first."""
    try:
        if not data_dir.exists():
            data_dir.mkdir(parents=True, mode=0o700)
            (data_dir / ".gitignore").write_text("*\n")  # the key in it is nothing to commit by accident
        lock = (data_dir / "lock").open("a+")
    except OSError as error:
        raise Refused(
            ErrorCode.INVALID_ARGUMENT,
            f"{data_dir} cannot be a data directory: {error.strerror}.",
            "choose another --data-dir, one that this user can write to",
        ) from None
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            pid = file.read().strip() or "unknown"
            raise Refused(
                ErrorCode.BUSY,
                f"{data_dir} belongs to a server that runs as process {pid}{_at_its_address(data_dir, pid)}.",
                "stop that server, or give this one another --data-dir",
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        _refuse_blobs_without_database(data_dir)
        yield


def write_address(data_dir: Path, url: str) -> None:
    """Says where the server of this directory is."""
    draft = data_dir / f".{ADDRESS_FILE}"
    draft.write_text(json.dumps({"url": url, "pid": os.getpid()}))
    draft.replace(data_dir / ADDRESS_FILE)


def _at_its_address(data_dir: Path, pid: str) -> str:
    try:
        said = json.loads((data_dir / ADDRESS_FILE).read_text())
        return f" at {said['url']}" if str(said["pid"]) == pid else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # it has not begun to serve


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
