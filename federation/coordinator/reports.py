"""What nodes tell while they work: progress, which is also the heartbeat; scores of the final model; goodbyes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.coordinator.ports import Shared
from federation.coordinator.records import get_task
from federation.coordinator.scores import node_means
from federation.coordinator.standing import standing_in
from federation.coordinator.submissions import check_metrics
from federation.errors import ErrorCode, Refused
from federation.rounds import RoundState, TaskState
from federation.store.tables import assignments, members, metrics

Phase = Literal["training", "evaluation", "leaving"]


@dataclass(frozen=True)
class Heard:
    """The answer to a report: whether to go on, and for how long the node's lease now holds."""

    state: Literal["continue", "stop"]
    lease_s: float
    reason: str


class Reports:
    """Takes `report_progress`."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def progress(self, node: dict[str, Any], task_id: str, number: int, report: dict[str, Any]) -> Heard:
        """A heartbeat: extends the lease; tells the node to stop when its round no longer wants it."""
        node_id = str(node["node_id"])
        async with self._shared.database.read() as connection:
            standing = await standing_in(connection, task_id, number, node_id)
        if standing.round is None or not standing.in_cohort:
            raise Refused(
                ErrorCode.NOT_IN_COHORT,
                f"{node_id} has no assignment in round {number} of task {task_id}.",
                "report only on what get_assignment asked for",
            )
        self._shared.liveness.report(task_id, node_id, report | {"round": number})
        self._shared.notices.progressed(task_id)
        if standing.round.state is not RoundState.COLLECTING:
            return Heard("stop", 0.0, f"round {number} is {standing.round.state}")
        if standing.delivered is not None:
            return Heard("stop", 0.0, f"this node's update for round {number} has been accepted")
        return Heard("continue", standing.task.spec.lease_s, "")

    async def evaluation(self, node: dict[str, Any], task_id: str, *, version: int, scores: dict[str, float]) -> Heard:
        """A node's score of a model version on its held-out share. Reporting again replaces it."""
        check_metrics(scores)
        node_id, now = str(node["node_id"]), self._shared.clock()

        async def work(connection: AsyncConnection) -> None:
            task = await get_task(connection, task_id)
            if task.spec.model.classifies and "eval_accuracy" not in scores:
                problem = "an evaluation of a model that classifies needs accuracy."
                raise Refused(ErrorCode.INVALID_ARGUMENT, problem, "pass accuracy")
            if version != task.version:
                raise Refused(
                    ErrorCode.WRONG_VERSION,
                    f"version {version} is not the final model of task {task_id}, which is {task.version}.",
                    "report on the version of the assignment",
                )
            took_part = await connection.scalar(
                select(assignments.c.node_id)
                .where(assignments.c.task_id == task_id, assignments.c.node_id == node_id)
                .limit(1)
            )
            if took_part is None or task.state is not TaskState.FINISHED:
                raise Refused(
                    ErrorCode.NOT_IN_COHORT,
                    f"task {task_id} has not asked {node_id} for an evaluation.",
                    "report only on what get_assignment asked for",
                )
            key = {"task_id": task_id, "round": task.round, "version": version}
            cap, writes = task.spec.aggregation.max_examples, not task.spec.model.classifies
            await self._replace(connection, key, "node", node_id, scores, now)
            await self._replace(connection, key, "nodes", "", await self._mean(connection, key, cap, writes), now)

        await self._shared.database.write(work, after=lambda: self._shared.notices.task_changed(task_id))
        self._shared.liveness.seen(task_id, node_id)
        return Heard("continue", 0.0, "")

    async def leaving(self, node: dict[str, Any], task_id: str) -> Heard:
        """The node goes: its lease ends now instead of running out."""
        async with self._shared.database.read() as connection:
            await get_task(connection, task_id)
            mine = (members.c.task_id == task_id) & (members.c.node_id == str(node["node_id"]))
            if await connection.scalar(select(members.c.node_id).where(mine)) is None:
                raise Refused(
                    ErrorCode.NOT_IN_COHORT,
                    f"{node['node_id']} never joined task {task_id}.",
                    "a node joins with get_assignment",
                )
        self._shared.liveness.left(task_id, str(node["node_id"]))
        self._shared.notices.task_changed(task_id)
        self._shared.notices.nodes_changed()
        return Heard("stop", 0.0, "goodbye")

    async def _replace(
        self,
        connection: AsyncConnection,
        key: dict[str, Any],
        source: str,
        node_id: str,
        values: dict[str, float],
        now: float,
    ) -> None:
        if not values:
            return
        conditions = [metrics.c[name] == value for name, value in key.items()]
        await connection.execute(
            delete(metrics).where(
                *conditions, metrics.c.source == source, metrics.c.node_id == node_id, metrics.c.name.in_(values)
            )
        )
        rows = [
            key | {"source": source, "node_id": node_id, "name": name, "value": value, "at": now}
            for name, value in values.items()
        ]
        await connection.execute(insert(metrics), rows)

    async def _mean(
        self, connection: AsyncConnection, key: dict[str, Any], most_examples: int, writes: bool
    ) -> dict[str, float]:
        """The nodes' scores of one version, averaged by held-out examples."""
        conditions = [metrics.c[name] == value for name, value in key.items()]
        rows = await connection.execute(select(metrics).where(*conditions, metrics.c.source == "node"))
        by_node: dict[str, dict[str, float]] = {}
        for row in rows.mappings():
            by_node.setdefault(row["node_id"], {})[row["name"]] = row["value"]
        measured = [{"metrics": scores, "num_examples": 0} for scores in by_node.values()]
        return node_means(measured, most_examples, perplexity=writes)
