"""The rows that views are made of, as one reading of the database finds them."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import func, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.coordinator.scores import BY_CLASS
from federation.store.tables import assignments, metrics, model_versions, tasks

Scores = dict[tuple[str, int], dict[str, float]]
"""By task and version."""


async def cohorts_of(
    connection: AsyncConnection, task_id: str, number: int | None = None
) -> dict[int, list[RowMapping]]:
    """The assignments of a task by round, or of one round."""
    query = select(assignments).where(assignments.c.task_id == task_id).order_by(assignments.c.node_id)
    if number is not None:
        query = query.where(assignments.c.round == number)
    found: dict[int, list[RowMapping]] = defaultdict(list)
    for row in (await connection.execute(query)).mappings():
        found[row["round"]].append(row)
    return found


async def counts_of(connection: AsyncConnection, task_id: str, after: int) -> dict[int, tuple[int, int]]:
    """Of each later round: how many were selected, and how many submitted."""
    counted = select(assignments.c.round, func.count(), func.count(assignments.c.submitted_at))
    mine = (assignments.c.task_id == task_id) & (assignments.c.round > after)
    rows = await connection.execute(counted.where(mine).group_by(assignments.c.round))
    return {int(number): (int(selected), int(submitted)) for number, selected, submitted in rows}


async def hashes_of(connection: AsyncConnection, task_id: str) -> dict[int, str]:
    """The SHA-256 of every version of a task."""
    query = select(model_versions.c.version, model_versions.c.sha256).where(model_versions.c.task_id == task_id)
    return {int(version): str(sha256) for version, sha256 in await connection.execute(query)}


async def scores_of(connection: AsyncConnection, task_id: str, *, fewest: int = 0, by_class: bool = True) -> Scores:
    """Scores of each version by the server (accuracy, loss) and by the nodes' mean (eval_accuracy, ...), if at least
    `fewest` nodes are in it."""
    reporters = {
        int(version): int(count)
        for version, count in await connection.execute(
            select(metrics.c.version, func.count(metrics.c.node_id.distinct()))
            .where(metrics.c.task_id == task_id, metrics.c.source == "node")
            .group_by(metrics.c.version)
        )
    }
    query = select(metrics).where(metrics.c.task_id == task_id, metrics.c.source.in_(["server", "nodes"]))
    rows = await connection.execute(query if by_class else query.where(metrics.c.name.not_like(f"{BY_CLASS}%")))
    found: Scores = defaultdict(dict)
    for row in rows.mappings():
        if row["source"] == "server" or reporters.get(row["version"], 0) >= fewest:
            found[task_id, row["version"]][row["name"]] = row["value"]
    return found


async def latest_scores(connection: AsyncConnection) -> dict[str, dict[str, float]]:
    """The server's latest accuracy and loss of every task: of its current version, or of the last one before that."""
    rows = await connection.execute(
        select(metrics.c.task_id, metrics.c.name, metrics.c.value)
        .join(tasks, tasks.c.task_id == metrics.c.task_id)
        .where(metrics.c.source == "server", metrics.c.name.in_(["accuracy", "loss"]))
        .where(metrics.c.version <= tasks.c.version)  # after a roll-back, newer ones are there
        .order_by(metrics.c.version)
    )
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for task_id, name, value in rows:
        found[task_id][name] = value
    return found
