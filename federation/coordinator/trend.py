"""How a task's scores and its nodes' parts in it go over the rounds, read from rows that are there anyway."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.convergence import Point
from federation.coordinator.records import Task
from federation.coordinator.standing import HAS_DATA
from federation.rounds import RoundState
from federation.selection import jain
from federation.store.tables import assignments, members, metrics, rounds, updates

MOST_ROUNDS = 2000
"""Rounds that a look back takes in: it is taken in the transaction that closes a round."""
FAIRNESS_ROUNDS = 100
"""Rounds over which participation is compared."""

NO_PART = {"selected": 0, "delivered": 0, "dropped_out": 0, "weight_share": 0.0}
"""A member that has not been selected yet."""

_ACCURACIES = (("server", "accuracy"), ("nodes", "eval_accuracy"))
_SCORED = ("server", "examples")
"""A version that has this was scored by the server."""
_LOSSES = (("server", "loss"), ("nodes", "eval_loss"), ("nodes", "train_loss"))


async def series(connection: AsyncConnection, task: Task, number: int) -> list[Point]:
    """The versions from the one that round `number` made back to where its line began, oldest first, with scores."""
    over = (rounds.c.task_id == task.task_id) & (rounds.c.round > number - MOST_ROUNDS) & (rounds.c.round <= number)
    made = (await connection.execute(select(rounds).where(over, rounds.c.version.is_not(None)))).mappings().all()
    by_version = {int(row["version"]): row for row in made}
    line: list[tuple[int, int]] = []
    version: int | None = next((int(row["version"]) for row in made if row["round"] == number), None)
    while version is not None and version in by_version:
        line.append((version, int(by_version[version]["round"])))
        version = int(by_version[version]["base_version"])
    if version is not None:
        line.append((version, line[-1][1] - 1))  # where it began: version 0, unless that was too long ago
    scores = await _scores(connection, task.task_id, number)
    return points(list(reversed(line)), scores, task, number)


Scores = Mapping[int, Mapping[tuple[str, str], float]]


def points(line: list[tuple[int, int]], scores: Scores, task: Task, number: int) -> list[Point]:
    """Versions and their rounds as a series. One measure makes a series: the server's where it scores at all.

    Until the server was due to score for the first time, nobody can know whether it will; so nothing is judged.
    """
    evaluation = task.spec.evaluation
    has = {key for version, _ in line for key in scores.get(version, {})}
    by_server = evaluation.server and _SCORED in has
    if evaluation.server and not by_server and number < evaluation.every:
        return []
    sources = ("server",) if by_server else ("nodes",)
    accuracy = next((key for key in _ACCURACIES if key[0] in sources and key in has), None)
    loss = next((key for key in _LOSSES if key[0] in sources and key in has), None)
    found = []
    for version, made_in in line:
        mine = scores.get(version, {})
        value = mine.get(loss) if loss else None
        if by_server and _SCORED in mine and ("server", "loss") not in mine:
            value = math.inf  # a loss that is not finite is not kept
        found.append(Point(version, made_in, mine.get(accuracy) if accuracy else None, value))
    return found


async def keep_fairness(connection: AsyncConnection, task: Task, number: int, version: int, now: float) -> None:
    """Writes Jain's index of who delivered how often in the latest rounds, as the server's metric of the version."""
    task_id = task.task_id
    lately = (assignments.c.task_id == task_id) & (assignments.c.round > number - FAIRNESS_ROUNDS)
    counts = select(assignments.c.node_id, func.count(assignments.c.submitted_at)).where(lately)
    delivered = dict.fromkeys(
        await connection.scalars(select(members.c.node_id).where(members.c.task_id == task_id, HAS_DATA)), 0
    )
    for node_id, count in await connection.execute(counts.group_by(assignments.c.node_id)):
        delivered[node_id] = int(count)
    key = {"task_id": task_id, "round": number, "version": version, "source": "server", "node_id": "", "at": now}
    # A simulated task's clients are as many as its shares, drawn yet or not.
    others = 0 if task.simulation is None else task.spec.data.partition.parts - len(delivered)
    fairness = {"name": "participation_fairness", "value": jain([*delivered.values(), *[0] * others])}
    await connection.execute(insert(metrics), [key | fairness])


async def participation(
    connection: AsyncConnection, task_id: str, cohorts: Mapping[int, Sequence[Mapping[Any, Any]]]
) -> dict[str, dict[str, Any]]:
    """Each node's part in the task: how often it was selected, delivered and dropped out, its share of all weight.

    Dropped out is who was selected and brought no update, while the round had not what it wanted without it: the
    surplus of over-selection, and a round that was cancelled before its deadline, are nobody's fault.
    """
    short = await _short_of_updates(connection, task_id, cohorts)
    weighed = select(updates.c.node_id, func.sum(updates.c.weight)).where(updates.c.task_id == task_id)
    weights = {
        str(node_id): float(weight or 0.0)
        for node_id, weight in await connection.execute(weighed.group_by(updates.c.node_id))
    }
    total = sum(weights.values())
    found: dict[str, dict[str, Any]] = defaultdict(lambda: dict(NO_PART))
    for number, cohort in cohorts.items():
        for row in cohort:
            mine = found[row["node_id"]]
            mine["selected"] += 1
            if row["submitted_at"] is not None:
                mine["delivered"] += 1
            elif number in short:
                mine["dropped_out"] += 1
    for node_id, mine in found.items():
        mine["weight_share"] = weights.get(node_id, 0.0) / total if total else 0.0
    return found


async def _short_of_updates(
    connection: AsyncConnection, task_id: str, cohorts: Mapping[int, Sequence[Mapping[Any, Any]]]
) -> set[int]:
    """The rounds that ended, in their own time, with fewer updates than they wanted."""
    ended = rounds.c.state.in_([RoundState.CLOSED, RoundState.VOID])
    cut_short = (rounds.c.state == RoundState.VOID) & (rounds.c.closed_at < rounds.c.deadline_at)
    query = select(rounds.c.round, rounds.c.wanted).where(rounds.c.task_id == task_id, ended, ~cut_short)
    return {
        int(number)
        for number, wanted in await connection.execute(query)
        if sum(row["submitted_at"] is not None for row in cohorts.get(number, ())) < (wanted or 0)
    }


async def _scores(connection: AsyncConnection, task_id: str, number: int) -> Scores:
    """Scores by version, source and name. Through `rounds`, so that the index leads past the nodes' own rows."""
    names = [name for _, name in (*_ACCURACIES, *_LOSSES, _SCORED)]
    measured = (metrics.c.task_id == rounds.c.task_id) & (metrics.c.round == rounds.c.round)
    query = (
        select(metrics.c.version, metrics.c.source, metrics.c.name, metrics.c.value)
        .join(rounds, measured & metrics.c.version.in_([rounds.c.version, rounds.c.base_version]))
        .where(rounds.c.task_id == task_id, rounds.c.round > number - MOST_ROUNDS, rounds.c.round <= number)
        .where(metrics.c.source.in_(["server", "nodes"]), metrics.c.node_id == "", metrics.c.name.in_(names))
        .order_by(metrics.c.round)
    )
    found: dict[int, dict[tuple[str, str], float]] = defaultdict(dict)
    for version, source, name, value in await connection.execute(query):
        found[version][source, name] = value
    return found
