"""Rules other than the mean, in real rounds: their state, their seeds, what they say of each update."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from world import Clock, Node, World, open_world

from federation.store.tables import model_versions

pytestmark = pytest.mark.anyio

MOMENTUM: dict[str, Any] = {"rule": "fedavgm", "options": {"beta": 0.5, "eta": 1.0}}


async def pair(world: World, task: str) -> tuple[Node, Node]:
    ann, bob = await world.node("ann"), await world.node("bob")
    await ann.ask(task), await bob.ask(task)
    return ann, bob


async def play(world: World, task: str, nodes: tuple[Node, ...], number: int, *deltas: float) -> dict[str, Any]:
    """One round, and what became of it."""
    for node in nodes:
        await node.ask(task)
    for node, delta in zip(nodes, deltas, strict=True):
        await node.submit(task, number, delta)
    await world.review()
    done = await world.round(task, number)
    assert done["state"] == "closed", done
    return done


async def states(world: World) -> list[str | None]:
    async with world.federation.shared.database.read() as connection:
        query = model_versions.select().order_by(model_versions.c.version)
        return [row["state_sha256"] for row in (await connection.execute(query)).mappings()]


async def test_a_server_optimiser_goes_on_from_the_state_of_the_version_before(world: World) -> None:
    task = await world.task(aggregation=MOMENTUM)
    nodes = await pair(world, task)
    moved = []
    for number in (1, 2, 3):
        await play(world, task, nodes, number, 0.25, 0.75)
        moved.append(float((await world.weights(task))[0]))
    # v = 0.5, 0.75, 0.875 by v <- v/2 + 1/2; w adds them up
    assert moved == [0.5, 1.25, 2.125]


async def test_the_state_outlives_the_server(tmp_path: Path) -> None:
    clock = Clock()
    async with open_world(tmp_path, clock) as world:
        task = await world.task(aggregation=MOMENTUM)
        await play(world, task, await pair(world, task), 1, 0.25, 0.75)
    async with open_world(tmp_path, clock) as world:
        await play(world, task, await pair(world, task), 2, 0.25, 0.75)
        torch.testing.assert_close(await world.weights(task), torch.full((3,), 1.25))


async def test_a_state_that_no_round_can_start_from_is_let_go_of_with_its_blob(world: World) -> None:
    task = await world.task(aggregation=MOMENTUM, keep_rounds=0)
    nodes = await pair(world, task)
    await play(world, task, nodes, 1, 0.25, 0.75)
    first = (await states(world))[1]
    assert first is not None
    assert world.federation.shared.spool.has(first)
    await play(world, task, nodes, 2, 0.25, 0.75)
    kept = await states(world)
    assert kept[:2] == [None, None]
    assert kept[2] is not None
    assert world.federation.shared.spool.has(kept[2])
    assert not world.federation.shared.spool.has(first)


async def test_a_task_without_a_server_optimiser_keeps_no_state(world: World) -> None:
    task = await world.task()
    await play(world, task, await pair(world, task), 1, 0.25, 0.75)
    assert await states(world) == [None, None]


async def test_fednova_hears_of_the_momentum_that_nodes_train_with(world: World) -> None:
    task = await world.task(aggregation={"rule": "fednova"}, training={"momentum": 0.5})
    await play(world, task, await pair(world, task), 1, 0.25, 0.75)
    torch.testing.assert_close(await world.weights(task), torch.full((3,), 0.5))  # equal ways: the plain mean


async def test_a_round_says_what_the_rule_made_of_each_update(world: World) -> None:
    task = await world.task(
        aggregation={"rule": "krum", "options": {"f": 1}}, cohort={"size": 5, "quorum": 5, "min_nodes": 5}
    )
    nodes = tuple([await world.node(name) for name in ("ann", "bob", "cai", "dan", "eve")])
    for node in nodes:
        await node.ask(task)
    done = await play(world, task, nodes, 1, 0.5, 0.5, 0.5, 0.5, -8.0)
    eve = nodes[-1].node_id
    of = {update["node_id"]: update for update in done["updates"]}
    assert [update["weight"] for node_id, update in of.items() if node_id != eve].count(1.0) == 1
    assert (of[eve]["weight"], of[eve]["cosine"]) == (0.0, pytest.approx(-1.0))
    assert of[eve]["reason"].startswith("excluded: ")
    assert of[eve]["score"] > max(update["score"] for node_id, update in of.items() if node_id != eve)
    torch.testing.assert_close(await world.weights(task), torch.full((3,), 0.5))


async def test_coordinate_rules_give_no_update_a_weight(world: World) -> None:
    task = await world.task(
        aggregation={"rule": "median", "options": {"f": 1}}, cohort={"size": 3, "quorum": 3, "min_nodes": 3}
    )
    nodes = tuple([await world.node(name) for name in ("ann", "bob", "cai")])
    for node in nodes:
        await node.ask(task)
    done = await play(world, task, nodes, 1, 0.1, 0.2, 900.0)
    assert [update["weight"] for update in done["updates"]] == [None] * 3
    torch.testing.assert_close(await world.weights(task), torch.full((3,), 0.2))
