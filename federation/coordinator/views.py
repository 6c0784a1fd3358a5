"""What people, agents and nodes get to see: plain dictionaries, ready for JSON."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.engine import RowMapping

from federation.convergence import best
from federation.coordinator.board import Board
from federation.coordinator.control import losses
from federation.coordinator.ports import Shared
from federation.coordinator.records import Round, Task, get_round, get_task, get_version
from federation.coordinator.trend import NO_PART, participation, points
from federation.coordinator.view_rows import (
    Scores,
    cohorts_of,
    counts_of,
    hashes_of,
    latest_scores,
    scores_of,
    totals_of,
)
from federation.rounds import RoundState
from federation.spec import TaskSpec
from federation.store.tables import members, metrics, nodes, rounds, tasks, updates

FEWEST_IN_A_MEAN = 3
"""Of two nodes' mean, each could tell the other's score."""

MOST_TASKS, MOST_ROUNDS, MOST_METRICS = 100, 50, 2000
"""What one answer holds: a client may cap an event at 1 MiB, and a language model pays for every byte."""


class Views:
    """Reads for tools and resources. `private` adds what only operators and viewers may see of single nodes."""

    def __init__(self, shared: Shared, board: Board) -> None:
        self._shared = shared
        self._board = board

    async def tasks(self, *, simulated: bool = True) -> list[dict[str, Any]]:
        """The latest tasks in a few words, newest first; on demand, without those that no node can join."""
        async with self._shared.database.read() as connection:
            latest = select(tasks).order_by(tasks.c.created_at.desc(), tasks.c.task_id).limit(MOST_TASKS)
            rows = await connection.execute(latest if simulated else latest.where(tasks.c.simulation.is_(None)))
            found = [Task.of(row) for row in rows.mappings()]
            best = await latest_scores(connection)
        return [_summary(task) | best.get(task.task_id, {}) for task in found]

    async def task(self, task_id: str, *, private: bool) -> dict[str, Any]:
        """A task with its spec, latest rounds, members and current model."""
        async with self._shared.database.read() as connection:
            task = await get_task(connection, task_id)
            model = await get_version(connection, task_id, task.version)
            newest = select(rounds).where(rounds.c.task_id == task_id, rounds.c.round > task.round - MOST_ROUNDS)
            rows = await connection.execute(newest.order_by(rounds.c.round))
            history = [Round.of(row) for row in rows.mappings()]
            simulated = task.simulation is not None  # nobody's numbers; and too many clients to list in every answer
            cohort = {} if simulated else await cohorts_of(connection, task_id)
            counts = await counts_of(connection, task_id, task.round - MOST_ROUNDS)
            fewest = 0 if private or simulated else FEWEST_IN_A_MEAN
            scores = await scores_of(connection, task_id, fewest=fewest, by_class=False)
            hashes, totals = await hashes_of(connection, task_id), await totals_of(connection, task_id)
            joined = (
                await connection.execute(
                    select(members, nodes.c.name)
                    .join(nodes, nodes.c.node_id == members.c.node_id)
                    .where(members.c.task_id == task_id)
                    .order_by(members.c.partition_index, members.c.node_id)
                )
            ).mappings()
            people = [dict(row) for row in joined]
            parts = await participation(connection, task_id, cohort) if private else {}
            lost = await losses(connection, task) if private and task.spec.aggregation.control_variates else {}
        view = _summary(task) | {
            "spec": task.spec.model_dump(mode="json"),
            "input_shape": list(task.input_shape),
            "num_classes": task.num_classes,
            "base": None if task.base is None else task.base.as_dict(),
            "reason": task.reason,
            "simulation": self._simulation(task),
            "model": {
                "version": model.version,
                "sha256": model.sha256,
                "size": model.size,
                "url": self._shared.lanes.blob_url(model.sha256, task_id),
            },
            "best": _best(task, scores),
            "initial_scores": scores.get((task_id, 0), {}),
            "totals": totals,
            "rounds": [_round(r, counts.get(r.round, (0, 0)), scores, hashes) for r in history],
        }
        if private:
            view["nodes"] = [
                self._member(task, row, cohort.get(task.round, []))
                | parts.get(row["node_id"], NO_PART)
                | ({"variates_lost": lost[row["node_id"]]} if row["node_id"] in lost else {})
                for row in people
            ]
        return view

    async def spec(self, task_id: str) -> TaskSpec:
        """What the task trains, on what and how."""
        async with self._shared.database.read() as connection:
            return (await get_task(connection, task_id)).spec

    async def round(self, task_id: str, number: int) -> dict[str, Any]:
        """One round with its cohort, its updates and what became of them."""
        async with self._shared.database.read() as connection:
            current = await get_round(connection, task_id, number)
            cohort = await cohorts_of(connection, task_id, number)
            scores, hashes = await scores_of(connection, task_id), await hashes_of(connection, task_id)
            rows = await connection.execute(
                select(updates)
                .where(updates.c.task_id == task_id, updates.c.round == number)
                .order_by(updates.c.node_id)
            )
            delivered = rows.mappings().all()
        over = current.state in (RoundState.CLOSED, RoundState.VOID)
        here = cohort.get(number, [])
        return _round(current, (len(here), sum(r["submitted_at"] is not None for r in here)), scores, hashes) | {
            "cohort": [{"node_id": row["node_id"], "submitted": row["submitted_at"] is not None} for row in here],
            "updates": [_update(row, over) for row in delivered],
        }

    async def metrics(self, task_id: str) -> list[dict[str, Any]]:
        """The latest metrics of a task in the order of time: who measured what on which version."""
        async with self._shared.database.read() as connection:
            await get_task(connection, task_id)
            query = select(metrics).where(metrics.c.task_id == task_id).order_by(metrics.c.metric_id.desc())
            rows = reversed((await connection.execute(query.limit(MOST_METRICS))).mappings().all())
            names = ("round", "version", "source", "node_id", "name", "value", "at")
            return [{name: row[name] for name in names} for row in rows]

    async def version(self, task_id: str, version: int) -> dict[str, Any]:
        """A model version with its lineage: its parent, and the updates that made it."""
        async with self._shared.database.read() as connection:
            model = await get_version(connection, task_id, version)
            rows = await connection.execute(
                select(updates)
                .where(updates.c.task_id == task_id, updates.c.version == version)
                .order_by(updates.c.node_id)
            )
            made_of = [_update(row, True) for row in rows.mappings()]
            scores = await scores_of(connection, task_id)
        return {
            "task_id": task_id,
            "version": model.version,
            "parent": model.parent,
            "round": model.round,
            "rule": model.rule,
            "sha256": model.sha256,
            "size": model.size,
            "created_at": model.created_at,
            "url": self._shared.lanes.blob_url(model.sha256, task_id),
            "uri": f"potluck://blobs/{model.sha256}/0",
            "made_of": made_of,
            "metrics": scores.get((task_id, version), {}),
        }

    async def nodes(self) -> list[dict[str, Any]]:
        """Every node that ever shook hands, with its tasks and whether it is at hand."""
        async with self._shared.database.read() as connection:
            rows = (await connection.execute(select(nodes).order_by(nodes.c.created_at))).mappings().all()
            links = (await connection.execute(select(members))).mappings().all()
        joined: dict[str, list[RowMapping]] = defaultdict(list)
        for link in links:
            joined[link["node_id"]].append(link)
        return [
            {
                "node_id": row["node_id"],
                "name": row["name"],
                "capabilities": row["capabilities"],
                "seen_at": row["seen_at"],
                "tasks": [
                    {
                        "task_id": link["task_id"],
                        "partition_index": link["partition_index"],
                        "at_hand": self._shared.liveness.at_hand(link["task_id"], row["node_id"]),
                    }
                    for link in joined[row["node_id"]]
                ],
            }
            for row in rows
        ]

    async def capabilities(self) -> list[dict[str, Any]]:
        """What the nodes said that they can do."""
        async with self._shared.database.read() as connection:
            return list((await connection.scalars(select(nodes.c.capabilities))).all())

    async def ids(self, *, simulated: bool = True) -> dict[str, list[str]]:
        """Ids for completion, newest first; on demand, without tasks that no node can join."""
        async with self._shared.database.read() as connection:
            every = select(tasks.c.task_id).order_by(tasks.c.created_at.desc())
            task_ids = await connection.scalars(every if simulated else every.where(tasks.c.simulation.is_(None)))
            node_ids = await connection.scalars(select(nodes.c.node_id).order_by(nodes.c.created_at.desc()))
            return {"task_id": list(task_ids), "node_id": list(node_ids)}

    async def round_numbers(self, task_id: str) -> list[int]:
        """The rounds of a task, for completion."""
        async with self._shared.database.read() as connection:
            found = await connection.scalars(select(rounds.c.round).where(rounds.c.task_id == task_id))
            return sorted(found)

    async def counts(self) -> dict[tuple[str, str], int]:
        """How many tasks and rounds are in each state, for /metrics."""
        async with self._shared.database.read() as connection:
            found: dict[tuple[str, str], int] = {}
            for name, table in (("tasks", tasks), ("rounds", rounds)):
                rows = await connection.execute(select(table.c.state, func.count()).group_by(table.c.state))
                found |= {(name, str(state)): int(count) for state, count in rows}
            for name, table in (("nodes", nodes), ("updates", updates)):
                found[name, "all"] = int(await connection.scalar(select(func.count()).select_from(table)) or 0)
            return found

    def _simulation(self, task: Task) -> dict[str, Any] | None:
        """With what a task is simulated, and how far it is; None where nodes train it."""
        how = task.simulation
        if how is None:
            return None
        said = {"engine": how.engine, "attack": how.wish.attack, "attackers": how.wish.attackers}
        said |= {"workers": how.wish.workers, "clients": task.spec.data.partition.parts}
        progress = None if task.state.over else self._board.of(task.task_id)
        return said | {"progress": None if progress is None else asdict(progress)}

    def _member(self, task: Task, row: dict[str, Any], cohort: list[RowMapping]) -> dict[str, Any]:
        mine = next((a for a in cohort if a["node_id"] == row["node_id"]), None)
        return {
            "node_id": row["node_id"],
            "name": row["name"],
            "partition_index": row["partition_index"],
            "at_hand": self._shared.liveness.at_hand(task.task_id, row["node_id"]),
            "in_cohort": mine is not None,
            "submitted": mine is not None and mine["submitted_at"] is not None,
            "progress": self._shared.liveness.latest_report(task.task_id, row["node_id"]),
        }


def _summary(task: Task) -> dict[str, Any]:
    return {
        "task_id": task.task_id,
        "name": task.spec.name,
        "state": task.state.value,
        "simulated": task.simulation is not None,
        "model": task.spec.model.id,
        "data": task.spec.data.id,
        "round": task.round,
        "num_rounds": task.spec.rounds,
        "version": task.version,
        "created_at": task.created_at,
        "finished_at": task.finished_at,
    }


def _round(current: Round, counts: tuple[int, int], scores: Scores, hashes: dict[int, str]) -> dict[str, Any]:
    made = scores.get((current.task_id, current.version), {}) if current.version is not None else {}
    began, ended = current.collecting_at, current.closed_at
    return {
        "round": current.round,
        "state": current.state.value,
        "base_version": current.base_version,
        "version": current.version,
        "sha256": hashes.get(current.version) if current.version is not None else None,
        "selected": counts[0],
        "wanted": current.wanted,
        "quorum": current.quorum,
        "submitted": counts[1],
        "deadline_at": current.deadline_at,
        "seconds": None if began is None or ended is None else round(ended - began, 3),
        "bytes_up": current.bytes_up,
        "bytes_down": current.bytes_down,
        "accuracy": made.get("accuracy"),
        "loss": made.get("loss"),
        "node_accuracy": made.get("eval_accuracy"),
        "node_loss": made.get("eval_loss"),
        "reason": current.reason,
    }


def _update(row: RowMapping, over: bool) -> dict[str, Any]:
    names = ["update_id", "node_id", "num_examples", "num_steps", "size", "norm", "metrics", "accepted_at"]
    names += ["version", "weight", "cosine", "score", "reason"]
    found = {name: row[name] for name in names}
    if over:  # while a round collects, a hash is half of what it takes to hand in someone else's update
        found["sha256"] = row["sha256"] or None  # a simulated update has no file
    return found


def _best(task: Task, scores: Scores) -> dict[str, Any]:
    """The best version that anyone has measured, with its scores; empty before that."""
    line = sorted(version for _, version in scores)
    by_source = {
        version: {
            ("nodes" if name.startswith(("eval_", "train_")) else "server", name): value
            for name, value in scores[task.task_id, version].items()
        }
        for version in line
    }
    top = best(points([(version, version) for version in line], by_source, task, task.round))
    return {} if top is None else {"version": top.version, "accuracy": top.accuracy, "loss": top.loss}
