"""The global model in use: predictions, evaluations, exports, and its bytes in pieces."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from federation.coordinator.ports import Bounds, Shared, Written
from federation.coordinator.records import ModelVersion, Task, get_task, get_version
from federation.coordinator.scores import server_scores
from federation.errors import ErrorCode, Refused
from federation.evaluation import Evaluation
from federation.store.tables import metrics, model_versions
from federation.weights import load


class Models:
    """Reads model versions; a version once made never changes."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def version(self, task_id: str, version: int | None) -> tuple[Task, ModelVersion]:
        """The task and the version asked for; the current one by default."""
        async with self._shared.database.read() as connection:
            task = await get_task(connection, task_id)
            return task, await get_version(connection, task_id, task.version if version is None else version)

    async def versions(self, task_id: str) -> list[ModelVersion]:
        """Every version, oldest first."""
        async with self._shared.database.read() as connection:
            query = select(model_versions).where(model_versions.c.task_id == task_id)
            rows = await connection.execute(query.order_by(model_versions.c.version))
            return [ModelVersion(**row) for row in rows.mappings()]

    async def predict(
        self, task_id: str, version: int | None, inputs: list[Any], *, max_tokens: int | None = None
    ) -> tuple[ModelVersion, list[int], list[list[float]], list[Written]]:
        """Labels and class probabilities by the global model; or, of one that writes, how it goes on from each text."""
        task, model = await self.version(task_id, version)
        path = self._shared.spool.path(model.sha256)
        if task.base is not None and not task.spec.model.classifies:
            return model, [], [], await self._write(task, path, inputs, max_tokens)
        if max_tokens is not None:
            raise Refused(
                ErrorCode.INVALID_ARGUMENT,
                f"the model of task {task_id} answers with classes and writes nothing.",
                "leave max_tokens out",
            )
        labels, probabilities = await asyncio.to_thread(
            lambda: self._shared.workload.predict(task.spec, load(path), inputs, task.base)
        )
        _check_finite(model, [value for row in probabilities for value in row])
        return model, labels, probabilities, []

    async def _write(self, task: Task, path: Path, prompts: list[Any], max_tokens: int | None) -> list[Written]:
        limits = self._shared.limits
        if not all(isinstance(prompt, str) and prompt for prompt in prompts) or len(prompts) > limits.max_prompts:
            raise Refused(
                ErrorCode.INVALID_ARGUMENT,
                f"task {task.task_id} trains a language model, and inputs are not 1..{limits.max_prompts} texts.",
                'give the beginnings of texts, e.g. inputs=["To be"]',
            )
        asked = limits.new_tokens if max_tokens is None else max_tokens
        if not 1 <= asked <= limits.max_new_tokens:
            problem = f"max_tokens is {asked}; allowed are 1..{limits.max_new_tokens}."
            raise Refused(ErrorCode.INVALID_ARGUMENT, problem, "ask for fewer tokens, or in several calls")
        bounds, base = Bounds(asked, limits.writing_s), task.base
        assert base is not None  # noqa: S101 - whoever calls has looked
        return await asyncio.to_thread(
            lambda: self._shared.workload.write(task.spec, load(path), prompts, base, bounds)
        )

    async def evaluate(self, task_id: str, version: int | None) -> tuple[ModelVersion, Evaluation]:
        """The score on the data set's test examples, kept with the version's metrics."""
        task, model = await self.version(task_id, version)
        path = self._shared.spool.path(model.sha256)
        evaluation = await asyncio.to_thread(lambda: self._shared.workload.evaluate(task.spec, load(path), task.base))
        if evaluation is None:
            raise Refused(
                ErrorCode.DATA_UNAVAILABLE,
                f"the data set of task {task_id} has no test examples on this server.",
                "read the nodes' own scores in get_task: they score each model on their held-out shares",
            )
        _check_finite(model, [evaluation.loss])
        scores = server_scores(evaluation)
        key = {"task_id": task_id, "round": model.round or 0, "version": model.version, "source": "server"}
        now = self._shared.clock()

        async def work(connection: AsyncConnection) -> None:
            conditions = [metrics.c[name] == value for name, value in key.items()]
            await connection.execute(delete(metrics).where(*conditions, metrics.c.name.in_(scores)))
            rows = [key | {"node_id": "", "name": name, "value": value, "at": now} for name, value in scores.items()]
            await connection.execute(insert(metrics), rows)

        await self._shared.database.write(work, after=lambda: self._shared.notices.task_changed(task_id))
        return model, evaluation

    async def piece(self, sha256: str, offset: int) -> tuple[bytes, str]:
        """A piece of a model version, or of the SCAFFOLD state of one, for the in-band lane, and a task it belongs to.
        Updates are not served."""
        async with self._shared.database.read() as connection:
            control = (model_versions.c.state_sha256 == sha256) & (model_versions.c.rule == "scaffold")
            wanted = select(model_versions).where((model_versions.c.sha256 == sha256) | control)
            row = (await connection.execute(wanted.limit(1))).first()
        if row is None:
            raise Refused(
                ErrorCode.NOT_FOUND,
                "no model version has this hash.",
                "take the uri from get_assignment, get_task or export_model",
            )
        path, size = self._shared.spool.path(sha256), self._shared.limits.read_max_bytes
        length = row.size if row.sha256 == sha256 else path.stat().st_size
        if not 0 <= offset <= length:
            raise Refused(
                ErrorCode.INVALID_ARGUMENT, f"offset {offset} is outside 0..{length}.", "read from 0, by what came"
            )

        def read() -> bytes:
            with path.open("rb") as file:
                file.seek(offset)
                return file.read(size)

        return await asyncio.to_thread(read), str(row.task_id)


def _check_finite(model: ModelVersion, values: list[float]) -> None:
    if not all(map(math.isfinite, values)):
        raise Refused(
            ErrorCode.WRONG_STATE,
            f"version {model.version} answers with numbers that are not finite: its training has diverged.",
            "roll back to an earlier version (control_task), and lower training.learning_rate in the next task",
        )
