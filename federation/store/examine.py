"""Looks at a database before anything writes to it: whether it is whole, and whether this Potluck knows its schema."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from federation.errors import ErrorCode, Refused
from federation.store.migrate import known_revisions

_NOTHING_CHANGED = "nothing has been changed"


def examine(path: Path, *, busy_timeout_s: float) -> None:
    """Refuses (wrong_state) a file that is damaged or of a newer Potluck, and (busy) one that another process locks.

    Reads the whole file, so that damage is found now and not in the middle of a round.
    """
    if not path.exists() or path.stat().st_size == 0:
        return
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=busy_timeout_s)
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        revision = _revision(connection)
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            raise Refused(
                ErrorCode.BUSY,
                f"another process has locked the database {path}.",
                "end that process (a backup, a shell?), then start again",
            ) from error
        found, revision = str(error), None
    finally:
        connection.close()
    if found != "ok":
        problem = " ".join(str(found).removeprefix("*** in database main ***").split())
        raise Refused(
            ErrorCode.WRONG_STATE,
            f"the database {path} is damaged: {problem}.",
            f"restore the data directory from a backup; {_NOTHING_CHANGED}",
        )
    if revision is not None and revision not in known_revisions():
        raise Refused(
            ErrorCode.WRONG_STATE,
            f"the database {path} has the schema {revision!r} of a newer Potluck.",
            f"start the Potluck that wrote it; {_NOTHING_CHANGED}",
        )


def _revision(connection: sqlite3.Connection) -> str | None:
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if there else None
    return None if row is None else str(row[0])
