"""A simulated round among a task's rounds: the rows that a real one would have left, in one transaction."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.aggregation.outcome import Diagnosis
from federation.coordinator.ports import Shared
from federation.coordinator.publishing import Outcome, batches, close_round
from federation.coordinator.records import Round, Task, find_round, get_task, get_version
from federation.coordinator.scores import movement, server_scores
from federation.coordinator.transitions import move_round, next_round
from federation.fault_points import reach
from federation.rounds import RoundState, TaskState
from federation.simulation.refusals import cohort_of
from federation.simulation.report import Report, RoundFiles
from federation.store.events import record
from federation.store.tables import assignments, updates
from federation.weights import load


async def begin_round(connection: AsyncConnection, task: Task, current: Round, now: float) -> bool:
    """The task's clients train now; False when the round is not `open` any more."""
    cohort = cohort_of(task.spec, task.spec.data.partition.parts)
    wanted = cohort.size or 0
    return await move_round(
        connection,
        current,
        RoundState.OPEN,
        state=RoundState.COLLECTING,
        wanted=wanted,
        quorum=cohort.quorum if cohort.quorum is not None else -(-wanted // 2),
        collecting_at=now,
    )


def prepare(shared: Shared, task: Task, files: RoundFiles, base_sha256: str) -> tuple[Report, Outcome]:
    """The round's report, and what goes into the database; its model and state are blobs by then. Slow: in a thread."""
    report = files.read()
    rows = [_update_row(task, report, place) for place in range(len(report.updates))]
    if report.void:
        return report, Outcome(rows, [], "", 0, None, None, {}, "")
    base, weights = shared.spool.path(base_sha256), files.weights.read_bytes()
    scores = {} if report.evaluation is None else server_scores(report.evaluation)
    if report.backdoor is not None:
        scores["backdoor"] = report.backdoor
    scores |= movement(task.spec, load(files.weights), base, rows)
    sha256 = shared.spool.put(weights)
    state_sha256 = shared.spool.put(files.state.read_bytes()) if files.state.exists() else None
    diagnoses = [
        Diagnosis(each.client, each.norm, each.cosine or 0.0, each.weight, each.score, each.reason or "")
        for each in report.updates
    ]
    return report, Outcome(rows, diagnoses, sha256, len(weights), state_sha256, None, scores, "")


async def keep(
    connection: AsyncConnection, task_id: str, report: Report, outcome: Outcome, base_version: int, now: float
) -> bool:
    """Ends the round with what came of it, and begins the next one; whether the simulation goes on."""
    task, current = await get_task(connection, task_id), await find_round(connection, task_id, report.round)
    if current is None or current.state is not RoundState.COLLECTING or current.base_version != base_version:
        return False  # cancelled in the meantime
    began = now - report.seconds
    delivered = {each.client for each in report.updates}
    key = {"task_id": task_id, "round": report.round, "assigned_at": began}
    members = [key | {"node_id": c, "submitted_at": now if c in delivered else None} for c in report.participants]
    for some in batches(members):
        await connection.execute(insert(assignments), some)
    accepted = {"round": report.round, "base_version": base_version, "accepted_at": now}
    for some in batches([dict(row) | accepted for row in outcome.rows]):
        await connection.execute(insert(updates), some)
    downloaded = report.model_size * len(report.participants)
    if report.void:
        await _void(connection, task, current, report, downloaded, began, now)
    else:
        await move_round(connection, current, RoundState.COLLECTING, state=RoundState.AGGREGATING, collecting_at=began)
        await close_round(connection, task, current, outcome, now=now, bytes_down=lambda: downloaded)
    reach("simulated_round_written")
    after = await get_task(connection, task_id)
    upcoming = await find_round(connection, task_id, after.round)
    if after.state is not TaskState.RUNNING or upcoming is None:
        return False
    return await begin_round(connection, after, upcoming, now)


async def heard_of(connection: AsyncConnection, task: Task) -> list[tuple[str, int, int, float | None]]:
    """Each client's latest update: name, round, examples, loss; nothing where nobody is drawn by them."""
    if task.spec.cohort.selection == "uniform":
        return []
    mine = updates.c.task_id == task.task_id
    last = select(updates.c.node_id, func.max(updates.c.round).label("round")).where(mine).group_by(updates.c.node_id)
    latest = last.subquery()
    query = select(updates.c.node_id, updates.c.round, updates.c.num_examples, updates.c.metrics).join(
        latest, (latest.c.node_id == updates.c.node_id) & (latest.c.round == updates.c.round)
    )
    rows = await connection.execute(query.where(mine))
    return [(n, r, examples, said.get("eval_loss", said.get("train_loss"))) for n, r, examples, said in rows]


async def where_it_stands(connection: AsyncConnection, shared: Shared, task: Task, current: Round) -> dict[str, Any]:
    """What the round `current` starts from: the `Start` of a simulation, as JSON and paths of blobs."""
    base = await get_version(connection, task.task_id, current.base_version)
    return {
        "round": current.round - 1,
        "weights": str(shared.spool.path(base.sha256).absolute()),
        "state": str(shared.spool.path(base.state_sha256).absolute()) if base.state_sha256 else None,
        "history": await heard_of(connection, task),
    }


async def _void(
    connection: AsyncConnection, task: Task, current: Round, report: Report, bytes_down: int, began: float, now: float
) -> None:
    reason = f"{len(report.updates)} of the {current.quorum} updates of its quorum were within max_update_norm"
    values = {"collecting_at": began, "closed_at": now, "reason": reason, "bytes_down": bytes_down}
    uploaded = report.update_size * len(report.updates)
    await move_round(connection, current, RoundState.COLLECTING, state=RoundState.VOID, bytes_up=uploaded, **values)
    detail = {"round": current.round, "reason": reason}
    await record(connection, "round_void", at=now, task_id=task.task_id, detail=detail)
    await next_round(connection, task, current.round, current.base_version, now)


def _update_row(task: Task, report: Report, place: int) -> dict[str, Any]:
    """An update's row, but for when it came; it has no file, so no hash, and nobody signed it."""
    each = report.updates[place]
    identity = hashlib.sha256(f"{task.task_id}/{report.round}/{each.client}".encode()).digest()[:15]
    return {
        "update_id": "upd-" + base64.b32encode(identity).decode().lower(),
        "task_id": task.task_id,
        "node_id": each.client,
        "upload_id": each.client,
        "sha256": "",
        "size": report.update_size,
        "num_examples": each.num_examples,
        "num_steps": each.num_steps,
        "norm": each.norm,
        "metrics": each.metrics,
        "signature": "",
        "kept": False,
    }
