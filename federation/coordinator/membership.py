"""Which nodes belong to a task, and which share of the training set is whose."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.coordinator.ports import Shared
from federation.coordinator.records import Task
from federation.coordinator.standing import Standing
from federation.errors import ErrorCode, Refused
from federation.fault_points import reach
from federation.model_spec import HF
from federation.store.events import record
from federation.store.tables import members


class Membership:
    """Hands out partition indices: one node a share, so that no example is trained on twice."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def join(self, standing: Standing, node: dict[str, Any], *, wanted: int | None, own_data: bool) -> None:
        """Gives the node a partition index in this task (none with data of its own). Joining again keeps it."""
        task, node_id = standing.task, str(node["node_id"])
        _check_index(task, wanted, own_data)
        if _still_fits(standing, wanted, own_data):
            return
        _check_capabilities(task, node)

        async def work(connection: AsyncConnection) -> None:
            index = None if own_data else await self._claim(connection, task, node_id, wanted)
            values = {"partition_index": index, "own_data": own_data, "joined_at": self._shared.clock()}
            mine = (members.c.task_id == task.task_id) & (members.c.node_id == node_id)
            changed = await connection.execute(update(members).where(mine).values(values))
            if not changed.rowcount:
                await connection.execute(insert(members).values(task_id=task.task_id, node_id=node_id, **values))
            await record(
                connection,
                "node_joined",
                at=self._shared.clock(),
                task_id=task.task_id,
                actor=node_id,
                detail={"partition_index": index},
            )

        await self._shared.database.write(work, after=self._shared.notices.nodes_changed)
        reach("share_taken")

    async def _claim(self, connection: AsyncConnection, task: Task, node_id: str, wanted: int | None) -> int:
        rows = await connection.execute(
            select(members.c.partition_index, members.c.node_id).where(
                members.c.task_id == task.task_id, members.c.partition_index.is_not(None), members.c.node_id != node_id
            )
        )
        holders = {int(row.partition_index): str(row.node_id) for row in rows}
        parts = task.spec.data.partition.parts
        if wanted is None:
            free = [index for index in range(parts) if index not in holders]
            abandoned = [i for i in range(parts) if i in holders and self._gone(task, holders[i])]
            if not free and not abandoned:
                raise Refused(
                    ErrorCode.PARTITION_TAKEN,
                    f"all {parts} shares of task {task.task_id} belong to nodes that were heard of lately.",
                    "try again later, when those that are gone have lost theirs; else bring data of your own "
                    "(--data PATH), or create the task with more data.partition.parts",
                )
            wanted = (free or abandoned)[0]
        holder = holders.get(wanted)
        if holder is not None:
            if not self._gone(task, holder):
                raise Refused(
                    ErrorCode.PARTITION_TAKEN,
                    f"share {wanted} of task {task.task_id} belongs to another node, which was heard of lately.",
                    "choose another index, leave it out to get a free one, or try again later",
                )
            await connection.execute(
                update(members)
                .where(members.c.task_id == task.task_id, members.c.node_id == holder)
                .values(partition_index=None, own_data=False)
            )
        return wanted

    def _gone(self, task: Task, node_id: str) -> bool:
        return self._shared.liveness.gone(task.task_id, node_id, task.spec.lease_s)


def _still_fits(standing: Standing, wanted: int | None, own_data: bool) -> bool:
    if own_data:
        return standing.member is not None and bool(standing.member["own_data"])
    return standing.partition_index is not None and wanted in (None, standing.partition_index)


def _check_capabilities(task: Task, node: dict[str, Any]) -> None:
    rule = task.spec.aggregation.rule
    methods = node["capabilities"].get("methods")
    if methods and rule not in methods:
        raise Refused(
            ErrorCode.INCOMPATIBLE_NODE,
            f"task {task.task_id} uses {rule}, the node knows {methods}.",
            "update the node, or join a task whose method it knows",
        )
    models, wanted = node["capabilities"].get("model_ids"), _model_wanted(task)
    if models and wanted not in models:
        raise Refused(
            ErrorCode.INCOMPATIBLE_NODE,
            f"task {task.task_id} trains {task.spec.model.id}, the node can build {models}.",
            "update the node, or join a task whose model it can build",
        )

    memory = node["capabilities"].get("memory_bytes")
    if task.base is not None and memory and memory < task.base.memory_bytes:
        raise Refused(
            ErrorCode.INCOMPATIBLE_NODE,
            f"training in task {task.task_id} takes about {task.base.memory_bytes / 1e9:.1f} GB of memory; "
            f"the node has {memory / 1e9:.1f} GB.",
            "join with a machine that has more memory, or create the task with training.gradient_checkpointing, a "
            "smaller training.batch_size or more training.accumulation, or model.dtype bfloat16",
        )


def _model_wanted(task: Task) -> str:
    """As nodes name what they can build: any pretrained model is `hf:*`."""
    return f"{HF}*" if task.spec.model.pretrained else task.spec.model.id


def _check_index(task: Task, wanted: int | None, own_data: bool) -> None:
    parts = task.spec.data.partition.parts
    if own_data and wanted is not None:
        raise Refused(
            ErrorCode.INVALID_ARGUMENT,
            "partition_index belongs to the task's data set, own_data to yours.",
            "give one of the two",
        )
    if not own_data and task.spec.data.id == "own":
        raise Refused(
            ErrorCode.INVALID_ARGUMENT,
            f"task {task.task_id} has no data set: each node brings its own.",
            "join with own_data=true (potluck join … --data PATH)",
        )
    if wanted is not None and not 0 <= wanted < parts:
        raise Refused(
            ErrorCode.INVALID_ARGUMENT,
            f"partition_index {wanted} is outside 0..{parts - 1}.",
            f"the task's training set is cut into {parts} shares; leave the index out to get a free one",
        )
