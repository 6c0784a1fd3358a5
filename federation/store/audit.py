"""Refused calls in the journal: who asked for what and heard which code, so that an operator sees an attack.

An attacker must not fill the disk with refusals, nor slow the calls of others: repeats by one caller are one row a
minute with a count, callers beyond some hundreds a minute share a row, rows are written in the background, and old ones
go. A crash loses what was not written yet. Changes are another matter: `record` writes them in their own transaction.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from federation.clock import Clock
from federation.errors import Refused
from federation.store.database import Database
from federation.store.tables import events

log = logging.getLogger(__name__)

REFUSED, CALLED = "call_refused", "call_made"
_MOST_A_MINUTE = 500
_PRUNE_EVERY = 1_000
_LAST_S = 1.0
"""How long a stop, and who reads the journal, wait for what is not written yet, in seconds."""


@dataclass(frozen=True)
class Call:
    """What is kept of a call: never its arguments. `code` is empty for one that was granted."""

    actor: str
    role: str
    address: str
    tool: str
    code: str


@dataclass
class _Row:
    """Repeats of a call within a minute, and the row that holds them once one does."""

    count: int
    first: float
    last: float
    event_id: int | None = None
    dirty: bool = True


class Audit:
    """Counts calls, and writes the counts.

    Args:
        most_rows: rows kept of such calls.
        days: for how long.
    """

    def __init__(self, database: Database, clock: Clock, *, most_rows: int, days: float, pause_s: float = 5) -> None:
        self._database = database
        self._clock = clock
        self._most_rows = most_rows
        self._keep_s = days * 86_400
        self._pause_s = pause_s
        self._rows: dict[tuple[int, Call], _Row] = {}
        self._minute = self._in_minute = 0
        self._since_prune = _PRUNE_EVERY
        self._work = asyncio.Event()
        self._turn = asyncio.Lock()

    def note(self, call: Call) -> None:
        """Counts a call. It costs a look-up in a dictionary."""
        now = self._clock()
        minute = int(now // 60)
        if minute != self._minute:
            self._minute, self._in_minute = minute, 0
            self._forget_the_past()
        row = self._rows.get((minute, call))
        if row is None and self._in_minute >= _MOST_A_MINUTE:
            call = Call("others", "", "", "any", call.code)
            row = self._rows.get((minute, call))
        if row is None:
            self._in_minute += 1
            self._rows[minute, call] = _Row(1, now, now)
        else:
            row.count, row.last, row.dirty = row.count + 1, now, True
        self._work.set()

    async def run(self) -> None:
        """Writes what was counted, every few seconds, until it is cancelled, and then once more."""
        try:
            while True:
                await self._work.wait()
                self._work.clear()
                await asyncio.sleep(self._pause_s)
                await self._try_to_flush()
        finally:
            await self._try_to_flush(within_s=_LAST_S)

    async def _try_to_flush(self, within_s: float | None = None) -> None:
        try:
            async with asyncio.timeout(within_s):
                await self.flush()
        except Refused as refused:
            log.warning("refused calls cannot be written down now: %s", refused.problem)
        except TimeoutError:
            log.warning("refused calls cannot be written down in time")
        except Exception:
            log.exception("refused calls cannot be written down")

    async def flush(self) -> None:
        """Writes what is not written yet. Refused (busy, storage_full) when the database cannot take it.

        Once begun it goes on though its caller be cancelled, or rows would be written again.
        """
        await asyncio.shield(asyncio.ensure_future(self._flush()))

    async def _flush(self) -> None:
        async with self._turn:
            self._forget_the_past()
            dirty = [(call, row, row.count) for (_, call), row in self._rows.items() if row.dirty]
            prune = self._since_prune >= _PRUNE_EVERY
            if not dirty:
                return

            async def work(connection: Any) -> list[int]:
                ids = []
                for call, row, count in dirty:
                    detail: dict[str, Any] = {"tool": call.tool, "role": call.role, "address": call.address}
                    detail |= {"count": count, "until": row.last} | ({"code": call.code} if call.code else {})
                    if row.event_id is None:
                        values = {"kind": REFUSED if call.code else CALLED, "at": row.first, "actor": call.actor}
                        made = await connection.execute(insert(events).values(values | {"detail": detail}))
                        ids.append(int(made.inserted_primary_key[0]))
                    else:
                        mine = events.c.event_id == row.event_id
                        await connection.execute(update(events).where(mine).values(detail=detail))
                        ids.append(row.event_id)
                if prune:
                    await self._prune(connection)
                return ids

            ids = await self._database.write(work)
            for (_, row, count), event_id in zip(dirty, ids, strict=True):
                self._since_prune += row.event_id is None
                row.event_id, row.dirty = event_id, row.count != count
            if prune:
                self._since_prune = 0

    async def latest(self, count: int) -> list[dict[str, Any]]:
        """The journal's latest events of every kind, newest first; while nothing can be written, as far as it is."""
        await self._try_to_flush(within_s=_LAST_S)
        async with self._database.read() as connection:
            rows = await connection.execute(select(events).order_by(events.c.event_id.desc()).limit(count))
            return [dict(row) for row in rows.mappings()]

    def _forget_the_past(self) -> None:
        """Rows of minutes that are over and written, and, should the database stay shut, the oldest of the others."""
        for key in [key for key, row in self._rows.items() if not row.dirty and key[0] != self._minute]:
            del self._rows[key]
        for key in list(self._rows)[: max(0, len(self._rows) - 4 * _MOST_A_MINUTE)]:
            del self._rows[key]

    async def _prune(self, connection: Any) -> None:
        kinds = events.c.kind.in_([REFUSED, CALLED])
        await connection.execute(delete(events).where(kinds, events.c.at < self._clock() - self._keep_s))
        surplus = int(await connection.scalar(select(func.count()).select_from(events).where(kinds))) - self._most_rows
        if surplus > 0:
            oldest = select(events.c.event_id).where(kinds).order_by(events.c.event_id).limit(surplus)
            await connection.execute(delete(events).where(events.c.event_id.in_(oldest)))
