"""Rows as the coordinator thinks of them, and the reads that several parts share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.base_pin import BasePin
from federation.errors import ErrorCode, Refused
from federation.rounds import RoundState, TaskState
from federation.simulation.options import Simulation
from federation.spec import TaskSpec
from federation.store.tables import model_versions, rounds, tasks, updates, uploads


@dataclass(frozen=True)
class Task:
    """A task and where it stands; `simulation` says how clients without nodes train it, None that nodes do; `base` is
    the pinned base model of a task that trains adapters."""

    task_id: str
    spec: TaskSpec
    input_shape: tuple[int, ...]
    num_classes: int
    state: TaskState
    round: int
    version: int
    reason: str
    created_at: float
    finished_at: float | None
    simulation: Simulation | None = None
    base: BasePin | None = None

    @property
    def rolls_back(self) -> bool:
        """Whether it can go on from an older version; simulated clients' control variates belong to the last round."""
        return self.simulation is None or not self.spec.aggregation.control_variates

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> Self:
        """The task in a row of `tasks`."""
        return cls(
            task_id=row["task_id"],
            spec=TaskSpec.model_validate(row["spec"]),
            input_shape=tuple(row["input_shape"]),
            num_classes=row["num_classes"],
            state=TaskState(row["state"]),
            round=row["round"],
            version=row["version"],
            reason=row["reason"],
            created_at=row["created_at"],
            finished_at=row["finished_at"],
            simulation=None if row["simulation"] is None else Simulation.of(row["simulation"]),
            base=None if row["base"] is None else BasePin(**row["base"]),
        )


@dataclass(frozen=True)
class Round:
    """A round and where it stands; wanted, quorum, deadline and clients are set once it has its cohort."""

    task_id: str
    round: int
    state: RoundState
    base_version: int
    wanted: int | None
    quorum: int | None
    opened_at: float
    collecting_at: float | None
    deadline_at: float | None
    closed_at: float | None
    version: int | None
    bytes_up: int
    bytes_down: int
    reason: str
    clients: int | None

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> Self:
        """The round in a row of `rounds`."""
        return cls(**{**row, "state": RoundState(row["state"])})


@dataclass(frozen=True)
class ModelVersion:
    """One version of a task's global model."""

    task_id: str
    version: int
    parent: int | None
    round: int | None
    rule: str
    sha256: str
    size: int
    created_at: float
    state_sha256: str | None
    state_since: int | None


async def get_task(connection: AsyncConnection, task_id: str) -> Task:
    """The task; refused when there is none."""
    row = (await connection.execute(select(tasks).where(tasks.c.task_id == task_id))).mappings().first()
    if row is None:
        raise no_task(task_id)
    return Task.of(row)


async def find_round(connection: AsyncConnection, task_id: str, number: int) -> Round | None:
    """The round, if the task has one of that number."""
    row = await _one(connection, rounds, task_id=task_id, round=number)
    return None if row is None else Round.of(row)


async def get_round(connection: AsyncConnection, task_id: str, number: int) -> Round:
    """The round; refused when there is none."""
    found = await find_round(connection, task_id, number)
    if found is None:
        raise no_round(task_id, number)
    return found


async def get_version(connection: AsyncConnection, task_id: str, version: int) -> ModelVersion:
    """A version of the global model; refused when there is none."""
    row = await _one(connection, model_versions, task_id=task_id, version=version)
    if row is None:
        raise Refused(
            ErrorCode.NOT_FOUND,
            f"task {task_id!r} has no model version {version}.",
            "get_task names the current version; versions count from 0",
        )
    return ModelVersion(**row)


async def is_referenced(connection: AsyncConnection, sha256: str) -> bool:
    """Whether an update, a received upload or a model version still stands on this blob."""
    queries = (
        select(updates.c.update_id).where(updates.c.sha256 == sha256, updates.c.kept),
        select(uploads.c.upload_id).where(uploads.c.sha256 == sha256, uploads.c.received),
        select(model_versions.c.version).where(model_versions.c.sha256 == sha256),
        select(model_versions.c.version).where(model_versions.c.state_sha256 == sha256),
    )
    for query in queries:
        if (await connection.execute(query.limit(1))).first() is not None:
            return True
    return False


def no_task(task_id: str) -> Refused:
    """The refusal of a task that does not exist."""
    mend = "list_tasks and potluck://tasks name the tasks"
    return Refused(ErrorCode.NOT_FOUND, f"there is no task {task_id!r}.", mend)


def no_round(task_id: str, number: int) -> Refused:
    """The refusal of a round that does not exist."""
    mend = "get_task names the rounds; a node takes the round from get_assignment"
    return Refused(ErrorCode.NOT_FOUND, f"task {task_id!r} has no round {number}.", mend)


async def _one(connection: AsyncConnection, table: Table, **key: Any) -> Mapping[Any, Any] | None:
    conditions = [table.c[name] == value for name, value in key.items()]
    return (await connection.execute(select(table).where(*conditions))).mappings().first()
