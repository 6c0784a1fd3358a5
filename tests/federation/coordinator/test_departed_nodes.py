"""Nodes go, come back, or never do: a round waits for nobody longer than it has to, and the task goes on."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from world import Clock, World, open_world

from federation.errors import ErrorCode, Refused

pytestmark = pytest.mark.anyio


async def test_a_round_whose_nodes_have_all_gone_is_void_and_the_next_one_waits_until_they_are_back(
    world: World,
) -> None:
    task = await world.task(rounds=2)
    ann, bob = await world.node("ann"), await world.node("bob")
    await ann.ask(task), await bob.ask(task)
    await world.pass_time(101)
    assert (await world.round(task, 1))["state"] == "void"
    assert (await world.round(task, 1))["reason"] == "0 of the 1 updates of its quorum came before the deadline"
    await world.pass_time(10_000)
    assert (await world.round(task, 2))["state"] == "open", "an open round has no deadline"
    assert (await world.weights(task)).tolist() == [0.0, 0.0, 0.0]
    assert (await ann.ask(task)).action == "wait"
    assert (await bob.ask(task)).action == "train"
    with pytest.raises(Refused) as late:
        await ann.submit(task, 1, 5.0, base=0)
    assert late.value.code is ErrorCode.ROUND_CLOSED
    await ann.submit(task, 2, 1.0, base=0), await bob.submit(task, 2, 3.0, base=0)
    await world.review()
    assert (await world.weights(task)).tolist() == [2.0, 2.0, 2.0]


async def test_a_server_that_restarts_without_its_nodes_goes_on_when_they_are_back(tmp_path: Path) -> None:
    clock = Clock()
    async with open_world(tmp_path, clock) as world:
        task = await world.task(deadline_s=1000)
        ann, bob = await world.node("ann"), await world.node("bob")
        await ann.ask(task), await bob.ask(task)
        receipt = await ann.submit(task, 1, 1.0)
    clock.now += 15  # less than a lease
    async with open_world(tmp_path, clock) as world:
        await world.review()
        assert (await world.round(task, 1))["state"] == "collecting", "nobody is lost just after a start"
        ann, bob = await world.node("ann"), await world.node("bob")
        assert (await bob.ask(task)).round == 1
        assert await ann.submit(task, 1, 1.0) == receipt
        await bob.submit(task, 1, 3.0)
        await world.review()
        assert (await world.weights(task)).tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("seed", range(5))
async def test_nodes_that_never_return_cost_each_round_their_share_and_nothing_else(world: World, seed: int) -> None:
    chance = random.Random(seed)
    task = await world.task(rounds=3, cohort={"size": 6, "min_nodes": 3, "quorum": 2}, deadline_s=1000)
    nodes = [await world.node(f"node-{index}") for index in range(6)]
    for node in nodes:
        await node.ask(task)
    gone = set(chance.sample(range(6), 2))
    assert len((await world.round(task, 1))["cohort"]) == 6
    deltas = {index: float(chance.randrange(1, 5)) for index in range(6) if index not in gone}
    for index in chance.sample(sorted(deltas), len(deltas)):
        await nodes[index].submit(task, 1, deltas[index])
    await world.review()
    assert (await world.round(task, 1))["state"] == "collecting", "they still hold their leases"
    await world.pass_time(21)
    closed = await world.round(task, 1)
    assert (closed["state"], closed["submitted"]) == ("closed", len(deltas)), "long before the deadline"
    assert (await world.weights(task)).tolist() == pytest.approx([sum(deltas.values()) / len(deltas)] * 3)


async def test_the_share_of_a_node_that_never_returns_passes_on(world: World) -> None:
    task = await world.task(data={"id": "digits", "partition": {"parts": 2}})
    ann, bob = await world.node("ann"), await world.node("bob")
    await ann.ask(task)
    lost = (await bob.ask(task)).partition_index
    world.clock.now += 60
    cat = await world.node("cat")
    assert (await cat.ask(task)).partition_index in (0, lost)
    with pytest.raises(Refused) as taken:
        await (await world.node("dan")).ask(task, partition_index=(await cat.ask(task)).partition_index)
    assert taken.value.code is ErrorCode.PARTITION_TAKEN
