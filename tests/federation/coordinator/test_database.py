"""One write path: all or nothing, one at a time, deaf to cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.store.database import Database
from federation.store.tables import events, metadata

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(URL.create("sqlite+aiosqlite", database=str(tmp_path / "test.db")))
    yield database
    await database.close()


async def add(connection: AsyncConnection, kind: str = "test") -> None:
    await connection.execute(insert(events).values(kind=kind, at=0.0, detail={}))


async def count(database: Database) -> int:
    async with database.read() as connection:
        return int(await connection.scalar(select(func.count()).select_from(events)) or 0)


async def test_a_write_that_fails_leaves_nothing(database: Database) -> None:
    async def work(connection: AsyncConnection) -> None:
        await add(connection)
        raise ValueError("half-way")

    with pytest.raises(ValueError, match="half-way"):
        await database.write(work)
    assert await count(database) == 0


async def test_a_caller_that_is_cancelled_does_not_undo_its_write(database: Database) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def work(connection: AsyncConnection) -> None:
        await add(connection)
        inside.set()
        await go_on.wait()

    caller = asyncio.create_task(database.write(work))
    await inside.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go_on.set()
    await database.write(add)  # takes its turn after the cancelled caller's
    assert await count(database) == 2


async def test_many_writers_at_once_all_succeed(database: Database) -> None:
    async def step(connection: AsyncConnection) -> int:
        seen = int(await connection.scalar(select(func.count()).select_from(events)) or 0)
        await add(connection)
        return seen

    assert sorted(await asyncio.gather(*(database.write(step) for _ in range(30)))) == list(range(30))


async def test_a_reader_sees_one_state_while_others_write(database: Database) -> None:
    async with database.read() as connection:
        query = select(func.count()).select_from(events)
        before = await connection.scalar(query)
        await database.write(add)
        assert await connection.scalar(query) == before


async def test_writes_are_synced_and_readers_never_block_them(database: Database) -> None:
    async with database.read() as connection:
        assert await connection.scalar(_pragma("journal_mode")) == "wal"
        assert await connection.scalar(_pragma("synchronous")) == 2
        assert await connection.scalar(_pragma("foreign_keys")) == 1


async def test_the_migrations_make_the_schema_that_the_code_uses(database: Database) -> None:
    def differences(connection: Any) -> Any:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_opening_a_database_again_keeps_what_is_in_it(tmp_path: Path) -> None:
    url = URL.create("sqlite+aiosqlite", database=str(tmp_path / "test.db"))
    for expected in (1, 2):
        database = await Database.open(url)
        await database.write(add)
        assert await count(database) == expected
        await database.close()


def _pragma(name: str) -> Any:
    return text(f"PRAGMA {name}")


async def test_many_readers_wait_their_turn_before_they_ask_the_pool(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, asking, most = database._readers.connect, 0, 0

    @asynccontextmanager
    async def counted() -> AsyncIterator[AsyncConnection]:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        try:
            async with connect() as connection:
                yield connection
        finally:
            asking -= 1

    monkeypatch.setattr(database, "_readers", SimpleNamespace(connect=counted))
    assert await asyncio.gather(*(count(database) for _ in range(50))) == [0] * 50
    assert most == 4  # the pool's connections: in its own queue nobody stands, and so nobody is turned away


async def test_a_reader_that_is_cancelled_gives_up_its_turn(database: Database) -> None:
    holding, let_go = [asyncio.Event() for _ in range(4)], asyncio.Event()

    async def hold(held: asyncio.Event) -> None:
        async with database.read():
            held.set()
            await let_go.wait()

    readers = [asyncio.create_task(hold(held)) for held in holding]
    await asyncio.gather(*(held.wait() for held in holding))
    impatient = asyncio.create_task(count(database))
    patient = asyncio.create_task(count(database))
    await asyncio.sleep(0)
    impatient.cancel()
    let_go.set()
    assert await patient == 0
    await asyncio.gather(*readers)
    with pytest.raises(asyncio.CancelledError):
        await impatient
