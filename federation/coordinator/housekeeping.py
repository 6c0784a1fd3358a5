"""Frees the blobs that no round needs any more. Hashes, counts and metrics stay for ever."""

from __future__ import annotations

import asyncio

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.coordinator.ports import Shared
from federation.coordinator.records import get_task, is_referenced
from federation.fault_points import reach
from federation.rounds import RoundState
from federation.store.tables import model_versions, rounds, updates, uploads


class Housekeeping:
    """Keeps the spool to what can still be used."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._dropped: set[str] = set()  # blobs that a row has let go of, and that are to be removed

    async def prune(self, task_id: str) -> int:
        """Removes the update blobs of rounds that closed more than `keep_rounds` ago; answers how many.

        The rows let go of a blob before it goes: whatever fails, no row counts on a file that is not there. Called
        again, it also removes what it did not get to.
        """
        spool = self._shared.spool

        async def let_go(connection: AsyncConnection) -> set[str]:
            task = await get_task(connection, task_id)
            over = select(rounds.c.round).where(
                rounds.c.task_id == task_id, rounds.c.state.in_([RoundState.CLOSED, RoundState.VOID])
            )
            ended = (uploads.c.task_id == task_id) & (uploads.c.expires_at > 0) & uploads.c.round.in_(over)
            rows = (await connection.execute(select(uploads.c.upload_id, uploads.c.sha256).where(ended))).all()
            hashes = {str(row.sha256) for row in rows}
            for row in rows:
                await asyncio.to_thread(spool.forget, row.upload_id)
            await connection.execute(update(uploads).where(ended).values(received=False, expires_at=0))
            newest_dropped = task.round - task.spec.keep_rounds - (0 if task.state.over else 1)
            if task.simulation is None:  # whose updates have no files
                old = (updates.c.task_id == task_id) & updates.c.kept & (updates.c.round <= newest_dropped)
                hashes |= set((await connection.scalars(select(updates.c.sha256).where(old))).all())
                await connection.execute(update(updates).where(old).values(kept=False))
            # A round starts from the latest version, or from one that an operator rolled back to: it then starts the
            # server optimiser anew.
            stale = (model_versions.c.task_id == task_id) & (model_versions.c.round <= newest_dropped)
            stale &= model_versions.c.state_sha256.is_not(None) & (model_versions.c.version != task.version)
            hashes |= set((await connection.scalars(select(model_versions.c.state_sha256).where(stale))).all())
            await connection.execute(update(model_versions).where(stale).values(state_sha256=None))
            reach("prune_written")
            return hashes

        async def remove(connection: AsyncConnection) -> int:
            """Within a write transaction, though it changes no row: nobody can come to need a blob in between."""
            removed = 0
            for sha256 in sorted(self._dropped):
                if not await is_referenced(connection, sha256):
                    await asyncio.to_thread(spool.remove, sha256)
                    removed += 1
                    reach("blob_pruned")
                self._dropped.discard(sha256)
            return removed

        self._dropped |= await self._shared.database.write(let_go)
        reach("prune_committed")
        return await self._shared.database.write(remove) if self._dropped else 0

    async def sweep(self) -> int:
        """Removes what a crash left: files that no row knows, and what `prune` did not get to. Run before serving.

        What belongs to an upload that may still be brought to its end stays, for the node to go on with.
        """
        async with self._shared.database.read() as connection:
            open_uploads = uploads.c.expires_at > 0
            with_uploads = select(uploads.c.task_id).where(open_uploads)
            with_files = with_uploads.union(select(updates.c.task_id).where(updates.c.kept))
            task_ids = (await connection.scalars(with_files)).all()
        for task_id in task_ids:
            await self.prune(str(task_id))
        async with self._shared.database.read() as connection:
            keep = set((await connection.scalars(select(model_versions.c.sha256))).all())
            keep |= set((await connection.scalars(select(model_versions.c.state_sha256))).all()) - {None}
            keep |= set((await connection.scalars(select(updates.c.sha256).where(updates.c.kept))).all())
            rows = (await connection.execute(select(uploads.c.upload_id, uploads.c.sha256).where(open_uploads))).all()
        keep |= {str(row.sha256) for row in rows}
        resumable = frozenset(str(row.upload_id) for row in rows)
        spool = self._shared.spool
        return await asyncio.to_thread(lambda: spool.sweep(keep, keep_uploads=resumable, older_than_s=None))
