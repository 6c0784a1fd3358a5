"""What the coordinator knows of the nodes that a cohort is drawn from: two queries a round, however many they are."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.coordinator.liveness import Liveness
from federation.coordinator.records import Task
from federation.selection import LOOK_BACK, Facts
from federation.store.tables import assignments, members, nodes, rounds, updates


async def facts_about(
    connection: AsyncConnection, liveness: Liveness, task: Task, number: int, at_hand: list[str]
) -> dict[str, Facts]:
    """The facts about the nodes at hand before round `number` is drawn."""
    seconds = await _seconds(connection, task, number)
    wanted = set(at_hand)
    found = {}
    for row in (await connection.execute(_latest(task.task_id, number))).mappings():
        node_id = str(row["node_id"])
        if node_id not in wanted:
            continue
        reported = row["metrics"] or {}
        report = liveness.latest_report(task.task_id, node_id) or {}
        found[node_id] = Facts(
            examples=row["num_examples"],
            loss=reported.get("eval_loss", reported.get("train_loss")),
            seconds=seconds.get(node_id),
            rate=(report.get("examples_per_s") or 0.0) / task.spec.training.epochs or None,
            device=str(row["capabilities"].get("device", "cpu")),
        )
    return found


def _latest(task_id: str, number: int) -> Any:
    """Each member with its capabilities and the update that it delivered last, if any."""
    lately = and_(updates.c.task_id == task_id, updates.c.round > number - LOOK_BACK)
    last = (
        select(updates.c.node_id, func.max(updates.c.round).label("round"))
        .where(lately)
        .group_by(updates.c.node_id)
        .cte("last")
    )
    delivered = and_(
        updates.c.task_id == task_id, updates.c.round == last.c.round, updates.c.node_id == members.c.node_id
    )
    return (
        select(members.c.node_id, nodes.c.capabilities, updates.c.num_examples, updates.c.metrics)
        .select_from(
            members.join(nodes, nodes.c.node_id == members.c.node_id)
            .outerjoin(last, last.c.node_id == members.c.node_id)
            .outerjoin(updates, delivered)
        )
        .where(members.c.task_id == task_id)
    )


async def _seconds(connection: AsyncConnection, task: Task, number: int) -> dict[str, float]:
    """Mean time from assignment to update; a deadline that was missed counts as twice the task's."""
    missed = and_(assignments.c.submitted_at.is_(None), rounds.c.closed_at >= rounds.c.deadline_at)
    took = case(
        (assignments.c.submitted_at.is_not(None), assignments.c.submitted_at - assignments.c.assigned_at),
        (missed, 2 * task.spec.deadline_s),
        else_=None,
    )
    same = and_(rounds.c.task_id == assignments.c.task_id, rounds.c.round == assignments.c.round)
    query = (
        select(assignments.c.node_id, func.avg(took))
        .join(rounds, same)
        .where(assignments.c.task_id == task.task_id, assignments.c.round > number - LOOK_BACK)
        .group_by(assignments.c.node_id)
    )
    return {str(node_id): float(mean) for node_id, mean in await connection.execute(query) if mean is not None}
