"""Rounds in which adapters are what travels: accepted, weighed, merged and scored by the changes that they make."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from world import Node, ThreeNumbers, World, open_world

from federation.aggregation.contributions import Contribution
from federation.aggregation.rules import aggregate
from federation.base_pin import BasePin
from federation.coordinator.submissions import Receipt
from federation.errors import ErrorCode, Refused
from federation.spec import TaskSpec, derive_seed
from federation.store.tables import metrics, model_versions, updates
from federation.weights import load, pack_update, to_bytes
from tests.federation.aggregation.lora.small_adapters import (
    dense,
    draw_update,
    draw_version,
    gap,
    product,
    trained_on,
)

pytestmark = pytest.mark.anyio

R = 4
SCALING = 2.0


class TinyAdapters(ThreeNumbers):
    """A workload whose model is an adapter of two layers and a head."""

    def initial_weights(self, spec: TaskSpec, base: BasePin | None = None) -> dict[str, torch.Tensor]:
        return draw_version(0, R, layers={"q": (12, 12), "v": (12, 6)}, b=0.0, head=True)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path / "data", workload=TinyAdapters()) as world:
        yield world


async def begin(world: World, rule: str, **aggregation: Any) -> tuple[str, Node, Node]:
    task = await world.task(
        name=rule,
        model={"id": "hf:mine/tiny", "lora": {"r": R, "alpha": SCALING * R}},
        aggregation={"rule": rule, "weighting": "uniform", **aggregation},
        evaluation={"server": False},
        keep_rounds=9,
    )
    ann, bob = await world.node("ann"), await world.node("bob")
    await ann.ask(task), await bob.ask(task)
    return task, ann, bob


async def version(world: World, task: str) -> dict[str, torch.Tensor]:
    _, model = await world.federation.models.version(task, None)
    return {name: tensor.clone() for name, tensor in load(world.federation.shared.spool.path(model.sha256)).items()}


async def bring(world: World, node: Node, task: str, delta: dict[str, torch.Tensor], number: int = 1) -> Receipt:
    submission = await node.prepared(task, number, 0.0, payload=pack_update(delta))
    return await world.federation.submissions.submit(node.row, submission)


async def server_metrics(world: World, task: str) -> dict[int, dict[str, float]]:
    """The server's numbers by version and name."""
    found: dict[int, dict[str, float]] = {}
    async with world.federation.shared.database.read() as connection:
        query = metrics.select().where(metrics.c.task_id == task, metrics.c.source == "server")
        for row in (await connection.execute(query)).mappings():
            found.setdefault(row["version"], {})[row["name"]] = row["value"]
    return found


@pytest.mark.parametrize("rule", ["lora_exact", "lora_stack", "ffa", "fedavg", "fedadam", "norm_clipping"])
async def test_nodes_of_unlike_ranks_make_versions_that_a_replay_makes_again_to_the_bit(
    world: World, rule: str
) -> None:
    task, ann, bob = await begin(world, rule, **({"options": {"f": 0}} if rule == "norm_clipping" else {}))
    for number in (1, 2):
        start = await version(world, task)
        before = dense({name: tensor.double() for name, tensor in start.items()}, SCALING)
        own = []
        for place, (node, rank) in enumerate(((ann, R), (bob, 2))):
            await node.ask(task)
            delta = draw_update(10 * number + place, start, R, rank, rule=rule)
            await bring(world, node, task, delta, number)
            own.append(dense(trained_on(start, delta, R), SCALING) - before)
        await world.review()
        done = await world.round(task, number)
        assert done["state"] == "closed"
        by_node = {update["node_id"]: update for update in done["updates"]}
        norms = [float(np.linalg.norm(change)) for change in own]
        assert [by_node[node.node_id]["norm"] for node in (ann, bob)] == pytest.approx(norms)
        moved = dense(await version(world, task), SCALING) - before
        told = (await server_metrics(world, task))[number]
        assert told["step_norm"] == pytest.approx(float(np.linalg.norm(moved)), rel=1e-6)
        assert told["mean_update_norm"] == pytest.approx(sum(norms) / 2)
        assert {"lora_error", "lora_error.q", "lora_error.v"} <= told.keys()
        assert ("lora_rank" in told) == (rule == "lora_stack")
        agreed = told.get("update_agreement")
        assert (agreed is not None) == (rule in ("lora_stack", "ffa"))
        if agreed is not None:
            assert agreed == pytest.approx(float(np.linalg.norm(sum(own) / 2)) / (sum(norms) / 2), rel=1e-5)
    assert await replayed(world, task) == [True, True]


async def replayed(world: World, task_id: str) -> list[bool]:
    """Whether each version after the first is made again, to the bit, from rows and blobs alone."""
    spool, state, same = world.federation.shared.spool, {}, []
    task, _ = await world.federation.models.version(task_id, None)
    async with world.federation.shared.database.read() as connection:
        made = (await connection.execute(model_versions.select().order_by(model_versions.c.version))).mappings().all()
        given = (await connection.execute(updates.select())).mappings().all()
    for before, after in pairwise(made):
        again = aggregate(
            task.spec.aggregation,
            spool.path(before["sha256"]),
            [
                Contribution(each["node_id"], each["upload_id"], spool.path(each["sha256"]), each["num_examples"], 1)
                for each in given
                if each["round"] == after["round"]
            ],
            state=state,
            seed=derive_seed(task.spec.seed, "aggregate", after["round"]),
            adapters=task.spec.model.adapters,
        )
        state = again.state
        same.append(to_bytes(again.weights) == spool.path(after["sha256"]).read_bytes())
    return same


async def test_a_stack_grows_by_what_was_learnt_and_its_next_update_does_not(world: World) -> None:
    task, ann, bob = await begin(world, "lora_stack")
    for number in (1, 2):
        start = await version(world, task)
        for place, node in enumerate((ann, bob)):
            await node.ask(task)
            await bring(world, node, task, draw_update(place + number, start, R, 2), number)
        await world.review()
    grown = await version(world, task)
    assert [grown[f"base_model.model.{name}.lora_A.weight"].shape[0] for name in ("q", "v")] == [8 + R, 6 + R]
    assert (await server_metrics(world, task))[2]["lora_rank"] == 8.0
    await ann.ask(task)
    whole = {name: torch.zeros_like(tensor) for name, tensor in grown.items()}
    with pytest.raises(Refused, match=r"this task takes 1\.\.4"):
        await bring(world, ann, task, whole, 3)


async def test_the_exact_mean_is_what_the_next_round_starts_from(world: World) -> None:
    task, ann, bob = await begin(world, "lora_exact")
    start = await version(world, task)
    deltas = [draw_update(place, start, R, 2) for place in (0, 1)]
    for node, delta in zip((ann, bob), deltas, strict=True):
        await bring(world, node, task, delta)
    await world.review()
    made, own = await version(world, task), [trained_on(start, delta, R) for delta in deltas]
    for name in (name for name in made if "lora_A" in name):  # two updates of rank 2 fit into rank 4
        assert gap(product(made, name), (product(own[0], name) + product(own[1], name)) / 2) < 3e-7
    assert (await server_metrics(world, task))[1]["lora_error"] < 1e-12


async def test_an_update_of_another_form_is_refused_and_leaves_the_way_free_for_the_right_one(world: World) -> None:
    task, ann, bob = await begin(world, "ffa", max_update_norm=50.0)
    start = await version(world, task)
    right = draw_update(0, start, R, 3, rule="ffa")
    q_a = "base_model.model.q.lora_A.weight"
    wrong = {
        "is frozen under ffa": right | {q_a: torch.zeros(3, 12)},
        "where this update of rank 3 wants": right | {"base_model.model.v.lora_B.weight": torch.zeros(6, 2)},
        "is missing": {name: tensor for name, tensor in right.items() if "score" not in name},
        "NaN or infinite": {name: tensor * float("nan") for name, tensor in right.items()},
        r"exceeds the task's bound 50": {name: 100 * tensor for name, tensor in right.items()},
    }
    for says, delta in wrong.items():
        with pytest.raises(Refused, match=says) as caught:
            await bring(world, ann, task, delta)
        assert caught.value.code is ErrorCode.BAD_UPDATE
    await bring(world, ann, task, right)
    await bring(world, bob, task, right)
    await world.review()
    assert (await world.round(task, 1))["state"] == "closed"
