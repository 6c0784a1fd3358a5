"""Decides when rounds close, and closes them.

A round is claimed by a conditional UPDATE, so two closers cannot both have it. If the server dies while it
aggregates, the round is found `aggregating` at the next start and is done again, to the same bits. So it is when the
disk or the database cannot take the result: an accepted update is never given up for a failure that may pass.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.coordinator.housekeeping import Housekeeping
from federation.coordinator.ports import Shared
from federation.coordinator.publishing import Publisher
from federation.coordinator.records import Round, get_round, get_task
from federation.coordinator.traffic import Traffic
from federation.coordinator.transitions import move_round, next_round
from federation.errors import ErrorCode, Refused
from federation.fault_points import reach
from federation.rounds import RoundState, TaskState, decide
from federation.store.events import record
from federation.store.tables import assignments, rounds, tasks, updates

log = logging.getLogger(__name__)

_RETRY_S = (1.0, 2.0, 5.0, 15.0, 60.0)  # pauses between attempts to close a round
_TIDY_S = 5.0
# What folding the same updates again would answer again: they do not fit, or somebody has removed them.
_HOPELESS = (ErrorCode.BAD_UPDATE, ErrorCode.BAD_COUNT, ErrorCode.NOT_FOUND)


@dataclass(frozen=True)
class _Failure:
    """Why a round could not be closed, how often it was tried, and when to try again (monotonic seconds)."""

    problem: str
    attempts: int
    again_at: float


class Closer:
    """Decides when rounds close, and closes them."""

    def __init__(self, shared: Shared, traffic: Traffic, housekeeping: Housekeeping) -> None:
        self._shared = shared
        self._traffic = traffic
        self._publisher = Publisher(shared, traffic)
        self._housekeeping = housekeeping
        self._closing: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._failed: dict[tuple[str, int], _Failure] = {}
        self._untidy: dict[str, float] = {}  # tasks whose files could not be freed, and when to try again

    async def review(self) -> float | None:
        """Closes every round whose time has come; answers in how many seconds the next one may be due."""
        async with self._shared.database.read() as connection:
            busy = rounds.c.state.in_((RoundState.COLLECTING, RoundState.AGGREGATING))
            of_nodes = select(rounds).join(tasks).where(busy, tasks.c.simulation.is_(None))
            rows = (await connection.execute(of_nodes)).mappings().all()
        due_in: list[float] = []
        for current in map(Round.of, rows):
            if current.state is RoundState.AGGREGATING:
                failure = self._failed.get((current.task_id, current.round))
                if failure is not None and (pause := failure.again_at - self._shared.monotonic()) > 0:
                    due_in.append(pause)
                else:
                    self._start(current)  # its end is announced, and reviewed again
                continue
            verdict, next_look_in = await self._judge(current)
            if verdict == "wait":
                due_in.append(next_look_in)
            elif verdict == "void":
                await self._void(current)
            elif await self._claim(current):
                self._start(current)
        for task_id, again_at in list(self._untidy.items()):
            if (pause := again_at - self._shared.monotonic()) > 0:
                due_in.append(pause)
            else:
                await self._tidy(task_id)
        return min(due_in, default=None)

    async def aggregate_now(self, task_id: str, number: int, actor: str) -> Round:
        """Closes a round over what has arrived, quorum or not, at an operator's word, and answers it closed."""
        current, submitted = await self._look(task_id, number)
        if current.state is RoundState.COLLECTING:
            if not submitted:
                raise Refused(
                    ErrorCode.QUORUM_MISSED,
                    f"round {current.round} has no update yet.",
                    "wait for one (get_task shows who has submitted), or cancel the task",
                )
            await self._claim(current, actor)
            current, _ = await self._look(task_id, number)
        if current.state is RoundState.AGGREGATING:
            await asyncio.shield(self._start(current))
            current, _ = await self._look(task_id, number)
        failure = self._failed.get((task_id, number))
        if current.state is RoundState.AGGREGATING and failure is not None:
            raise Refused(
                ErrorCode.BUSY,
                f"round {current.round} cannot be closed yet: {failure.problem}",
                "mend that; the server keeps trying, and no update is lost",
            )
        if current.state is not RoundState.CLOSED:
            raise Refused(
                ErrorCode.WRONG_STATE,
                f"round {current.round} is {current.state}; only a collecting round can be aggregated.",
                "get_task shows the state of the round",
            )
        return current

    async def finish(self) -> None:
        """Waits for the rounds being closed."""
        if self._closing:
            await asyncio.wait(self._closing.values())

    async def stop(self, patience_s: float) -> None:
        """Leaves the rounds that are not closed within `patience_s` seconds to the next start.

        A thread that folds or scores cannot be called back; what it finds goes nowhere.
        """
        if not self._closing:
            return
        _, unfinished = await asyncio.wait(self._closing.values(), timeout=patience_s)
        for task in unfinished:
            task.cancel()
        if unfinished:
            log.info("%d rounds are being closed; the next start will do them again", len(unfinished))
            await asyncio.wait(unfinished)

    async def _look(self, task_id: str, number: int) -> tuple[Round, int]:
        async with self._shared.database.read() as connection:
            task = await get_task(connection, task_id)
            if task.simulation is not None:
                raise Refused(
                    ErrorCode.WRONG_STATE,
                    f"task {task_id} is simulated: its rounds close when all their clients have trained.",
                    "wait for it (get_task shows its progress), or pause or cancel the task",
                )
            current = await get_round(connection, task_id, number)
            return current, await _submitted(connection, current)

    async def _judge(self, current: Round) -> tuple[Literal["wait", "aggregate", "void"], float]:
        """What the round does next, and in how many seconds to look again."""
        async with self._shared.database.read() as connection:
            task = await get_task(connection, current.task_id)
            query = select(assignments).where(
                assignments.c.task_id == current.task_id, assignments.c.round == current.round
            )
            cohort = (await connection.execute(query)).mappings().all()
        time_left = (current.deadline_at or 0.0) - self._shared.clock()
        missing = [str(row["node_id"]) for row in cohort if row["submitted_at"] is None]
        leases = [self._shared.liveness.lease_left(current.task_id, node, task.spec.lease_s) for node in missing]
        held = [left for left in leases if left > 0]
        verdict = decide(
            wanted=current.wanted or 0,
            quorum=current.quorum or 0,
            submitted=len(cohort) - len(missing),
            awaited=len(held),
            past_deadline=time_left <= 0,
        )
        return verdict, min([time_left, *held])

    async def _claim(self, current: Round, actor: str = "") -> bool:
        async def work(connection: AsyncConnection) -> bool:
            claimed = await move_round(connection, current, RoundState.COLLECTING, state=RoundState.AGGREGATING)
            if claimed:
                now, detail = self._shared.clock(), {"round": current.round}
                await record(connection, "aggregating", at=now, task_id=current.task_id, actor=actor, detail=detail)
                reach("claim_written")
            return claimed

        announce = self._shared.notices.task_changed
        claimed = await self._shared.database.write(work, after=lambda: announce(current.task_id))
        reach("round_claimed")
        return claimed

    def _start(self, current: Round) -> asyncio.Task[None]:
        key = (current.task_id, current.round)
        running = self._closing.get(key)
        if running is None:
            running = asyncio.create_task(self._close(current))
            self._closing[key] = running
            running.add_done_callback(lambda _: self._closed(key))
        return running

    def _closed(self, key: tuple[str, int]) -> None:
        del self._closing[key]
        self._shared.notices.task_changed(key[0])  # a failed attempt has to be reviewed, too

    async def _close(self, current: Round) -> None:
        try:
            await self._publish_or_give_up(current)
        except Exception as error:
            self._try_later(current, error)
        else:
            self._failed.pop((current.task_id, current.round), None)
            await self._tell_and_tidy(current.task_id)

    async def _publish_or_give_up(self, current: Round) -> None:
        failure = self._failed.get((current.task_id, current.round))
        try:
            await self._publisher.publish(current)
        except Exception as error:
            tried = 0 if failure is None else failure.attempts
            if _may_pass(error) or not (_is_hopeless(error) or tried >= len(_RETRY_S)):
                raise
            log.exception("round %d of %s cannot be aggregated", current.round, current.task_id)
            await self._give_up(current, _problem(error))

    def _try_later(self, current: Round, error: Exception) -> None:
        """Called while `error` is being handled. Nothing is lost: the round stays `aggregating`."""
        earlier = self._failed.get((current.task_id, current.round))
        attempts = 0 if earlier is None else earlier.attempts
        pause = _RETRY_S[min(attempts, len(_RETRY_S) - 1)]
        again_at = self._shared.monotonic() + pause
        self._failed[current.task_id, current.round] = _Failure(_problem(error), attempts + 1, again_at)
        log.exception("round %d of %s: trying again in %g s", current.round, current.task_id, pause)

    async def _void(self, current: Round) -> None:
        async def work(connection: AsyncConnection) -> None:
            now = self._shared.clock()
            submitted = await _submitted(connection, current)
            reason = f"{submitted} of the {current.quorum} updates of its quorum came before the deadline"
            if await self._end(connection, current, RoundState.COLLECTING, reason, now):
                task = await get_task(connection, current.task_id)
                await next_round(connection, task, current.round, current.base_version, now)
                reach("void_written")

        await self._shared.database.write(work)
        reach("round_void")
        await self._tell_and_tidy(current.task_id)

    async def _give_up(self, current: Round, problem: str) -> None:
        """Updates that cannot be folded must not be tried for ever: an operator has to look."""

        async def work(connection: AsyncConnection) -> None:
            now = self._shared.clock()
            reason = f"round {current.round} could not be aggregated: {problem}"
            if await self._end(connection, current, RoundState.AGGREGATING, reason, now):
                paused = {"state": TaskState.PAUSED, "reason": reason}
                await connection.execute(update(tasks).where(tasks.c.task_id == current.task_id).values(paused))
                await record(
                    connection,
                    "task_paused",
                    at=now,
                    task_id=current.task_id,
                    actor="server",
                    detail={"reason": reason},
                )

        await self._shared.database.write(work)

    async def _end(
        self, connection: AsyncConnection, current: Round, source: RoundState, reason: str, now: float
    ) -> bool:
        """Makes the round void, if it still is in the state `source`."""
        downloaded = self._traffic.take_round(current.task_id)
        values = {"state": RoundState.VOID, "closed_at": now, "reason": reason, "bytes_down": downloaded}
        moved = await move_round(connection, current, source, **values)
        if moved:
            detail = {"round": current.round, "reason": reason}
            await record(connection, "round_void", at=now, task_id=current.task_id, detail=detail)
        return moved

    async def _tell_and_tidy(self, task_id: str) -> None:
        self._shared.notices.work_changed(task_id)
        self._shared.notices.tasks_changed()
        await self._tidy(task_id)

    async def _tidy(self, task_id: str) -> None:
        try:
            await self._housekeeping.prune(task_id)
        except Exception:
            log.exception("files of %s could not be freed; trying again in %g s", task_id, _TIDY_S)
            self._untidy[task_id] = self._shared.monotonic() + _TIDY_S
        else:
            self._untidy.pop(task_id, None)


def _may_pass(error: Exception) -> bool:
    """Whether time or an operator may mend it: a disk, a lock."""
    if isinstance(error, Refused):
        return error.code in (ErrorCode.BUSY, ErrorCode.STORAGE_FULL)
    return isinstance(error, OSError)


def _is_hopeless(error: Exception) -> bool:
    return isinstance(error, Refused) and error.code in _HOPELESS


def _problem(error: Exception) -> str:
    return error.problem if isinstance(error, Refused) else f"{type(error).__name__}: {error}."


async def _submitted(connection: AsyncConnection, current: Round) -> int:
    query = select(func.count()).select_from(updates)
    condition = (updates.c.task_id == current.task_id) & (updates.c.round == current.round)
    return int(await connection.scalar(query.where(condition)) or 0)
