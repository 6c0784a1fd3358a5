"""Databases of the newest schema, for the many federations that tests begin: migrated once, then copied."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from sqlalchemy import create_engine

from federation.data_dir import DATABASE_FILE, sole_owner
from federation.store.migrate import upgrade


def begin(data_dir: Path) -> None:
    """Gives a data directory with nothing in it its database, as a server's first start would; leaves others alone."""
    if data_dir.is_dir() and any(data_dir.iterdir()):
        return
    with sole_owner(data_dir):
        (data_dir / DATABASE_FILE).write_bytes(_empty())


@cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / DATABASE_FILE
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            upgrade(connection)
        engine.dispose()
        return path.read_bytes()
