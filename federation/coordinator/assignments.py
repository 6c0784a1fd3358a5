"""Work for nodes: selects cohorts and answers long polls."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.coordinator.candidates import facts_about
from federation.coordinator.control import clients_of, control_for
from federation.coordinator.membership import Membership
from federation.coordinator.ports import Shared
from federation.coordinator.records import ModelVersion, Round, Task, find_round, get_task, get_version
from federation.coordinator.standing import HAS_DATA, Standing, now_standing
from federation.errors import ErrorCode, Refused
from federation.fault_points import reach
from federation.rounds import Cohort, RoundState, TaskState, nodes_needed, select_cohort
from federation.spec import derive_seed
from federation.store.events import record
from federation.store.tables import assignments, members, metrics, rounds


@dataclass(frozen=True)
class Assignment:
    """What a node does next. The fields after `reason` come with `train` and `evaluate`."""

    action: Literal["train", "evaluate", "wait", "finished"]
    task_id: str
    task_state: TaskState
    partition_index: int | None = None
    retry_after_s: float | None = None
    reason: str | None = None
    round: int | None = None
    model: dict[str, Any] | None = None
    spec: dict[str, Any] | None = None
    input_shape: tuple[int, ...] | None = None
    num_classes: int | None = None
    base: dict[str, Any] | None = None
    codec: str | None = None
    lease_s: float | None = None
    deadline_in_s: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Without the fields that say nothing."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Assignments:
    """Answers `get_assignment`."""

    def __init__(self, shared: Shared, membership: Membership) -> None:
        self._shared = shared
        self._membership = membership
        self._selecting: dict[str, asyncio.Lock] = {}

    async def get(
        self, node: dict[str, Any], task_id: str, *, wait_s: float, partition_index: int | None, own_data: bool
    ) -> Assignment:
        """The node's next work in this task, waiting for it up to `wait_s` seconds."""
        node_id = str(node["node_id"])
        standing = await self._standing(task_id, node_id)
        _check_for_nodes(standing.task)
        if not standing.task.state.over:
            await self._membership.join(standing, node, wanted=partition_index, own_data=own_data)
        loop = asyncio.get_running_loop()
        until = loop.time() + min(wait_s, self._shared.limits.max_wait_s)
        with self._shared.liveness.polling(task_id, node_id):
            while True:
                change = self._shared.notices.next_work(task_id)
                assignment = await self.now(task_id, node_id)
                left = 0.0 if self._shared.notices.stopping else until - loop.time()
                if assignment.action != "wait" or left <= 0:
                    return assignment
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await change.wait()

    async def now(self, task_id: str, node_id: str) -> Assignment:
        """The node's work as things stand, selecting the round's cohort if the time has come."""
        standing = await self._standing(task_id, node_id)
        task, current = standing.task, standing.round
        if task.state is TaskState.RUNNING and current is not None and current.state is RoundState.OPEN:
            missing = await self._select(task, current)
            if missing:
                return Assignment(
                    "wait", task_id, task.state, standing.partition_index, retry_after_s=1.0, reason=missing
                )
            standing = await self._standing(task_id, node_id)
        return replace(await self._work(standing, node_id), partition_index=standing.partition_index)

    async def _standing(self, task_id: str, node_id: str) -> Standing:
        async with self._shared.database.read() as connection:
            return await now_standing(connection, task_id, node_id)

    async def _work(self, standing: Standing, node_id: str) -> Assignment:
        task, current = standing.task, standing.round
        if task.state.over:
            return await self._after_the_end(task, node_id)
        wanted = standing.in_cohort and standing.delivered is None
        if wanted and current is not None and current.state is RoundState.COLLECTING:
            assigned = self._train(task, current, standing.model)
            return await self._with_control(assigned, task, standing.model, node_id)
        return Assignment("wait", task.task_id, task.state, retry_after_s=1.0, reason=_why_wait(task, current))

    async def _select(self, task: Task, current: Round) -> str:
        """Draws the cohort once enough members are at hand; otherwise answers what is missing.

        One coroutine at a time, and one server.
        """
        async with self._selecting.setdefault(task.task_id, asyncio.Lock()):
            async with self._shared.database.read() as connection:
                fresh = await find_round(connection, task.task_id, current.round)
                if fresh is None or fresh.state is not RoundState.OPEN:
                    return ""
                at_hand = await self._at_hand(connection, task)
                facts = None
                if task.spec.cohort.selection != "uniform" and len(at_hand) >= nodes_needed(task.spec.cohort):
                    facts = await facts_about(connection, self._shared.liveness, task, fresh.round, at_hand)
            seed = derive_seed(task.spec.seed, "cohort", fresh.round)
            cohort = select_cohort(task.spec.cohort, at_hand, seed, facts=facts, deadline_s=task.spec.deadline_s)
            if cohort is None:
                return _waits_for_nodes(task, len(at_hand))
            for member in cohort.members:
                self._shared.liveness.seen(task.task_id, member)  # the lease begins
            await self._shared.database.write(
                lambda connection: self._collect(connection, task, fresh, cohort),
                after=lambda: self._shared.notices.work_changed(task.task_id),
            )
            reach("cohort_drawn")
            return ""

    async def _at_hand(self, connection: AsyncConnection, task: Task) -> list[str]:
        """The members that could take work now."""
        query = select(members.c.node_id).where(members.c.task_id == task.task_id, HAS_DATA)
        joined = [str(node_id) for node_id in await connection.scalars(query)]
        return [node_id for node_id in joined if self._shared.liveness.at_hand(task.task_id, node_id)]

    async def _collect(self, connection: AsyncConnection, task: Task, fresh: Round, cohort: Cohort) -> None:
        now = self._shared.clock()
        if (await get_task(connection, task.task_id)).state is not TaskState.RUNNING:
            return  # paused or cancelled a moment ago
        opened = await connection.execute(
            update(rounds)
            .where(rounds.c.task_id == task.task_id, rounds.c.round == fresh.round, rounds.c.state == RoundState.OPEN)
            .values(
                state=RoundState.COLLECTING,
                wanted=cohort.wanted,
                quorum=cohort.quorum,
                collecting_at=now,
                deadline_at=now + task.spec.deadline_s,
                clients=await clients_of(connection, task.task_id),
            )
        )
        if not opened.rowcount:
            return
        key = {"task_id": task.task_id, "round": fresh.round, "assigned_at": now}
        await connection.execute(insert(assignments), [key | {"node_id": member} for member in cohort.members])
        await record(
            connection,
            "cohort_selected",
            at=now,
            task_id=task.task_id,
            detail={"round": fresh.round, "cohort": list(cohort.members), "wanted": cohort.wanted},
        )
        reach("cohort_written")

    async def _after_the_end(self, task: Task, node_id: str) -> Assignment:
        """`evaluate` once for the final model, then `finished`."""
        finished = Assignment("finished", task.task_id, task.state, reason=task.reason or None)
        if task.state is not TaskState.FINISHED or not task.spec.evaluation.nodes or not task.spec.data.holdout:
            return finished
        async with self._shared.database.read() as connection:
            version = await get_version(connection, task.task_id, task.version)
            took_part = await connection.scalar(
                select(assignments.c.node_id)
                .where(assignments.c.task_id == task.task_id, assignments.c.node_id == node_id)
                .limit(1)
            )
            mine = (members.c.task_id == task.task_id) & (members.c.node_id == node_id)
            has_data = await connection.scalar(select(members.c.node_id).where(mine, HAS_DATA))
            scored = await connection.scalar(
                select(metrics.c.metric_id)
                .where(
                    metrics.c.task_id == task.task_id,
                    metrics.c.version == task.version,
                    metrics.c.source == "node",
                    metrics.c.node_id == node_id,
                )
                .limit(1)
            )
        if took_part is None or has_data is None or scored is not None:
            return finished
        return replace(self._with_model(finished, task, version), action="evaluate", round=task.round)

    def _train(self, task: Task, current: Round, version: ModelVersion) -> Assignment:
        left = (current.deadline_at or 0) - self._shared.clock()
        base = Assignment("train", task.task_id, task.state, round=current.round, deadline_in_s=max(0.0, left))
        return replace(self._with_model(base, task, version), lease_s=task.spec.lease_s, codec=task.spec.codec)

    async def _with_control(self, assignment: Assignment, task: Task, base: ModelVersion, node_id: str) -> Assignment:
        """With SCAFFOLD's c beside the model, where the task's rule is that."""
        if not task.spec.aggregation.control_variates:
            return assignment
        async with self._shared.database.read() as connection:
            control = await control_for(connection, self._shared, base, node_id)
        return replace(assignment, model=(assignment.model or {}) | {"control": control})

    def _with_model(self, assignment: Assignment, task: Task, version: ModelVersion) -> Assignment:
        return replace(
            assignment,
            model={
                "version": version.version,
                "sha256": version.sha256,
                "size": version.size,
                "url": self._shared.lanes.blob_url(version.sha256, task.task_id),
                "uri": f"potluck://blobs/{version.sha256}/0",
            },
            spec=task.spec.model_dump(mode="json"),
            input_shape=task.input_shape,
            num_classes=task.num_classes,
            base=None if task.base is None else task.base.as_dict(),
        )


def _check_for_nodes(task: Task) -> None:
    if task.simulation is not None:
        raise Refused(
            ErrorCode.INCOMPATIBLE_NODE,
            f"task {task.task_id} is simulated on the server: no node takes part in it.",
            "join another task; create_task makes one that nodes train",
        )


def _why_wait(task: Task, current: Round | None) -> str:
    if task.state is TaskState.CREATED:
        return "the task has not been started (an operator does: control_task, action start)"
    if task.state is TaskState.PAUSED and (current is None or current.state is not RoundState.COLLECTING):
        return "the task is paused"
    if current is None or current.state is RoundState.OPEN:
        return f"round {task.round} of {task.spec.name!r} is about to begin"
    return f"round {current.round} is {current.state} and wants nothing more of this node"


def _waits_for_nodes(task: Task, at_hand: int) -> str:
    needed = nodes_needed(task.spec.cohort)
    return f"round {task.round} of {task.spec.name!r} waits for nodes: {at_hand} of {needed} are here"
