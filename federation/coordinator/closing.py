"""Decides when rounds close, and closes them.

A round is claimed by a conditional UPDATE, so two closers cannot both have it. If the server dies while it
aggregates, the round is found `aggregating` at the next start and is done again, to the same bits.
"""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.coordinator.housekeeping import Housekeeping
from federation.coordinator.ports import Shared
from federation.coordinator.publishing import Publisher
from federation.coordinator.records import Round, get_round, get_task
from federation.coordinator.traffic import Traffic
from federation.coordinator.transitions import go_on, move_round
from federation.errors import ErrorCode, Refused
from federation.rounds import RoundState, TaskState, decide
from federation.store.events import record
from federation.store.tables import assignments, rounds, tasks, updates

log = logging.getLogger(__name__)


class Closer:
    """Decides when rounds close, and closes them."""

    def __init__(self, shared: Shared, traffic: Traffic, housekeeping: Housekeeping) -> None:
        self._shared = shared
        self._traffic = traffic
        self._publisher = Publisher(shared, traffic)
        self._housekeeping = housekeeping
        self._closing: dict[str, asyncio.Task[None]] = {}

    async def review(self) -> float | None:
        """Closes every round whose time has come; answers when the next one may be due (Unix seconds)."""
        async with self._shared.database.read() as connection:
            busy = (RoundState.COLLECTING, RoundState.AGGREGATING)
            rows = (await connection.execute(select(rounds).where(rounds.c.state.in_(busy)))).mappings().all()
        due: list[float] = []
        for current in map(Round.of, rows):
            if current.state is RoundState.AGGREGATING:
                self._start(current)
                continue
            verdict, next_look = await self._judge(current)
            if verdict == "wait":
                due.append(next_look)
            elif verdict == "void":
                await self._void(current)
            elif await self._claim(current):
                self._start(current)
        return min(due, default=None)

    async def aggregate_now(self, task_id: str, number: int, actor: str) -> Round:
        """Closes a round over what has arrived, quorum or not, at an operator's word, and answers it closed."""
        async with self._shared.database.read() as connection:
            await get_task(connection, task_id)
            current = await get_round(connection, task_id, number)
            submitted = await _submitted(connection, current)
        if current.state is RoundState.CLOSED:
            return current
        if current.state is RoundState.COLLECTING:
            if not submitted:
                raise Refused(
                    ErrorCode.QUORUM_MISSED,
                    f"round {current.round} has no update yet.",
                    "wait for one (get_task shows who has submitted), or cancel the task",
                )
            await self._claim(current, actor)
        elif current.state is not RoundState.AGGREGATING:
            raise Refused(
                ErrorCode.WRONG_STATE,
                f"round {current.round} is {current.state}; only a collecting round can be aggregated.",
                "get_task shows the state of the round",
            )
        await asyncio.shield(self._start(current))
        async with self._shared.database.read() as connection:
            return await get_round(connection, task_id, current.round)

    async def finish(self) -> None:
        """Waits for the rounds being closed."""
        if self._closing:
            await asyncio.wait(self._closing.values())

    async def _judge(self, current: Round) -> tuple[str, float]:
        async with self._shared.database.read() as connection:
            task = await get_task(connection, current.task_id)
            rows = await connection.execute(
                select(assignments).where(
                    assignments.c.task_id == current.task_id, assignments.c.round == current.round
                )
            )
            cohort = rows.mappings().all()
        now, deadline = self._shared.clock(), current.deadline_at or 0.0
        leases = [
            self._shared.liveness.lease_until(
                current.task_id, str(row["node_id"]), row["assigned_at"], task.spec.lease_s
            )
            for row in cohort
            if row["submitted_at"] is None
        ]
        held = [lease for lease in leases if lease > now]
        verdict = decide(
            wanted=current.wanted or 0,
            quorum=current.quorum or 0,
            submitted=len(cohort) - len(leases),
            awaited=len(held),
            past_deadline=now >= deadline,
        )
        return verdict, min([deadline, *held])

    async def _claim(self, current: Round, actor: str = "") -> bool:
        async def work(connection: AsyncConnection) -> bool:
            claimed = await move_round(connection, current, RoundState.COLLECTING, state=RoundState.AGGREGATING)
            if claimed:
                detail = {"round": current.round}
                await record(
                    connection,
                    "aggregating",
                    at=self._shared.clock(),
                    task_id=current.task_id,
                    actor=actor,
                    detail=detail,
                )
            return claimed

        claimed = await self._shared.database.write(work)
        self._shared.notices.task_changed(current.task_id)
        return claimed

    def _start(self, current: Round) -> asyncio.Task[None]:
        running = self._closing.get(current.task_id)
        if running is None:
            running = asyncio.create_task(self._close(current))
            self._closing[current.task_id] = running
            running.add_done_callback(lambda _: self._closing.pop(current.task_id, None))
        return running

    async def _close(self, current: Round) -> None:
        try:
            await self._publisher.publish(current)
        except Exception as error:
            log.exception("round %d of %s could not be closed", current.round, current.task_id)
            await self._pause(current, error)
        await self._tell_and_tidy(current.task_id)

    async def _void(self, current: Round) -> None:
        async def work(connection: AsyncConnection) -> None:
            now = self._shared.clock()
            submitted = await _submitted(connection, current)
            reason = f"{submitted} of the {current.quorum} updates of its quorum came before the deadline"
            moved = await move_round(
                connection,
                current,
                RoundState.COLLECTING,
                state=RoundState.VOID,
                closed_at=now,
                reason=reason,
                bytes_down=self._traffic.take_round(current.task_id),
            )
            if moved:
                task = await get_task(connection, current.task_id)
                detail = {"round": current.round, "reason": reason}
                await record(connection, "round_void", at=now, task_id=current.task_id, detail=detail)
                await go_on(connection, task, current.round, current.base_version, now)

        await self._shared.database.write(work)
        await self._tell_and_tidy(current.task_id)

    async def _tell_and_tidy(self, task_id: str) -> None:
        self._shared.notices.work_changed(task_id)
        self._shared.notices.tasks_changed()
        await self._housekeeping.prune(task_id)

    async def _pause(self, current: Round, error: Exception) -> None:
        """A round that cannot be aggregated must not be tried for ever: an operator has to look at it."""
        why = error.problem if isinstance(error, Refused) else "the server's log says why."
        reason = f"round {current.round} could not be aggregated: {why}"

        async def work(connection: AsyncConnection) -> None:
            now = self._shared.clock()
            moved = await move_round(
                connection, current, RoundState.AGGREGATING, state=RoundState.VOID, closed_at=now, reason=reason
            )
            if moved:
                await connection.execute(
                    update(tasks)
                    .where(tasks.c.task_id == current.task_id)
                    .values(state=TaskState.PAUSED, reason=reason)
                )
                detail = {"round": current.round, "reason": reason}
                await record(connection, "round_void", at=now, task_id=current.task_id, detail=detail)

        await self._shared.database.write(work)


async def _submitted(connection: AsyncConnection, current: Round) -> int:
    query = select(func.count()).select_from(updates)
    condition = (updates.c.task_id == current.task_id) & (updates.c.round == current.round)
    return int(await connection.scalar(query.where(condition)) or 0)
