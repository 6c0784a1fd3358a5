"""The rows that views are made of, as one reading of the database finds them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.coordinator.scores import BY_CLASS
from federation.rounds import RoundState
from federation.store.tables import assignments, metrics, model_versions, rounds, tasks

Scores = dict[tuple[str, int], dict[str, float]]
"""By task and version."""
MOST_LEAPS = 50


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


async def totals_of(connection: AsyncConnection, task_id: str) -> dict[str, Any]:
    """Sums over all rounds of a task, however few of them a view lists; and where its line of versions has leaps.

    Bytes and seconds are those of the rounds that are over. `leaps` are `[version, base]` of the latest versions that
    were not made from the one before: a roll-back lies between.
    """
    mine, over = rounds.c.task_id == task_id, rounds.c.state.in_([RoundState.CLOSED, RoundState.VOID])
    took = func.sum(func.round(rounds.c.closed_at - rounds.c.collecting_at, 3))
    sums = [func.coalesce(total, 0) for total in (func.sum(rounds.c.bytes_up), func.sum(rounds.c.bytes_down), took)]
    up, down, seconds = (await connection.execute(select(*sums).where(mine, over))).one()
    counted = select(rounds.c.state, func.count()).where(mine).group_by(rounds.c.state)
    states = {str(state): int(count) for state, count in await connection.execute(counted)}
    leaping = select(rounds.c.version, rounds.c.base_version).where(mine, rounds.c.version > rounds.c.base_version + 1)
    leaps = await connection.execute(leaping.order_by(rounds.c.round.desc()).limit(MOST_LEAPS))
    counts = {"rounds": sum(states.values())} | {each: states.get(each, 0) for each in ("closed", "void")}
    sizes = {"bytes_up": int(up), "bytes_down": int(down), "seconds": round(float(seconds), 3)}
    return counts | sizes | {"leaps": [[int(version), int(base)] for version, base in leaps][::-1]}


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
