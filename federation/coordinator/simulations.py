"""Tasks without nodes: simulated on this machine, a few at a time, in the order in which they were made.

What is to be done stands in the database alone: a simulated task that is `created` or `running` gets a child process as
soon as there is room for one, after a restart as well. The child trains; what a round came to is kept here, through
the tables of real rounds.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.coordinator.board import Board, Progress
from federation.coordinator.housekeeping import Housekeeping
from federation.coordinator.notices import Topic
from federation.coordinator.ports import Shared, Simulator
from federation.coordinator.records import ModelVersion, Task, find_round, get_task, get_version
from federation.coordinator.simulated_rounds import begin_round, keep, prepare, where_it_stands
from federation.coordinator.tasks import Tasks
from federation.errors import ErrorCode, Refused
from federation.fault_points import reach
from federation.rounds import RoundState, TaskState
from federation.simulation.child import Child, started
from federation.simulation.options import Simulation, Wish
from federation.simulation.refusals import check_simulated_model
from federation.simulation.report import RoundFiles
from federation.spec import TaskSpec, parse_spec
from federation.store.events import record
from federation.store.tables import events, rounds, tasks

log = logging.getLogger(__name__)

FOLDER = "simulations"
_RETRY_S = (0.5, 1.0, 2.0, 5.0)  # pauses between attempts to keep a round
_UNFINISHED = (TaskState.CREATED, TaskState.RUNNING)


class Simulations:
    """Starts simulations, follows them, and keeps what they come to."""

    def __init__(
        self, shared: Shared, tasks: Tasks, housekeeping: Housekeeping, simulator: Simulator | None, board: Board
    ) -> None:
        self._shared = shared
        self._tasks = tasks
        self._housekeeping = housekeeping
        self._simulator = simulator
        self._board = board
        self._folder = shared.data_dir / FOLDER
        self._running: dict[str, asyncio.Task[None]] = {}
        self._children: dict[str, Child] = {}
        self._changed = asyncio.Event()

    async def create(
        self, raw: Mapping[str, Any], wish: Wish, *, target_accuracy: float | None, request_id: str, actor: str
    ) -> tuple[Task, bool]:
        """The simulated task of this request, and whether it is new. It begins as soon as it is its turn."""
        simulator = self._simulator
        if simulator is None or not self._shared.limits.max_simulations:
            raise Refused(
                ErrorCode.FORBIDDEN,
                "this server runs no simulations.",
                "its operator can raise max_simulations; `potluck simulate` needs no server",
            )

        def planned(spec: TaskSpec) -> Simulation:
            return Simulation(wish, simulator.plan(spec, wish))

        parsed = parse_spec(raw)
        check_simulated_model(parsed.model.id)
        spec = _with_target(parsed, target_accuracy).model_dump(mode="json")
        created = await self._tasks.create(
            spec, request_id=request_id, start=False, actor=actor, simulate=(wish, planned)
        )
        self._changed.set()
        return created

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Simulates for as long as the context lasts; what is unfinished then goes on at the next start."""
        await self._take_over()
        self._shared.notices.listen(self._noticed)
        supervisor = asyncio.create_task(self._supervise())
        try:
            yield
        finally:
            supervisor.cancel()
            await asyncio.wait([supervisor])
            for each in self._running.values():
                each.cancel()
            if self._running:
                await asyncio.wait(list(self._running.values()))
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def pid(self, task_id: str) -> int | None:
        """The process that simulates the task now."""
        child = self._children.get(task_id)
        return None if child is None else child.pid

    async def review(self) -> None:
        """Starts what has its turn, and ends what has been cancelled."""
        async with self._shared.database.read() as connection:
            mine = tasks.c.simulation.is_not(None) & tasks.c.state.not_in([TaskState.FINISHED, TaskState.CANCELLED])
            made = select(func.min(events.c.event_id)).where(events.c.task_id == tasks.c.task_id).scalar_subquery()
            rows = await connection.execute(select(tasks.c.task_id, tasks.c.state).where(mine).order_by(made))
            unfinished = {str(task_id): TaskState(state) for task_id, state in rows}
        self._board.follow(set(unfinished))
        for task_id, running in self._running.items():
            if task_id not in unfinished and not running.cancelling():
                running.cancel()
        wanted = [t for t, state in unfinished.items() if state in _UNFINISHED and t not in self._running]
        room = max(0, self._shared.limits.max_simulations - len(self._running))
        for task_id in wanted[:room]:
            self._running[task_id] = asyncio.create_task(self._simulate(task_id))
        self._board.queue(wanted[room:], busy=len(self._running))

    async def _take_over(self) -> None:
        """What an earlier process was training is trained again: a round that nobody works on is `open`."""
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

        async def work(connection: AsyncConnection) -> None:
            simulated = select(tasks.c.task_id).where(tasks.c.simulation.is_not(None))
            await connection.execute(
                update(rounds)
                .where(rounds.c.task_id.in_(simulated), rounds.c.state == RoundState.COLLECTING)
                .values(state=RoundState.OPEN, collecting_at=None)
            )

        await self._shared.database.write(work)

    def _noticed(self, topic: Topic, subject: str) -> None:
        if topic == "task" and self._board.follows(subject):
            self._changed.set()

    async def _supervise(self) -> None:
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self.review()
            except Exception:
                log.exception("simulations could not be reviewed; trying again in a second")
                await asyncio.sleep(1)
                self._changed.set()

    async def _simulate(self, task_id: str) -> None:
        try:
            problem = await self._until_it_stops(task_id)
            if problem:
                await self._pause(task_id, problem)
        except Exception as error:
            log.exception("simulation %s failed", task_id)
            await self._pause(task_id, str(error) or type(error).__name__)
        finally:
            del self._running[task_id]
            self._board.forget(task_id)
            self._changed.set()

    async def _until_it_stops(self, task_id: str) -> str:
        """Simulates a task until it is over, paused or cancelled; else answers what went wrong."""
        begun = await self._begin(task_id)
        if begun is None or self._simulator is None:
            return ""
        task, start = begun
        folder = self._folder / task_id
        await asyncio.to_thread(_empty, folder)
        assert task.simulation is not None  # noqa: S101 - else it would not be here
        request = {
            "spec": task.spec.model_dump(mode="json"),
            "simulation": task.simulation.as_dict(),
            "start": start,
            "folder": str(folder.absolute()),
        }
        try:
            command, root = self._simulator.command()
            async with started(command, request, folder, root) as child:
                self._children[task_id] = child
                reach("simulation_started")
                async for message in child.messages():
                    if "trained" in message:
                        at = message["trained"]
                        self._board.progress(task_id, Progress(at["round"], at["done"], at["clients"]))
                        self._shared.notices.progressed(task_id)
                    elif "refused" in message:
                        said = message["refused"]
                        return f"{said['problem'].removesuffix('.')}. To mend it: {said['mend']}"
                    elif not await self._kept(task_id, RoundFiles(folder, message["round"])):
                        return ""
                    else:
                        self._board.next_round(task_id)
                        await child.stored()
                return await child.last_words()
        finally:
            self._children.pop(task_id, None)
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _begin(self, task_id: str) -> tuple[Task, dict[str, Any]] | None:
        """The task, and where its next round starts from; None when there is nothing to do any more."""

        async def work(connection: AsyncConnection) -> tuple[Task, dict[str, Any]] | None:
            now, task = self._shared.clock(), await get_task(connection, task_id)
            if task.state is TaskState.CREATED:
                await self._tasks.begin(connection, task, "server")
                task = await get_task(connection, task_id)
            current = await find_round(connection, task_id, task.round)
            if task.state is not TaskState.RUNNING or current is None:
                return None
            await begin_round(connection, task, current, now)
            return task, await where_it_stands(connection, self._shared, task, current)

        return await self._shared.database.write(work, after=lambda: self._announce(task_id))

    async def _kept(self, task_id: str, files: RoundFiles) -> bool:
        """Stores a round, and answers whether the simulation goes on. What time may mend is tried again."""
        async with self._shared.database.read() as connection:
            task = await get_task(connection, task_id)
            current = await find_round(connection, task_id, files.number)
            if current is None or current.state is not RoundState.COLLECTING:
                return False
            base = await get_version(connection, task_id, current.base_version)
        for pause in (*_RETRY_S, None):
            try:
                goes_on = await self._store(task, files, base)
                break
            except (Refused, OSError) as error:
                passing = not isinstance(error, Refused) or error.code in (ErrorCode.BUSY, ErrorCode.STORAGE_FULL)
                if pause is None or not passing:
                    raise
                log.warning("round %d of %s: %s; trying again in %g s", files.number, task_id, error, pause)
                await asyncio.sleep(pause)
        reach("simulated_round_kept")
        self._announce(task_id)
        await asyncio.to_thread(files.remove)
        try:
            await self._housekeeping.prune(task_id)
        except Exception:
            log.exception("files of %s could not be freed; the next round tries again", task_id)
        return goes_on

    async def _store(self, task: Task, files: RoundFiles, base: ModelVersion) -> bool:
        report, outcome = await asyncio.to_thread(prepare, self._shared, task, files, base.sha256)
        return await self._shared.database.write(
            lambda connection: keep(connection, task.task_id, report, outcome, base.version, self._shared.clock())
        )

    async def _pause(self, task_id: str, problem: str) -> None:
        """An operator has to look; the rounds that are over stay, and `resume` goes on after them."""

        async def work(connection: AsyncConnection) -> None:
            task = await get_task(connection, task_id)
            if task.state.over:
                return
            reason = f"round {task.round} could not be simulated: {problem}"
            await connection.execute(
                update(rounds)
                .where(rounds.c.task_id == task_id, rounds.c.state == RoundState.COLLECTING)
                .values(state=RoundState.OPEN, collecting_at=None)
            )
            paused = {"state": TaskState.PAUSED, "reason": reason}
            await connection.execute(update(tasks).where(tasks.c.task_id == task_id).values(paused))
            detail = {"reason": reason}
            at = self._shared.clock()
            await record(connection, "task_paused", at=at, task_id=task_id, actor="server", detail=detail)

        log.warning("simulation %s: %s", task_id, problem)
        await self._shared.database.write(work, after=lambda: self._announce(task_id))

    def _announce(self, task_id: str) -> None:
        self._shared.notices.work_changed(task_id)
        self._shared.notices.tasks_changed()


def _with_target(spec: TaskSpec, target: float | None) -> TaskSpec:
    stated = spec.stopping.target_accuracy
    if target is None or target == stated:
        return spec
    if stated is not None:
        raise Refused(
            ErrorCode.INVALID_ARGUMENT,
            f"target_accuracy is {target:g}, and the spec's stopping.target_accuracy {stated:g}.",
            "give one of the two",
        )
    return spec.model_copy(update={"stopping": spec.stopping.model_copy(update={"target_accuracy": target})})


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
