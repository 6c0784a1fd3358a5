"""Closes rounds: aggregates, evaluates, publishes the next version, opens the next round.

A round is claimed by a conditional UPDATE, so two closers cannot both have it. If the server dies while it
aggregates, the round is found `aggregating` at the next start and is done again, to the same bits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from sqlalchemy import func, insert, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.aggregation.fedavg import weights as fedavg_weights
from federation.aggregation.rules import Contribution, aggregate
from federation.coordinator.housekeeping import Housekeeping
from federation.coordinator.ports import Shared
from federation.coordinator.records import ModelVersion, Round, Task, get_round, get_task, get_version
from federation.coordinator.tasks import open_round
from federation.coordinator.traffic import Traffic
from federation.errors import ErrorCode, Refused
from federation.evaluation import Evaluation
from federation.rounds import RoundState, TaskState, decide
from federation.store.events import record
from federation.store.tables import assignments, metrics, model_versions, rounds, tasks, updates
from federation.weights import chunks

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Outcome:
    """What aggregation made, ready to be published."""

    sha256: str
    size: int
    weights: dict[str, float]  # by update_id
    evaluation: Evaluation | None
    rows: Sequence[RowMapping]


class Closer:
    """Decides when rounds close, and closes them."""

    def __init__(self, shared: Shared, traffic: Traffic, housekeeping: Housekeeping) -> None:
        self._shared = shared
        self._traffic = traffic
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
            claimed = await self._move(connection, current, RoundState.COLLECTING, state=RoundState.AGGREGATING)
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
            async with self._shared.database.read() as connection:
                task = await get_task(connection, current.task_id)
                base = await get_version(connection, current.task_id, current.base_version)
                rows = (await connection.execute(_updates_of(current))).mappings().all()
            outcome = await asyncio.to_thread(self._aggregate, task, current, base, rows)
            await self._shared.database.write(lambda connection: self._publish(connection, task, current, outcome))
        except Exception:
            log.exception("round %d of %s could not be closed", current.round, current.task_id)
            await self._pause(current)
        await self._tell_and_tidy(current.task_id)

    def _aggregate(self, task: Task, current: Round, base: ModelVersion, rows: Sequence[RowMapping]) -> _Outcome:
        spool = self._shared.spool
        contributions = [
            Contribution(
                node_id=row["node_id"],
                upload_id=row["upload_id"],
                path=spool.path(row["sha256"]),
                num_examples=row["num_examples"],
                num_steps=row["num_steps"],
            )
            for row in rows
        ]
        weights: dict[str, torch.Tensor]
        weights = aggregate(task.spec.aggregation, spool.path(base.sha256), contributions)
        evaluation = None
        if _evaluates(task, current.round):
            evaluation = self._shared.workload.evaluate(task.spec, weights)
        sha256 = spool.put(chunks(weights))
        return _Outcome(sha256, spool.path(sha256).stat().st_size, _shares(task, rows), evaluation, rows)

    async def _publish(self, connection: AsyncConnection, task: Task, current: Round, outcome: _Outcome) -> None:
        now = self._shared.clock()
        query = select(func.max(model_versions.c.version)).where(model_versions.c.task_id == task.task_id)
        version = int(await connection.scalar(query) or 0) + 1
        moved = await self._move(
            connection,
            current,
            RoundState.AGGREGATING,
            state=RoundState.CLOSED,
            closed_at=now,
            version=version,
            bytes_up=sum(row["size"] for row in outcome.rows),
            bytes_down=self._traffic.take_round(task.task_id),
        )
        if not moved:  # cancelled in the meantime
            return
        await connection.execute(
            insert(model_versions).values(
                task_id=task.task_id,
                version=version,
                parent=current.base_version,
                round=current.round,
                rule=task.spec.aggregation.rule,
                sha256=outcome.sha256,
                size=outcome.size,
                created_at=now,
            )
        )
        for row in outcome.rows:
            await connection.execute(
                update(updates)
                .where(updates.c.update_id == row["update_id"])
                .values(version=version, weight=outcome.weights[row["update_id"]])
            )
        measured = [*_server_metrics(outcome.evaluation, version), *_node_means(outcome.rows)]
        if measured:
            key = {"task_id": task.task_id, "round": current.round, "at": now}
            await connection.execute(insert(metrics), [key | metric for metric in measured])
        await connection.execute(update(tasks).where(tasks.c.task_id == task.task_id).values(version=version))
        detail = {"round": current.round, "version": version, "updates": len(outcome.rows), "sha256": outcome.sha256}
        await record(connection, "round_closed", at=now, task_id=task.task_id, detail=detail)
        await self._go_on(connection, task, current, version)

    async def _go_on(self, connection: AsyncConnection, task: Task, current: Round, version: int) -> None:
        now = self._shared.clock()
        if current.round < task.spec.rounds:
            await open_round(connection, task.task_id, current.round + 1, version, now)
            return
        await connection.execute(
            update(tasks).where(tasks.c.task_id == task.task_id).values(state=TaskState.FINISHED, finished_at=now)
        )
        await record(connection, "task_finished", at=now, task_id=task.task_id, detail={"version": version})

    async def _void(self, current: Round) -> None:
        async def work(connection: AsyncConnection) -> None:
            now = self._shared.clock()
            submitted = await _submitted(connection, current)
            reason = f"{submitted} of the {current.quorum} updates of its quorum came before the deadline"
            moved = await self._move(
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
                await self._go_on(connection, task, current, current.base_version)

        await self._shared.database.write(work)
        await self._tell_and_tidy(current.task_id)

    async def _tell_and_tidy(self, task_id: str) -> None:
        self._shared.notices.task_changed(task_id)
        self._shared.notices.tasks_changed()
        await self._housekeeping.prune(task_id)

    async def _pause(self, current: Round) -> None:
        """A round that cannot be aggregated must not be tried for ever: an operator has to look at it."""
        reason = f"round {current.round} could not be aggregated; the server's log says why"

        async def work(connection: AsyncConnection) -> None:
            now = self._shared.clock()
            moved = await self._move(
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
                task = await get_task(connection, current.task_id)
                if current.round < task.spec.rounds:
                    await open_round(connection, task.task_id, current.round + 1, current.base_version, now)

        await self._shared.database.write(work)

    async def _move(self, connection: AsyncConnection, current: Round, source: RoundState, **values: Any) -> bool:
        """The conditional UPDATE that makes a change of state happen once."""
        moved = await connection.execute(
            update(rounds)
            .where(rounds.c.task_id == current.task_id, rounds.c.round == current.round, rounds.c.state == source)
            .values(values)
        )
        return bool(moved.rowcount)


def _updates_of(current: Round) -> Any:
    return (
        select(updates)
        .where(updates.c.task_id == current.task_id, updates.c.round == current.round)
        .order_by(updates.c.node_id, updates.c.upload_id)
    )


async def _submitted(connection: AsyncConnection, current: Round) -> int:
    query = select(func.count()).select_from(updates)
    condition = (updates.c.task_id == current.task_id) & (updates.c.round == current.round)
    return int(await connection.scalar(query.where(condition)) or 0)


def _evaluates(task: Task, number: int) -> bool:
    evaluation = task.spec.evaluation
    return evaluation.server and (number % evaluation.every == 0 or number == task.spec.rounds)


def _shares(task: Task, rows: Sequence[RowMapping]) -> dict[str, float]:
    shares = fedavg_weights([row["num_examples"] for row in rows], uniform=task.spec.aggregation.weighting == "uniform")
    return {row["update_id"]: share for row, share in zip(rows, shares, strict=True)}


def _server_metrics(evaluation: Evaluation | None, version: int) -> list[dict[str, Any]]:
    if evaluation is None:
        return []
    values = {"accuracy": evaluation.accuracy, "loss": evaluation.loss, "examples": float(evaluation.num_examples)}
    return [
        {"version": version, "source": "server", "node_id": "", "name": name, "value": value}
        for name, value in values.items()
    ]


def _node_means(rows: Sequence[RowMapping]) -> list[dict[str, Any]]:
    """What the nodes measured, averaged: scores of the received model by held-out examples, training by examples."""
    means: list[dict[str, Any]] = []
    for name, weight in (
        ("eval_accuracy", "eval_examples"),
        ("eval_loss", "eval_examples"),
        ("train_accuracy", None),
        ("train_loss", None),
    ):
        pairs = [
            (row["metrics"][name], row["metrics"].get(weight, 0.0) if weight else row["num_examples"])
            for row in rows
            if name in row["metrics"]
        ]
        total = sum(share for _, share in pairs)
        if total > 0:
            mean = sum(value * share for value, share in pairs) / total
            version = rows[0]["base_version"]
            means.append({"version": version, "source": "nodes", "node_id": "", "name": name, "value": mean})
    return means
