"""What a start puts right before anyone is served."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.coordinator.ports import Shared
from federation.coordinator.records import get_task
from federation.rounds import RoundState
from federation.store.tables import rounds, tokens, uploads


async def cut_short_what_lasts_too_long(shared: Shared) -> None:
    """Nothing ends later than if it began now: the clock may have been set back while no server was running."""
    now = shared.clock()

    async def work(connection: AsyncConnection) -> None:
        collecting = select(rounds).where(rounds.c.state == RoundState.COLLECTING, rounds.c.deadline_at.is_not(None))
        for row in (await connection.execute(collecting)).mappings().all():
            latest = now + (await get_task(connection, row["task_id"])).spec.deadline_s
            if row["deadline_at"] > latest:
                this = (rounds.c.task_id == row["task_id"]) & (rounds.c.round == row["round"])
                await connection.execute(update(rounds).where(this).values(deadline_at=latest))
        latest = now + shared.limits.upload_lifetime_s
        await connection.execute(update(uploads).where(uploads.c.expires_at > latest).values(expires_at=latest))
        await connection.execute(update(tokens).where(tokens.c.created_at > now).values(created_at=now))

    await shared.database.write(work)
