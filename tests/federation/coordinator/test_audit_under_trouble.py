"""The journal of refused calls when callers go and the database is shut: nothing twice, nobody waits long."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL, func, select

from federation.store import audit as audit_module
from federation.store.audit import Audit, Call
from federation.store.database import Database
from federation.store.tables import events

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(URL.create("sqlite+aiosqlite", database=str(tmp_path / "potluck.db")))
    yield database
    await database.close()


@contextmanager
def locked_by_another(database: Database) -> Iterator[None]:
    other = sqlite3.connect(str(database.url.database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def journal(database: Database, refusals: int) -> Audit:
    audit = Audit(database, time.time, most_rows=1000, days=1, pause_s=0)
    for number in range(refusals):
        audit.note(Call("someone", "viewer", "192.0.2.1", f"tool_{number}", "forbidden"))
    return audit


async def rows(database: Database) -> int:
    async with database.read() as connection:
        return int(await connection.scalar(select(func.count()).select_from(events)) or 0)


async def test_a_reader_who_leaves_while_refusals_are_written_does_not_double_them(database: Database) -> None:
    audit = journal(database, 50)
    async with database._turn:  # the write has begun, and cannot end
        reading = asyncio.create_task(audit.latest(10))
        while not database._writing:
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
    await audit.flush()
    assert await rows(database) == 50


async def test_the_journal_is_read_as_far_as_it_is_written_while_nothing_can_be(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "_LAST_S", 0.05)
    audit = journal(database, 1)
    await audit.flush()
    audit.note(Call("someone", "viewer", "192.0.2.1", "late", "forbidden"))
    with locked_by_another(database):
        async with asyncio.timeout(5):
            assert [event["detail"]["tool"] for event in await audit.latest(5)] == ["tool_0"]
    await audit.flush()
    assert [event["detail"]["tool"] for event in await audit.latest(5)] == ["late", "tool_0"]


async def test_a_stop_does_not_wait_for_a_database_that_is_shut(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "_LAST_S", 0.05)
    audit = journal(database, 1)
    running = asyncio.create_task(audit.run())
    with locked_by_another(database):
        while not database._writing:
            await asyncio.sleep(0)
        running.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait([running])
