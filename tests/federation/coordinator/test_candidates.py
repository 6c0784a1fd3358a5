"""Cohorts drawn by what is known of the nodes, and what part each node has had."""

from __future__ import annotations

from typing import Any

import pytest
from world import Node, World

from federation.coordinator.candidates import facts_about
from federation.coordinator.records import get_task
from federation.selection import Facts

pytestmark = pytest.mark.anyio


async def three(world: World, **changes: Any) -> tuple[str, dict[str, Node]]:
    """A task and three nodes that are at hand."""
    task = await world.task(**{"rounds": 20} | changes)
    nodes = [await world.node(name) for name in ("ann", "bob", "cat")]
    for node in nodes:
        await node.ask(task)
    return task, {node.node_id: node for node in nodes}


async def cohort(world: World, task: str, number: int) -> list[str]:
    return [member["node_id"] for member in (await world.round(task, number))["cohort"]]


async def test_power_of_choice_hears_every_node_and_then_takes_the_one_that_the_model_serves_worst(
    world: World,
) -> None:
    choice = {"size": 1, "min_nodes": 3, "selection": "power_of_choice", "candidates": 3}
    task, nodes = await three(world, cohort=choice)
    losses = dict(zip(nodes, (0.5, 2.0, 1.0), strict=True))
    drawn = []
    for number in range(1, 7):
        for node in nodes.values():
            await node.ask(task)
        (member,) = await cohort(world, task, number)
        drawn.append(member)
        if number == 5:
            losses[member] = 0.1
        await nodes[member].submit(task, number, 0.0, metrics={"eval_loss": losses[member]})
        await world.review()
    worst, next_worst = list(nodes)[1], list(nodes)[2]
    assert set(drawn[:3]) == set(nodes), "nobody's loss is known before"
    assert drawn[3:] == [worst, worst, next_worst]


async def test_facts_come_from_what_nodes_delivered_in_two_queries(world: World) -> None:
    task_id, nodes = await three(world, cohort={"size": 3, "quorum": 1}, lease_s=1000)
    ann, bob, cat = nodes.values()
    world.clock.now += 4
    await ann.submit(task_id, 1, 0.0, examples=30, metrics={"eval_loss": 0.7})
    world.clock.now += 6
    await bob.submit(task_id, 1, 0.0, examples=10)
    await world.federation.reports.progress(cat.row, task_id, 1, {"step": 1, "examples_per_s": 5.0})
    await world.pass_time(100)  # cat misses the deadline of 100 s
    shared, statements = world.federation.shared, []

    class Counting:
        def __init__(self, connection: Any) -> None:
            self._connection = connection

        async def execute(self, statement: Any) -> Any:
            statements.append(statement)
            return await self._connection.execute(statement)

    async with shared.database.read() as connection:
        task = await get_task(connection, task_id)
        facts = await facts_about(Counting(connection), shared.liveness, task, 2, list(nodes))  # type: ignore[arg-type]
    assert facts == {
        ann.node_id: Facts(examples=30, loss=0.7, seconds=4),
        bob.node_id: Facts(examples=10, loss=0.5, seconds=10),  # its train_loss, for want of an eval_loss
        cat.node_id: Facts(seconds=200, rate=5),
    }
    assert len(statements) == 2
    async with shared.database.read() as connection:
        assert (await facts_about(connection, shared.liveness, task, 102, list(nodes)))[ann.node_id] == Facts()


@pytest.mark.parametrize("selection", ["examples", "speed", "power_of_choice"])
async def test_every_strategy_runs_rounds(world: World, selection: str) -> None:
    task, nodes = await three(world, rounds=4, cohort={"size": 2, "min_nodes": 3, "selection": selection})
    for number in range(1, 5):
        for node in nodes.values():
            await node.ask(task)
        drawn = await cohort(world, task, number)
        assert len(set(drawn)) == 2
        for member in drawn:
            await nodes[member].submit(task, number, 0.1)
        await world.review()
    assert (await world.federation.views.task(task, private=True))["state"] == "finished"


async def test_the_view_of_members_counts_each_nodes_part(world: World) -> None:
    task, nodes = await three(world, cohort={"size": 2, "min_nodes": 3, "over_selection": 1.5, "quorum": 1})
    ann, bob, cat = nodes.values()
    await ann.submit(task, 1, 1.0, examples=30), await bob.submit(task, 1, 1.0, examples=10)
    await world.review()  # cat was surplus
    for node in nodes.values():
        await node.ask(task)
    await ann.submit(task, 2, 1.0)
    await world.pass_time(101)  # bob and cat drop out
    members = {
        member["node_id"]: [member[name] for name in ("selected", "delivered", "dropped_out", "weight_share")]
        for member in (await world.federation.views.task(task, private=True))["nodes"]
    }
    assert members == {
        ann.node_id: [2, 2, 0, pytest.approx(1.75 / 2)],
        bob.node_id: [2, 1, 1, pytest.approx(0.25 / 2)],
        cat.node_id: [2, 0, 1, 0.0],
    }
    fairness = [row["value"] for row in await world.federation.views.metrics(task) if "fairness" in row["name"]]
    assert fairness == [pytest.approx(2 / 3), pytest.approx(9 / 15)], "of 1, 1, 0 and of 2, 1, 0"
    assert "nodes" not in await world.federation.views.task(task, private=False)


async def test_a_member_that_was_never_selected_has_no_part(world: World) -> None:
    task = await world.task(cohort={"size": 1})
    ann, bob = await world.node("ann"), await world.node("bob")
    await ann.ask(task), await bob.ask(task)
    parts = {m["node_id"]: m["selected"] for m in (await world.federation.views.task(task, private=True))["nodes"]}
    assert parts == {ann.node_id: 1, bob.node_id: 0}


async def test_a_round_that_was_cancelled_is_nobodys_drop_out(world: World) -> None:
    task, _ = await three(world, cohort={"size": 3})
    await world.federation.tasks.control(task, "cancel", version=None, actor="test")
    members = (await world.federation.views.task(task, private=True))["nodes"]
    assert [(member["selected"], member["dropped_out"]) for member in members] == [(1, 0)] * 3
