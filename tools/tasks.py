"""Tasks: made, watched and steered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from federation.coordinator.records import Task
from federation.simulation.attacks import AttackName
from federation.simulation.engine import EngineName
from federation.simulation.options import Wish
from tools.arguments import RequestId, TaskId, Version
from tools.context import Ctx, current_caller, potluck
from tools.validation import Spec


class TaskList(BaseModel):
    """Tasks in a few words."""

    tasks: list[dict[str, Any]] = Field(
        description="task_id, name, state, simulated, model, data, round, num_rounds, version, accuracy, loss"
    )


class TaskView(BaseModel):
    """A task in full."""

    task_id: str
    name: str
    state: str = Field(description="created, running, paused, finished, cancelled")
    reason: str
    round: int
    num_rounds: int
    version: int
    model: dict[str, Any] = Field(description="version, sha256, size, url")
    best: dict[str, Any]
    totals: dict[str, Any]
    rounds: list[dict[str, Any]] = Field(description="the latest 50")
    nodes: list[dict[str, Any]] | None
    spec: dict[str, Any]
    initial_scores: dict[str, float]
    simulation: dict[str, Any] | None


class TaskState(BaseModel):
    """Where a task stands after a change."""

    task_id: str
    state: str
    round: int
    version: int
    new: bool = Field(description="false when the change had been made before")


class RoundClosed(BaseModel):
    """A round after its aggregation."""

    task_id: str
    round: int
    state: str
    version: int | None


async def list_tasks(ctx: Ctx) -> TaskList:
    """List the latest tasks with state, round and scores, newest first."""
    return TaskList(tasks=await potluck(ctx).federation.views.tasks())


async def get_task(ctx: Ctx, task_id: TaskId) -> TaskView:
    """Get a task: spec, state, rounds with scores and bytes, the model, and who takes part."""
    view = await potluck(ctx).federation.views.task(task_id, private=current_caller().sees_nodes)
    return TaskView.model_validate({"nodes": None} | view)


async def create_task(
    ctx: Ctx,
    spec: Spec,
    request_id: RequestId,
    start: Annotated[bool, Field(description="Start at once.")] = True,
) -> TaskState:
    """Create a task from a spec (check it first with validate_task) and, unless told otherwise, start its first
    round. Safe to repeat with the same request_id."""
    task, new = await potluck(ctx).federation.tasks.create(
        spec, request_id=request_id, start=start, actor=current_caller().token_id
    )
    return _state(task, new)


async def run_simulation(
    ctx: Ctx,
    spec: Spec,
    request_id: RequestId,
    engine: Annotated[
        EngineName | None, Field(description="vectorized: all clients at once. Default: by the model.")
    ] = None,
    attack: Annotated[AttackName | None, Field(description="What the attackers do.")] = None,
    attackers: Annotated[float, Field(ge=0, le=1, description="Share of the clients.")] = 0,
    workers: Annotated[int | None, Field(ge=1, le=64, description="Of the engine processes.")] = None,
    target_accuracy: Annotated[float | None, Field(gt=0, le=1, description="Finish when it is reached.")] = None,
) -> TaskState:
    """Simulate a whole federation on the server, without nodes: a client for each share of the data. Answers at once;
    get_task shows how far it is, and control_task steers it. Safe to repeat with the same request_id."""
    task, new = await potluck(ctx).federation.simulations.create(
        spec,
        Wish(engine, attack, float(attackers), workers),
        target_accuracy=target_accuracy,
        request_id=request_id,
        actor=current_caller().token_id,
    )
    return _state(task, new)


async def control_task(
    ctx: Ctx,
    task_id: TaskId,
    action: Annotated[
        Literal["start", "pause", "resume", "cancel", "roll_back"],
        Field(description="pause lets the round in progress end; roll_back makes an older version the current one."),
    ],
    version: Version = None,
) -> TaskState:
    """Start, pause, resume, cancel or roll back a task. Repeating an action changes nothing."""
    actor = current_caller().token_id
    task, changed = await potluck(ctx).federation.tasks.control(task_id, action, version=version, actor=actor)
    return _state(task, changed)


async def aggregate_round(
    ctx: Ctx, task_id: TaskId, round: Annotated[int, Field(ge=1, le=1_000_000, description="The round to close.")]
) -> RoundClosed:
    """Close a round now: aggregate the updates that have arrived by the task's rule (FedAvg), publish the next model
    version, open the next round. Repeating it for a closed round changes nothing."""
    closed = await potluck(ctx).federation.closer.aggregate_now(task_id, round, current_caller().token_id)
    return RoundClosed(task_id=task_id, round=closed.round, state=closed.state.value, version=closed.version)


def _state(task: Task, new: bool) -> TaskState:
    return TaskState(task_id=task.task_id, state=task.state.value, round=task.round, version=task.version, new=new)
