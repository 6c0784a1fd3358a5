"""Where a node stands in a round of a task: one query for what most calls of a node have to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Row, Select, Table, and_, bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.coordinator.records import ModelVersion, Round, Task, no_round, no_task
from federation.store.tables import assignments, members, model_versions, rounds, tasks, updates

HAS_DATA = or_(members.c.partition_index.is_not(None), members.c.own_data)
"""A member whose share has passed on has none, and no work, until it joins again."""


@dataclass(frozen=True)
class Standing:
    """A task, one of its rounds, and a node in both.

    Attributes:
        round: None when the task has no such round yet.
        base: the model version that the round trains from.
        member: the node's row in `members`, if it has joined the task.
        in_cohort: the node was selected for the round.
        delivered: SHA-256 of the update that was accepted from it.
    """

    task: Task
    round: Round | None
    base: ModelVersion | None
    member: Mapping[str, Any] | None
    in_cohort: bool
    delivered: str | None

    @property
    def partition_index(self) -> int | None:
        """The node's share of the task's training set."""
        return None if self.member is None else self.member["partition_index"]

    @property
    def has_data(self) -> bool:
        """Whether the node holds a share, or brings its own data."""
        return self.member is not None and (self.partition_index is not None or bool(self.member["own_data"]))

    @property
    def model(self) -> ModelVersion:
        """The version that the round trains from; a round that exists has one."""
        if self.base is None:
            raise no_round(self.task.task_id, self.task.round)
        return self.base

    def opened_round(self, number: int) -> Round:
        """The round; refused when the task has none of that number."""
        if self.round is None:
            raise no_round(self.task.task_id, number)
        return self.round


async def now_standing(connection: AsyncConnection, task_id: str, node_id: str) -> Standing:
    """Where the node stands in the task's latest round; refused when there is no such task."""
    return await _standing(connection, _LATEST, {"task": task_id, "node": node_id})


async def standing_in(connection: AsyncConnection, task_id: str, number: int, node_id: str) -> Standing:
    """Where the node stands in round `number` of the task; refused when there is no such task."""
    return await _standing(connection, _NUMBERED, {"task": task_id, "node": node_id, "number": number})


def _query(number: Any) -> Select[Any]:
    round_ = rounds.c.round
    node: BindParameter[str] = bindparam("node")
    joined = (
        tasks.outerjoin(rounds, and_(rounds.c.task_id == tasks.c.task_id, round_ == number))
        .outerjoin(
            model_versions,
            and_(model_versions.c.task_id == tasks.c.task_id, model_versions.c.version == rounds.c.base_version),
        )
        .outerjoin(members, and_(members.c.task_id == tasks.c.task_id, members.c.node_id == node))
        .outerjoin(
            assignments,
            and_(
                assignments.c.task_id == tasks.c.task_id, assignments.c.round == round_, assignments.c.node_id == node
            ),
        )
        .outerjoin(
            updates,
            and_(updates.c.task_id == tasks.c.task_id, updates.c.round == round_, updates.c.node_id == node),
        )
    )
    columns = (*tasks.c, *rounds.c, *model_versions.c, *members.c, assignments.c.node_id, updates.c.sha256)
    return select(*columns).select_from(joined).where(tasks.c.task_id == bindparam("task"))


_LATEST, _NUMBERED = _query(tasks.c.round), _query(bindparam("number"))


async def _standing(connection: AsyncConnection, query: Select[Any], key: dict[str, Any]) -> Standing:
    row = (await connection.execute(query, key)).first()
    if row is None:
        raise no_task(key["task"])
    task, current, base, member = (_part(row, table) for table in (tasks, rounds, model_versions, members))
    assert task is not None  # noqa: S101 - the table that the others are joined to
    return Standing(
        task=Task.of(task),
        round=None if current is None else Round.of(current),
        base=None if base is None else ModelVersion(**base),
        member=member,
        in_cohort=row._mapping[assignments.c.node_id] is not None,
        delivered=row._mapping[updates.c.sha256],
    )


def _part(row: Row[Any], table: Table) -> dict[str, Any] | None:
    """One table's columns of a joined row; None where the join found nothing."""
    part = {column.name: row._mapping[column] for column in table.c}
    return None if part["task_id"] is None else part
