"""Changes of a round's state, each made once however many try."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.convergence import verdict
from federation.coordinator.records import Round, Task
from federation.coordinator.trend import keep_fairness, series
from federation.rounds import RoundState, TaskState
from federation.store.events import record
from federation.store.tables import rounds, tasks


async def open_round(connection: AsyncConnection, task_id: str, number: int, base_version: int, now: float) -> None:
    """Opens a task's next round, in the transaction that ends the one before."""
    values = {"round": number, "state": RoundState.OPEN, "base_version": base_version, "opened_at": now}
    await connection.execute(insert(rounds).values(task_id=task_id, **values))
    await connection.execute(update(tasks).where(tasks.c.task_id == task_id).values(round=number))


async def move_round(connection: AsyncConnection, current: Round, source: RoundState, **values: Any) -> bool:
    """The conditional UPDATE: False when the round is no longer in the state `source`."""
    moved = await connection.execute(
        update(rounds)
        .where(rounds.c.task_id == current.task_id, rounds.c.round == current.round, rounds.c.state == source)
        .values(values)
    )
    return bool(moved.rowcount)


async def go_on(connection: AsyncConnection, task: Task, number: int, version: int, now: float) -> bool:
    """After a round has made `version`: goes on, or ends or pauses the task if its scores say so; whether it is over.

    Call it with the version's scores written: they are read in the same transaction.
    """
    await keep_fairness(connection, task, number, version, now)
    found = verdict(await series(connection, task, number), task.spec.stopping, rolls_back=task.rolls_back)
    if found is not None and (found.action == "finish" or number >= task.spec.rounds):  # no round left to hold up
        await _finish(connection, task, version, now, found.reason)
        return True
    if found is not None:
        paused = {"state": TaskState.PAUSED, "reason": found.reason}
        await connection.execute(update(tasks).where(tasks.c.task_id == task.task_id).values(paused))
        detail = {"reason": found.reason}
        await record(connection, "task_paused", at=now, task_id=task.task_id, actor="server", detail=detail)
        return False
    return await next_round(connection, task, number, version, now)


async def next_round(connection: AsyncConnection, task: Task, number: int, version: int, now: float) -> bool:
    """After a round has ended, however it did: opens the next one, or finishes the task; whether the task is over."""
    if number < task.spec.rounds:
        await open_round(connection, task.task_id, number + 1, version, now)
        return False
    await _finish(connection, task, version, now)
    return True


async def _finish(connection: AsyncConnection, task: Task, version: int, now: float, reason: str = "") -> None:
    values = {"state": TaskState.FINISHED, "finished_at": now, "reason": reason}
    await connection.execute(update(tasks).where(tasks.c.task_id == task.task_id).values(values))
    detail = {"version": version} | ({"reason": reason} if reason else {})
    await record(connection, "task_finished", at=now, task_id=task.task_id, detail=detail)
