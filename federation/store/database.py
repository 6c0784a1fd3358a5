"""One write path, many readers.

SQLite allows one writer; asking for the write lock up front (`BEGIN IMMEDIATE`) and queueing writers here means
that a transaction never fails half-way for want of the lock. Writes run in tasks of their own, so a caller that is
cancelled (a dropped connection, a timeout) cannot leave one undone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import anyio
from sqlalchemy import URL, event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from federation.errors import ErrorCode, Refused
from federation.part import refusing_when_full
from federation.store.examine import examine
from federation.store.migrate import upgrade

T = TypeVar("T")

_READERS = 4
_BUSY_TIMEOUT_S = 10.0
"""How long a change waits for another process's lock, and how long for its turn in this one, in seconds."""
_CLOSE_S = 2.0
"""How long a stop waits for changes in progress, in seconds. What is not committed by then never happened."""


class Database:
    """The store's two engines. Use `read()` for queries and `write(work)` for changes."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self._writer = _engine(url, pool_size=1, begin="BEGIN IMMEDIATE")
        self._readers = _engine(url, pool_size=_READERS, begin="BEGIN")
        self._turn = asyncio.Lock()
        # Where many wait, as when a round begins, they wait here: the pool's own queue costs a task, a timer and a
        # greenlet each, and gives up after 30 seconds.
        self._seats = asyncio.Semaphore(_READERS)
        self._writing: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, url: URL) -> Self:
        """The database at `url`, migrated to the newest schema; refused when it is damaged or of a newer Potluck."""
        if url.get_backend_name() == "sqlite" and url.database:
            await asyncio.to_thread(examine, Path(url.database), busy_timeout_s=_BUSY_TIMEOUT_S)
        database = cls(url)
        try:
            async with database._writer.connect() as connection:
                await connection.run_sync(upgrade)
                await connection.commit()
        except DatabaseError as error:
            await database.close()
            reason = str(getattr(error, "orig", error))
            if "locked" in reason or "full" in reason:
                raise _refusal(error) from error
            raise Refused(
                ErrorCode.WRONG_STATE,
                f"the database {url.database} cannot be opened: {reason}.",
                "restore it from a backup, or start the Potluck that wrote it; nothing has been changed",
            ) from error
        return database

    async def close(self) -> None:
        """Gives the writes in progress a moment, then closes every connection."""
        if self._writing:
            await asyncio.wait(self._writing, timeout=_CLOSE_S)
        await self._writer.dispose()
        await self._readers.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one consistent state.

        A client that hangs up does not interrupt what happens within: the driver would have to throw the connection
        away, and a closing that is interrupted too waits for ever.
        """
        async with self._seats:
            with anyio.CancelScope(shield=True):
                async with self._readers.connect() as connection:
                    yield connection

    async def write(
        self, work: Callable[[AsyncConnection], Awaitable[T]], *, after: Callable[[], None] | None = None
    ) -> T:
        """Runs `work` in one transaction: all of it is durable when this returns, or none of it happened.

        `after` runs once it is committed, also when the caller has been cancelled by then: whoever waits for word of
        the change gets it. Refused (busy, storage_full) when the database cannot take it now.
        """
        task: asyncio.Task[T] = asyncio.create_task(self._transaction(work, after))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return await asyncio.shield(task)

    async def _transaction(
        self, work: Callable[[AsyncConnection], Awaitable[T]], after: Callable[[], None] | None
    ) -> T:
        try:
            async with self._at_its_turn(), self._writer.begin() as connection:
                with refusing_when_full():
                    result = await work(connection)
        except OperationalError as error:
            raise _refusal(error) from error
        if after is not None:
            after()
        return result

    @asynccontextmanager
    async def _at_its_turn(self) -> AsyncIterator[None]:
        """Holds the queue of writers. While the first is kept waiting, those behind it are not kept for ever."""
        try:
            async with asyncio.timeout(_BUSY_TIMEOUT_S):
                await self._turn.acquire()
        except TimeoutError:
            raise Refused(
                ErrorCode.BUSY, "too many changes are waiting for the database.", "repeat the call; it is safe"
            ) from None
        try:
            yield
        finally:
            self._turn.release()


def _refusal(error: DatabaseError) -> Refused:
    """Why the database cannot take a change now."""
    reason = str(error.orig)
    if "full" in reason:
        return Refused(ErrorCode.STORAGE_FULL, f"the database cannot grow: {reason}.", "free disk space, then repeat")
    return Refused(ErrorCode.BUSY, f"the database cannot be written now: {reason}.", "repeat the call; it is safe")


def _engine(url: URL, *, pool_size: int, begin: str) -> AsyncEngine:
    engine = create_async_engine(url, pool_size=pool_size, max_overflow=0, hide_parameters=True)
    if url.get_backend_name() == "sqlite":

        @event.listens_for(engine.sync_engine, "connect")
        def _configure(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # the driver's own BEGIN would come too late to be IMMEDIATE
            cursor = connection.cursor()
            for pragma in (
                f"busy_timeout = {_BUSY_TIMEOUT_S * 1000:.0f}",
                "journal_mode = WAL",
                "synchronous = FULL",
                "foreign_keys = ON",
            ):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        @event.listens_for(engine.sync_engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

    return engine
