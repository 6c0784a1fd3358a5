"""Tasks: created, started, paused, resumed, cancelled, rolled back."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from typing import Any, Literal

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.aggregation.compatibility import problems as rule_problems
from federation.coordinator.housekeeping import Housekeeping
from federation.coordinator.ports import Shared
from federation.coordinator.records import Task, find_round, get_task, get_version
from federation.coordinator.transitions import next_round, open_round
from federation.errors import ErrorCode, Refused
from federation.fault_points import reach
from federation.rounds import RoundState, TaskState
from federation.simulation.options import Simulation, Wish
from federation.spec import Problem, TaskSpec, in_a_sentence, parse_spec
from federation.store.events import record
from federation.store.tables import model_versions, rounds, tasks
from federation.weights import to_bytes

Action = Literal["start", "pause", "resume", "cancel", "roll_back"]


class Tasks:
    """What an operator does with tasks. Every action may be repeated: the second time changes nothing."""

    def __init__(self, shared: Shared, housekeeping: Housekeeping) -> None:
        self._shared = shared
        self._housekeeping = housekeeping

    async def create(
        self,
        raw: Mapping[str, Any],
        *,
        request_id: str,
        start: bool,
        actor: str,
        simulate: tuple[Wish, Callable[[TaskSpec], Simulation]] | None = None,
    ) -> tuple[Task, bool]:
        """The task of this request and whether it is new; its model's version 0 is on disk when this returns.

        Args:
            simulate: what was wished, and what makes a plan of it (in a thread) or refuses; None: nodes train it.
        """
        spec = parse_spec(raw)
        asked = spec
        wish = None if simulate is None else simulate[0]
        existing = await self._find(request_id)
        if existing is not None:
            return _same_task(existing, asked, wish), False
        workload = self._shared.workload
        found = [] if simulate is not None else rule_problems(spec)  # a simulated round never closes over fewer
        refuse_problems([*found, *await asyncio.to_thread(workload.check, spec)])
        spec = await asyncio.to_thread(workload.settle, spec)
        document = spec.model_dump(mode="json")
        simulation = None if simulate is None else await asyncio.to_thread(simulate[1], spec)
        base = await asyncio.to_thread(workload.pin, spec)
        input_shape, num_classes = await asyncio.to_thread(workload.schema_for, spec, base)
        weights = await asyncio.to_thread(workload.initial_weights, spec, base)
        data = await asyncio.to_thread(to_bytes, weights)
        sha256 = await asyncio.to_thread(self._shared.spool.put, data)
        reach("first_model_stored")
        now = self._shared.clock()
        task_id = self._task_id(request_id)

        async def work(connection: AsyncConnection) -> tuple[Task, bool]:
            row = (await connection.execute(select(tasks).where(tasks.c.task_id == task_id))).mappings().first()
            if row is not None:  # the same request, a moment earlier
                return _same_task(row, asked, wish), False
            await connection.execute(
                insert(tasks).values(
                    task_id=task_id,
                    request_id=request_id,
                    spec=document,
                    input_shape=list(input_shape),
                    num_classes=num_classes,
                    state=TaskState.CREATED,
                    round=0,
                    version=0,
                    created_at=now,
                    simulation=None if simulation is None else simulation.as_dict(),
                    base=None if base is None else base.as_dict(),
                )
            )
            await connection.execute(
                insert(model_versions).values(
                    task_id=task_id, version=0, rule="initial", sha256=sha256, size=len(data), created_at=now
                )
            )
            detail: dict[str, Any] = {"name": spec.name}
            if simulation is not None:
                detail["simulation"] = simulation.as_dict()
            await record(connection, "task_created", at=now, task_id=task_id, actor=actor, detail=detail)
            if start:
                await self.begin(connection, await get_task(connection, task_id), actor)
            reach("task_written")
            return await get_task(connection, task_id), True

        created = await self._shared.database.write(work, after=lambda: self._announce(task_id))
        reach("task_created")
        return created

    async def control(self, task_id: str, action: Action, *, version: int | None, actor: str) -> tuple[Task, bool]:
        """Carries out one action; answers the task as it then stands, and whether that changed anything."""

        async def work(connection: AsyncConnection) -> tuple[Task, bool]:
            task = await get_task(connection, task_id)
            match action:
                case "start" if task.simulation is not None and task.state is TaskState.CREATED:
                    pass  # it begins when it is its turn
                case "start":
                    await self.begin(connection, task, actor)
                case "pause":
                    await self._move(connection, task, TaskState.RUNNING, TaskState.PAUSED, actor)
                case "resume":
                    await self._resume(connection, task, actor)
                case "cancel":
                    await self._cancel(connection, task, actor)
                case "roll_back":
                    await self._roll_back(connection, task, version, actor)
            after = await get_task(connection, task_id)
            return after, after != task

        after, changed = await self._shared.database.write(work, after=lambda: self._announce(task_id))
        if action == "cancel":
            await self._housekeeping.prune(task_id)
        return after, changed

    async def begin(self, connection: AsyncConnection, task: Task, actor: str) -> None:
        """Opens the first round, within a transaction."""
        if task.state is TaskState.RUNNING:
            return
        await self._move(connection, task, TaskState.CREATED, TaskState.RUNNING, actor)
        await open_round(connection, task.task_id, 1, task.version, self._shared.clock())

    async def _move(
        self, connection: AsyncConnection, task: Task, source: TaskState, target: TaskState, actor: str
    ) -> None:
        if task.state is target:
            return
        if task.state is not source:
            raise Refused(
                ErrorCode.WRONG_STATE,
                f"task {task.task_id} is {task.state}; only a task that is {source} can become {target}.",
                "get_task shows the state; start a created task, pause a running one, resume a paused one",
            )
        await self._set_state(connection, task, target, actor)

    async def _resume(self, connection: AsyncConnection, task: Task, actor: str) -> None:
        if task.state is TaskState.RUNNING:
            return
        await self._move(connection, task, TaskState.PAUSED, TaskState.RUNNING, actor)
        last = await find_round(connection, task.task_id, task.round)
        if last is not None and last.state in (RoundState.CLOSED, RoundState.VOID):
            await next_round(connection, task, last.round, task.version, self._shared.clock())

    async def _cancel(self, connection: AsyncConnection, task: Task, actor: str) -> None:
        if task.state is TaskState.CANCELLED:
            return
        if task.state is TaskState.FINISHED:
            raise Refused(ErrorCode.WRONG_STATE, f"task {task.task_id} is finished.", "there is nothing left to cancel")
        await self._set_state(connection, task, TaskState.CANCELLED, actor, finished_at=self._shared.clock())
        await connection.execute(
            update(rounds)
            .where(rounds.c.task_id == task.task_id, rounds.c.state.not_in([RoundState.CLOSED, RoundState.VOID]))
            .values(state=RoundState.VOID, closed_at=self._shared.clock(), reason="the task was cancelled")
        )

    async def _roll_back(self, connection: AsyncConnection, task: Task, version: int | None, actor: str) -> None:
        if version is None:
            raise Refused(
                ErrorCode.INVALID_ARGUMENT, "roll_back needs the version to return to.", "pass version, e.g. version=3"
            )
        await get_version(connection, task.task_id, version)
        if version == task.version:
            return
        if not task.rolls_back:
            raise Refused(
                ErrorCode.WRONG_STATE,
                f"task {task.task_id} is a simulation of {task.spec.aggregation.rule}: its clients' control variates "
                f"belong to the last round, not to version {version}.",
                "simulate a new task; every version that there was can still be read, scored and exported",
            )
        current = await find_round(connection, task.task_id, task.round)
        if current is not None and current.state in (RoundState.COLLECTING, RoundState.AGGREGATING):
            raise Refused(
                ErrorCode.WRONG_STATE,
                f"round {current.round} is {current.state} on version {current.base_version}.",
                "pause the task, wait until the round closes, roll back, resume",
            )
        await connection.execute(update(tasks).where(tasks.c.task_id == task.task_id).values(version=version))
        await connection.execute(
            update(rounds)
            .where(rounds.c.task_id == task.task_id, rounds.c.state == RoundState.OPEN)
            .values(base_version=version)
        )
        detail = {"from": task.version, "to": version}
        await record(
            connection, "rolled_back", at=self._shared.clock(), task_id=task.task_id, actor=actor, detail=detail
        )

    async def _set_state(
        self, connection: AsyncConnection, task: Task, state: TaskState, actor: str, **values: Any
    ) -> None:
        await connection.execute(
            update(tasks).where(tasks.c.task_id == task.task_id).values({"reason": "", "state": state} | values)
        )
        await record(
            connection,
            f"task_{state}",
            at=self._shared.clock(),
            task_id=task.task_id,
            actor=actor,
            detail={"was": task.state},
        )

    async def _find(self, request_id: str) -> dict[str, Any] | None:
        async with self._shared.database.read() as connection:
            row = (await connection.execute(select(tasks).where(tasks.c.request_id == request_id))).mappings().first()
        return None if row is None else dict(row)

    def _task_id(self, request_id: str) -> str:
        digest = self._shared.key.derive("task-id", request_id)[:10]
        return "task-" + base64.b32encode(digest).decode().lower()

    def _announce(self, task_id: str) -> None:
        self._shared.notices.work_changed(task_id)
        self._shared.notices.tasks_changed()


def _same_task(row: Mapping[Any, Any], spec: TaskSpec, wish: Wish | None) -> Task:
    task = Task.of(row)
    same = spec in (task.spec, task.spec.unpinned)
    if not same or (task.simulation and task.simulation.wish) != wish:
        how = "another spec" if not same else "the same spec, but not simulated in this way"
        raise Refused(
            ErrorCode.INVALID_ARGUMENT,
            f"request_id {row['request_id']!r} already made {task.task_id} from {how}.",
            "use a new request_id for a new task",
        )
    return task


def refuse_problems(problems: list[Problem]) -> None:
    """Refuses a spec that has problems, naming each field and its mend."""
    if problems:
        raise Refused(
            ErrorCode.INVALID_SPEC,
            in_a_sentence(problems),
            "; ".join(dict.fromkeys(problem.mend for problem in problems)),
        )
