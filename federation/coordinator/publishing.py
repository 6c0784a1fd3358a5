"""From a round's updates to the next version of the model: fold, score, store, publish in one transaction."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.aggregation.contributions import Contribution
from federation.aggregation.outcome import Diagnosis
from federation.aggregation.rules import aggregate
from federation.coordinator.ports import Shared
from federation.coordinator.records import ModelVersion, Round, Task, get_round, get_task, get_version
from federation.coordinator.scores import movement, node_means, server_scores
from federation.coordinator.traffic import Traffic
from federation.coordinator.transitions import go_on, move_round
from federation.fault_points import reach
from federation.rounds import RoundState
from federation.spec import derive_seed
from federation.store.events import record
from federation.store.tables import metrics, model_versions, tasks, updates
from federation.weights import chunks, load

log = logging.getLogger(__name__)

_BATCH = 250
_DIAGNOSED = ("weight", "cosine", "score", "reason")


@dataclass(frozen=True)
class Outcome:
    """What aggregation made of `rows`; `scores` are the server's, or `unscored` says why there are none."""

    rows: Sequence[Mapping[Any, Any]]
    diagnoses: Sequence[Diagnosis]
    sha256: str
    size: int
    state_sha256: str | None
    state_since: int | None
    scores: dict[str, float]
    unscored: str


class Publisher:
    """Makes versions. Done again after a crash it makes the same one, to the bit."""

    def __init__(self, shared: Shared, traffic: Traffic) -> None:
        self._shared = shared
        self._traffic = traffic

    async def publish(self, current: Round) -> None:
        """Aggregates a round that is `aggregating` and closes it with the version that comes of it."""
        async with self._shared.database.read() as connection:
            if (await get_round(connection, current.task_id, current.round)).state is not RoundState.AGGREGATING:
                return
            task = await get_task(connection, current.task_id)
            base = await get_version(connection, current.task_id, current.base_version)
            query = select(updates).where(updates.c.task_id == current.task_id, updates.c.round == current.round)
            ordered = query.order_by(updates.c.node_id, updates.c.upload_id)
            rows = (await connection.execute(ordered)).mappings().all()
        outcome = await asyncio.to_thread(self._aggregate, task, current, base, rows)
        await self._shared.database.write(lambda connection: self._commit(connection, task, current, outcome))
        reach("round_closed")

    def _aggregate(self, task: Task, current: Round, base: ModelVersion, rows: Sequence[RowMapping]) -> Outcome:
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
        made = aggregate(
            task.spec.aggregation,
            spool.path(base.sha256),
            contributions,
            training=task.spec.training,
            state=load(spool.path(base.state_sha256)) if base.state_sha256 else None,
            seed=derive_seed(task.spec.seed, "aggregate", current.round),
            clients=max(current.clients or 0, len(rows)),
            adapters=task.spec.model.adapters if task.spec.model.pretrained else None,
        )
        weights = made.weights
        reach("round_folded")
        scores, unscored = self._score(task, weights) if _scores_now(task, current.round) else ({}, "")
        scores |= movement(task.spec, weights, spool.path(base.sha256), rows) | made.metrics
        sha256 = spool.put(chunks(weights))
        reach("new_model_stored")
        return Outcome(
            rows=rows,
            diagnoses=made.diagnoses,
            sha256=sha256,
            size=spool.path(sha256).stat().st_size,
            state_sha256=spool.put(chunks(made.state)) if made.state else None,
            state_since=_since(base, current.round) if made.state else None,
            scores=scores,
            unscored=unscored,
        )

    def _score(self, task: Task, weights: dict[str, torch.Tensor]) -> tuple[dict[str, float], str]:
        """The server's scores, or why there are none: a test set that is out of reach costs no round."""
        try:
            evaluation = self._shared.workload.evaluate(task.spec, weights, task.base)
        except Exception as error:
            log.exception("the model of %s could not be scored", task.task_id)
            return {}, str(error)
        return (server_scores(evaluation) if evaluation else {}), ""

    async def _commit(self, connection: AsyncConnection, task: Task, current: Round, outcome: Outcome) -> None:
        now, downloaded = self._shared.clock(), partial(self._traffic.take_round, task.task_id)
        await close_round(connection, task, current, outcome, now=now, bytes_down=downloaded)


async def close_round(
    connection: AsyncConnection,
    task: Task,
    current: Round,
    outcome: Outcome,
    *,
    now: float,
    bytes_down: Callable[[], int],
) -> bool:
    """Closes a round that is `aggregating` with the version that `outcome` is, and goes on; within a transaction.

    False when it no longer is: it was cancelled in the meantime.
    """
    newest = select(func.max(model_versions.c.version)).where(model_versions.c.task_id == task.task_id)
    version = int(await connection.scalar(newest) or 0) + 1
    moved = await move_round(
        connection,
        current,
        RoundState.AGGREGATING,
        state=RoundState.CLOSED,
        closed_at=now,
        version=version,
        bytes_up=sum(row["size"] for row in outcome.rows),
        bytes_down=bytes_down(),
    )
    if not moved:
        return False
    values: dict[str, Any] = {
        "version": version,
        "parent": current.base_version,
        "round": current.round,
        "created_at": now,
    }
    values |= {"rule": task.spec.aggregation.rule, "sha256": outcome.sha256, "size": outcome.size}
    values |= {"state_sha256": outcome.state_sha256, "state_since": outcome.state_since}
    await connection.execute(insert(model_versions).values(task_id=task.task_id, **values))
    made = (
        update(updates)
        .where(updates.c.update_id == bindparam("id"))
        .values(version=version, **{name: bindparam(f"its_{name}") for name in _DIAGNOSED})
    )
    for some in batches(_diagnosed(outcome)):
        await connection.execute(made, some)
    measured = _metric_rows(task, current, version, outcome, now)
    if measured:
        await connection.execute(insert(metrics), measured)
    await connection.execute(update(tasks).where(tasks.c.task_id == task.task_id).values(version=version))
    detail: dict[str, Any] = {
        "round": current.round,
        "version": version,
        "updates": len(outcome.rows),
        "sha256": outcome.sha256,
    }
    if outcome.unscored:
        detail["unscored"] = outcome.unscored
    await record(connection, "round_closed", at=now, task_id=task.task_id, detail=detail)
    over = await go_on(connection, task, current.round, version, now)
    reach("finish_written" if over else "next_round_written")
    return True


def batches(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Rows a few at a time, so that preparing many of them does not hold up whoever else waits for the event loop."""
    for start in range(0, len(rows), _BATCH):
        yield rows[start : start + _BATCH]


def _since(base: ModelVersion, number: int) -> int | None:
    """With which round the state began that goes on in this one; None: nobody knows, it is of an older release."""
    return number if base.state_sha256 is None else base.state_since


def _scores_now(task: Task, number: int) -> bool:
    evaluation = task.spec.evaluation
    return evaluation.server and (number % evaluation.every == 0 or number == task.spec.rounds)


def _diagnosed(outcome: Outcome) -> list[dict[str, Any]]:
    ids = {row["upload_id"]: row["update_id"] for row in outcome.rows}
    return [
        {"id": ids[each.upload_id]} | {f"its_{name}": getattr(each, name) for name in _DIAGNOSED}
        for each in outcome.diagnoses
    ]


def _metric_rows(task: Task, current: Round, version: int, outcome: Outcome, now: float) -> list[dict[str, Any]]:
    """Scores by the server and training metrics belong to the version made, scores by nodes to the one received."""
    key = {"task_id": task.task_id, "round": current.round, "node_id": "", "at": now}
    rows = [key | {"version": version, "source": "server", "name": n, "value": v} for n, v in outcome.scores.items()]
    writes = not task.spec.model.classifies
    means = node_means(outcome.rows, task.spec.aggregation.max_examples, perplexity=writes)
    for name, value in means.items():
        measured = version if name.startswith("train_") else current.base_version
        rows.append(key | {"version": measured, "source": "nodes", "name": name, "value": value})
    return rows
