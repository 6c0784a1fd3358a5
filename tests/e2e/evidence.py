"""What is on disk, read while no server runs: the rows, and the files of the spool."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


def rows(data_dir: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Answers a query without changing a byte."""
    uri = f"{(data_dir / 'potluck.db').absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        return connection.execute(query, values).fetchall()


def receipts_kept(data_dir: Path) -> dict[str, int]:
    """How often each update_id is in the database."""
    if not (data_dir / "potluck.db").exists():
        return {}
    return {str(update_id): int(count) for update_id, count in rows(data_dir, _UPDATES)}


def hashes_of_rounds(data_dir: Path) -> list[tuple[int, str, str | None]]:
    """Number, state and SHA-256 of the version made, of every round."""
    return [(int(number), str(state), sha256) for number, state, sha256 in rows(data_dir, _ROUNDS)]


def blobs_on_disk(data_dir: Path) -> set[str]:
    return {path.name for path in (data_dir / "spool" / "blobs").glob("??/*")}


def blobs_referred_to(data_dir: Path) -> set[str]:
    return {str(sha256) for (sha256,) in rows(data_dir, _REFERRED)}


def incoming(data_dir: Path) -> list[str]:
    """Files on their way to become a blob."""
    return sorted(path.name for path in (data_dir / "spool" / "incoming").iterdir())


_UPDATES = "SELECT update_id, count(*) FROM updates GROUP BY update_id"
_ROUNDS = """
    SELECT rounds.round, rounds.state, model_versions.sha256 FROM rounds
    LEFT JOIN model_versions ON model_versions.task_id = rounds.task_id AND model_versions.version = rounds.version
    ORDER BY rounds.task_id, rounds.round
"""
_REFERRED = """
    SELECT sha256 FROM model_versions UNION SELECT sha256 FROM updates WHERE kept
    UNION SELECT state_sha256 FROM model_versions WHERE state_sha256 IS NOT NULL
    UNION SELECT sha256 FROM uploads WHERE received
"""
