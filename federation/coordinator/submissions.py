"""Commits updates: every check, then one transaction, then the receipt."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.aggregation.lora.acceptance import check_adapter_update
from federation.aggregation.scaffold import check_change
from federation.coordinator.admission import check_open_assignment
from federation.coordinator.control import LOST
from federation.coordinator.ports import Shared
from federation.coordinator.records import ModelVersion, Task
from federation.coordinator.uploads import Upload, Uploads, decode_base64
from federation.errors import ErrorCode, Refused
from federation.fault_points import reach
from federation.identity import PublicKey, update_message
from federation.spec import TaskSpec
from federation.store.events import record
from federation.store.tables import assignments, metrics, updates
from federation.training import total_steps
from federation.weights import check_update, read_layout

log = logging.getLogger(__name__)

MAX_STEPS = 10**9
MAX_METRIC = 1e30


@dataclass(frozen=True)
class Submission:
    """What `submit_update` is told."""

    task_id: str
    round: int
    base_version: int
    num_examples: int
    num_steps: int
    metrics: dict[str, float]
    signature: str
    upload_id: str | None
    inline_b64: str | None


@dataclass(frozen=True)
class Receipt:
    """Proof that an update was accepted. It stays the same however often the node asks."""

    update_id: str
    task_id: str
    round: int
    base_version: int
    sha256: str
    size: int
    num_examples: int
    num_steps: int
    accepted_at: float


class Submissions:
    """Accepts updates."""

    def __init__(self, shared: Shared, uploads: Uploads) -> None:
        self._shared = shared
        self._uploads = uploads

    async def submit(self, node: dict[str, Any], submission: Submission) -> Receipt:
        """The receipt of an update that is durable and will count; refused otherwise, leaving nothing behind."""
        node_id = str(node["node_id"])
        inline = await self._inline_bytes(submission)
        async with self._shared.database.read() as connection:
            row = await _accepted(connection, node_id, submission)
            if row is not None:
                earlier = _earlier(row, submission, inline)
                self._shared.notices.task_changed(submission.task_id)
                return earlier
            standing = await check_open_assignment(
                connection, submission.task_id, submission.round, node_id, submission.base_version
            )
            task, model = standing.task, standing.model
        check_counts(task.spec, submission.num_examples, submission.num_steps)
        check_metrics(submission.metrics)
        key = (node_id, submission.task_id, submission.round, submission.base_version)
        if inline is not None:
            sha256 = hashlib.sha256(inline).hexdigest()
            _check_signature(node, submission, sha256)
            upload = await self._uploads.hold(*key, sha256, inline)
        else:
            upload = await self._uploads.take(*key, str(submission.upload_id))
            _check_signature(node, submission, upload.sha256)
        try:
            norm = await asyncio.to_thread(self._check_content, task, model, upload, submission.num_steps)
        except Refused:
            await self._uploads.discard(upload)
            raise
        receipt = await self._shared.database.write(
            lambda connection: self._commit(connection, node_id, submission, upload, norm),
            after=lambda: self._shared.notices.task_changed(task.task_id),
        )
        reach("update_committed")
        self._shared.liveness.seen(task.task_id, node_id)
        return receipt

    async def _inline_bytes(self, submission: Submission) -> bytes | None:
        if (submission.upload_id is None) == (submission.inline_b64 is None):
            raise Refused(
                ErrorCode.INVALID_ARGUMENT,
                "an update comes either as upload_id or as inline_b64.",
                "give exactly one of the two",
            )
        if submission.inline_b64 is None:
            return None
        limit = self._shared.limits.inline_max_bytes
        return await asyncio.to_thread(decode_base64, submission.inline_b64, limit, "inline_b64")

    def _check_content(self, task: Task, model: ModelVersion, upload: Upload, num_steps: int) -> float:
        spool, aggregation = self._shared.spool, task.spec.aggregation
        base, path = spool.path(model.sha256), spool.path(upload.sha256)
        if task.spec.model.pretrained:
            bound = aggregation.max_update_norm
            return check_adapter_update(path, base, task.spec.model.adapters, rule=aggregation.rule, max_norm=bound)
        layout = read_layout(base)
        second = aggregation.control_variates
        norm = check_update(path, layout, max_norm=aggregation.max_update_norm, aux=second)
        if second:
            control = spool.path(model.state_sha256) if model.state_sha256 else None
            check_change(
                path,
                layout,
                control,
                steps=num_steps,
                learning_rate=task.spec.training.learning_rate,
                trained=self._shared.workload.trained(task.spec),
            )
        return norm

    async def _commit(
        self, connection: AsyncConnection, node_id: str, submission: Submission, upload: Upload, norm: float
    ) -> Receipt:
        row = await _accepted(connection, node_id, submission)
        if row is not None:  # another call was a moment earlier
            return _same_or_refused(row, submission, row["sha256"] == upload.sha256)
        await check_open_assignment(connection, submission.task_id, submission.round, node_id, submission.base_version)
        await self._uploads.check_still_there(connection, upload)
        now = self._shared.clock()
        values = {
            "update_id": "upd-" + upload.upload_id.removeprefix("up-"),
            "task_id": submission.task_id,
            "round": submission.round,
            "node_id": node_id,
            "upload_id": upload.upload_id,
            "base_version": submission.base_version,
            "sha256": upload.sha256,
            "size": upload.size,
            "num_examples": submission.num_examples,
            "num_steps": submission.num_steps,
            "norm": norm,
            "metrics": submission.metrics,
            "signature": submission.signature,
            "accepted_at": now,
            "kept": True,
        }
        await connection.execute(insert(updates).values(values))
        await connection.execute(
            update(assignments)
            .where(
                assignments.c.task_id == submission.task_id,
                assignments.c.round == submission.round,
                assignments.c.node_id == node_id,
            )
            .values(submitted_at=now)
        )
        if submission.metrics:
            await connection.execute(insert(metrics), list(_metric_rows(node_id, submission, now)))
        if submission.metrics.get(LOST):
            log.warning("%s has lost its control variate of task %s", node_id, submission.task_id)
            lost = {"round": submission.round}
            await record(connection, LOST, at=now, task_id=submission.task_id, actor=node_id, detail=lost)
        detail = {"round": submission.round, "sha256": upload.sha256, "num_examples": submission.num_examples}
        await record(connection, "update_accepted", at=now, task_id=submission.task_id, actor=node_id, detail=detail)
        reach("update_written")
        return _receipt(values)


def _earlier(row: dict[str, Any], submission: Submission, inline: bytes | None) -> Receipt:
    """The receipt, when this very update was accepted before; refused when it was another."""
    if inline is None:
        same = row["upload_id"] == submission.upload_id
    else:
        same = row["sha256"] == hashlib.sha256(inline).hexdigest()
    return _same_or_refused(row, submission, same)


def _same_or_refused(row: dict[str, Any], submission: Submission, same: bool) -> Receipt:
    counts = (row["num_examples"], row["num_steps"], row["base_version"])
    if same and counts == (submission.num_examples, submission.num_steps, submission.base_version):
        return _receipt(row)
    raise Refused(
        ErrorCode.ALREADY_SUBMITTED,
        f"{row['node_id']} has already delivered another update ({row['sha256'][:12]}…) for round {row['round']}.",
        "one update a round: call get_assignment for the next one",
    )


def _check_signature(node: dict[str, Any], submission: Submission, sha256: str) -> None:
    message = update_message(
        node_id=str(node["node_id"]),
        task_id=submission.task_id,
        round=submission.round,
        base_version=submission.base_version,
        sha256=sha256,
        num_examples=submission.num_examples,
        num_steps=submission.num_steps,
    )
    if not PublicKey.parse(node["public_key"]).verifies(submission.signature, message):
        raise Refused(
            ErrorCode.BAD_SIGNATURE,
            "the signature does not cover this update as submitted.",
            "sign potluck-update-v1 over node, task, round, base version, sha256, examples and steps "
            "(docs/protocol.md) with the key of the handshake",
        )


async def _accepted(connection: AsyncConnection, node_id: str, submission: Submission) -> dict[str, Any] | None:
    query = select(updates).where(
        updates.c.task_id == submission.task_id,
        updates.c.round == submission.round,
        updates.c.node_id == node_id,
    )
    row = (await connection.execute(query)).mappings().first()
    return None if row is None else dict(row)


def _receipt(row: dict[str, Any]) -> Receipt:
    return Receipt(**{name: row[name] for name in Receipt.__dataclass_fields__})


def _metric_rows(node_id: str, submission: Submission, now: float) -> list[dict[str, Any]]:
    key = {"task_id": submission.task_id, "round": submission.round, "version": submission.base_version}
    return [
        key | {"source": "node", "node_id": node_id, "name": name, "value": value, "at": now}
        for name, value in sorted(submission.metrics.items())
    ]


def check_counts(spec: TaskSpec, num_examples: int, num_steps: int) -> None:
    """Refuses (bad_count) numbers that no training of the task comes to."""
    cap = spec.aggregation.max_examples
    if not 1 <= num_examples <= cap:
        raise Refused(
            ErrorCode.BAD_COUNT,
            f"num_examples is {num_examples}; this task allows 1..{cap}.",
            "report the number of examples that were trained on",
        )
    if not 1 <= num_steps <= MAX_STEPS:
        raise Refused(
            ErrorCode.BAD_COUNT,
            f"num_steps is {num_steps}; allowed are 1..{MAX_STEPS}.",
            "report the number of optimiser steps that were taken",
        )
    if not spec.aggregation.control_variates:
        return
    examples, steps = num_examples, total_steps(num_examples, spec.training)
    if num_steps != steps:  # with few steps a delta passes for a great gradient
        raise Refused(
            ErrorCode.BAD_COUNT,
            f"num_steps is {num_steps}; this task's training takes {steps} on {examples} examples.",
            "train epochs × ceil(num_examples / batch_size) steps, at most max_steps, all of the task's training, and "
            "report them; num_examples are those that were trained on",
        )


def check_metrics(values: dict[str, float]) -> None:
    """Refuses numbers that nobody measured: not finite, absurdly large, an accuracy outside 0..1."""
    for name, value in values.items():
        low, high = (0.0, 1.0) if name.endswith("accuracy") else (-MAX_METRIC, MAX_METRIC)
        if not low <= value <= high:  # NaN is in no interval
            raise Refused(
                ErrorCode.INVALID_ARGUMENT,
                f"metric {name!r} is {value}; allowed are {low:g}..{high:g}.",
                "report what was measured, and leave out what is no number",
            )
