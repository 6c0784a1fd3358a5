"""SCAFFOLD on the server: whose c is in which version, and which of a node's variates counts."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from world import Clock, Node, World, open_world

from federation.errors import ErrorCode, Refused
from federation.store.tables import events, model_versions, rounds
from federation.weights import load

pytestmark = pytest.mark.anyio

TASK: dict[str, Any] = {
    "aggregation": {"rule": "scaffold"},
    "training": {"learning_rate": 0.5},
    "cohort": {"size": 2, "min_nodes": 2, "quorum": 2},
    "rounds": 6,
}


async def three(world: World) -> list[Node]:
    return [await world.node(name) for name in ("ann", "bob", "cai")]


async def control(node: Node, task: str) -> dict[str, Any]:
    """What the node is told of control variates with its work."""
    assignment = await node.ask(task)
    assert assignment.action == "train", assignment
    assert assignment.model is not None
    found: dict[str, Any] = assignment.model["control"]
    return found


def c_of(world: World, told: dict[str, Any]) -> torch.Tensor:
    if "sha256" not in told:
        return torch.zeros(3)
    path = world.federation.shared.spool.path(told["sha256"])
    assert path.stat().st_size == told["size"]
    return load(path)["c/w"].clone()


async def bring(
    world: World, node: Node, task: str, delta: float, *, lost: bool = False, times: int = 1
) -> dict[str, Any]:
    """An honest update of one step; what the node was told."""
    assignment = await node.ask(task)
    assert assignment.model is not None
    assert assignment.round is not None
    told: dict[str, Any] = assignment.model["control"]
    aux = {"w": -c_of(world, told) - torch.full((3,), delta) / 0.5}
    prepared = await node.prepared(task, assignment.round, delta, base=assignment.model["version"], aux=aux)
    prepared.metrics.update({"variate_lost": 1.0} if lost else {})
    for _ in range(times):
        await world.federation.submissions.submit(node.row, prepared)
    return told


async def play(world: World, task: str, deltas: dict[Node, float]) -> None:
    """One round with these nodes."""
    for node in deltas:
        await node.ask(task)
    for node, delta in deltas.items():
        await bring(world, node, task, delta)
    await world.review()


async def versions(world: World) -> list[dict[str, Any]]:
    async with world.federation.shared.database.read() as connection:
        query = model_versions.select().order_by(model_versions.c.version)
        return [dict(row) for row in (await connection.execute(query)).mappings()]


async def joined(world: World, task: str, *nodes: Node) -> None:
    for node in nodes:
        await node.ask(task)


async def test_c_is_kept_with_the_version_and_comes_with_the_next_assignment(world: World) -> None:
    task = await world.task(**TASK)
    ann, bob, _ = await three(world)
    await joined(world, task, ann, bob)
    assert await control(ann, task) == {}, "before the first round c is zero, and no file says so"
    await play(world, task, {ann: 0.25, bob: 0.75})
    told = await control(ann, task)
    # Δc = -0.25 / 0.5 and -0.75 / 0.5, c = (-0.5 - 1.5) / 2
    assert c_of(world, told).tolist() == [-1.0] * 3
    assert told["uri"] == f"potluck://blobs/{told['sha256']}/0"
    assert told["url"].startswith("raw/blobs/")
    assert told["counted"]["round"] == 1
    assert told["counted"]["sha256"] != (await control(bob, task))["counted"]["sha256"]
    data, of = await world.federation.models.piece(told["sha256"], 0)
    assert (len(data), of) == (told["size"], task)
    await play(world, task, {ann: -0.5, bob: 0.5})
    # Δc = 1 + 1 and 1 - 1, c = -1 + (2 + 0) / 2; the weights: 0.5 + 0
    assert c_of(world, await control(ann, task)).tolist() == [0.0] * 3
    assert (await world.weights(task)).tolist() == [0.5] * 3


async def test_the_same_bits_whoever_comes_first_and_however_often_the_server_starts(tmp_path: Path) -> None:
    found = []
    for way in ("straight", "reversed", "restarted"):
        clock, made = Clock(), []
        folder = tmp_path / way
        async with open_world(folder, clock) as world:
            task = await world.task(**TASK | {"cohort": {"size": 3, "min_nodes": 3, "quorum": 3}})
            nodes = await three(world)
            await joined(world, task, *nodes)
        for number in (1, 2, 3):
            async with open_world(folder, clock) as world:
                nodes = await three(world)
                await joined(world, task, *nodes)
                order = [0, 1, 2] if way == "straight" else [2, 1, 0]
                for place in order:
                    if way == "restarted" and place == 0:
                        break
                    await bring(world, nodes[place], task, 0.1 * (place + 1) / number)
                if way != "restarted":
                    await world.review()
            if way == "restarted":  # it dies with the round half full
                async with open_world(folder, clock) as world:
                    nodes = await three(world)
                    await joined(world, task, *nodes)
                    await bring(world, nodes[0], task, 0.1 / number)
                    await world.review()
        async with open_world(folder, clock) as world:
            made = [(row["sha256"], row["state_sha256"]) for row in await versions(world)]
        found.append(made)
    assert found[0] == found[1] == found[2]
    assert len(set(found[0])) == 4


async def test_a_void_round_leaves_the_variates_of_the_round_before_in_force(world: World) -> None:
    task = await world.task(**TASK)
    ann, bob, _ = await three(world)
    await joined(world, task, ann, bob)
    await play(world, task, {ann: 0.25, bob: 0.75})
    before = await control(ann, task)
    await control(bob, task)
    await bring(world, ann, task, 3.0)
    await world.pass_time(101)
    assert (await world.round(task, 2))["state"] == "void"
    await joined(world, task, ann, bob)
    after = await control(ann, task)
    assert after == before, "the update of the void round is in no c"


async def test_a_roll_back_takes_c_back_and_what_counts_of_each_node(world: World) -> None:
    task = await world.task(**TASK, keep_rounds=5)
    ann, bob, _ = await three(world)
    await joined(world, task, ann, bob)
    for number in (1, 2, 3):
        await play(world, task, {ann: 0.25 * number, bob: 0.5})
        await joined(world, task, bob, ann)
        if number == 1:
            first = {node: await control(node, task) for node in (ann, bob)}
    await world.federation.tasks.control(task, "pause", version=None, actor="test")
    await bring(world, ann, task, 0.1), await bring(world, bob, task, 0.1)
    await world.review()
    await world.federation.tasks.control(task, "roll_back", version=1, actor="test")
    await world.federation.tasks.control(task, "resume", version=None, actor="test")
    await joined(world, task, ann, bob)
    assert {node: await control(node, task) for node in (ann, bob)} == first
    await play(world, task, {ann: 1.0, bob: 1.0})
    await joined(world, task, ann, bob)
    assert (await control(ann, task))["counted"]["round"] == 5
    made = await versions(world)
    assert [row["parent"] for row in made] == [None, 0, 1, 2, 3, 1]
    assert {row["state_since"] for row in made[1:]} == {1}


async def test_after_a_roll_back_to_a_version_whose_state_is_gone_all_variates_are_zero(world: World) -> None:
    task = await world.task(**TASK, keep_rounds=0)
    ann, bob, _ = await three(world)
    await joined(world, task, ann, bob)
    await play(world, task, {ann: 0.25, bob: 0.5})
    await joined(world, task, ann, bob)
    await world.federation.tasks.control(task, "pause", version=None, actor="test")
    await bring(world, ann, task, 0.1), await bring(world, bob, task, 0.1)
    await world.review()
    await world.federation.tasks.control(task, "roll_back", version=1, actor="test")
    await world.federation.tasks.control(task, "resume", version=None, actor="test")
    await joined(world, task, ann, bob)
    assert await control(ann, task) == {}
    await play(world, task, {ann: 0.5, bob: 0.5})
    await joined(world, task, ann, bob)
    told = await control(ann, task)
    assert told["counted"]["round"] == 3
    assert c_of(world, told).tolist() == [-1.0] * 3
    assert (await versions(world))[-1]["state_since"] == 3


async def test_a_node_that_has_delivered_nothing_is_told_of_no_variate_and_counts_in_n(world: World) -> None:
    task = await world.task(**TASK)
    ann, bob, cai = await three(world)
    await joined(world, task, ann, bob)
    await joined(world, task, cai)  # after the cohort is drawn: not a client of this round
    await play(world, task, {ann: 0.25, bob: 0.75})
    async with world.federation.shared.database.read() as connection:
        assert [row.clients for row in await connection.execute(rounds.select().order_by(rounds.c.round))] == [2, None]
    told = {}
    for _ in range(2):
        for node in (ann, bob, cai):
            assignment = await node.ask(task)
            if assignment.action == "train" and assignment.model is not None:
                told[node] = assignment.model["control"]
    assert len(told) == 2
    assert all(("counted" in each) == (node is not cai) for node, each in told.items())
    for node in told:
        await bring(world, node, task, 0.0)
    await world.review()
    state = load(world.federation.shared.spool.path(str((await versions(world))[-1]["state_sha256"])))
    # c was -1 of two; of three it is -2/3, and two of them take 1 off it: -2/3 + 2/3
    assert int(state["clients"]) == 3
    assert state["c/w"].tolist() == pytest.approx([0.0] * 3, abs=1e-6)


async def test_a_lost_variate_is_an_event_a_line_in_the_log_and_seen_in_the_task(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    task = await world.task(**TASK)
    ann, bob, _ = await three(world)
    await joined(world, task, ann, bob)
    await play(world, task, {ann: 0.25, bob: 0.75})
    await joined(world, task, ann, bob)
    with caplog.at_level(logging.WARNING):
        await bring(world, ann, task, 0.5, lost=True, times=2)
    assert f"{ann.node_id} has lost its control variate of task {task}" in caplog.text
    await bring(world, bob, task, 0.5)
    await world.review()
    view = await world.federation.views.task(task, private=True)
    assert {node["node_id"]: node.get("variates_lost") for node in view["nodes"]} == {
        ann.node_id: 1,
        bob.node_id: None,
    }
    updates = (await world.round(task, 2))["updates"]
    assert {each["node_id"]: each["metrics"].get("variate_lost") for each in updates} == {
        ann.node_id: 1.0,
        bob.node_id: None,
    }
    async with world.federation.shared.database.read() as connection:
        found = await connection.execute(events.select().where(events.c.kind == "variate_lost"))
        assert [(row.task_id, row.actor, row.detail["round"]) for row in found] == [(task, ann.node_id, 2)]


async def test_an_update_may_be_twice_the_model_where_it_has_a_second_set_and_nowhere_else(world: World) -> None:
    room = world.federation.limits.header_allowance
    sizes = {}
    for rule in ("fedavg", "scaffold"):
        task = await world.task(**TASK | {"aggregation": {"rule": rule}, "name": rule})
        ann, bob, _ = await three(world)
        await joined(world, task, ann, bob)
        model = (await ann.ask(task)).model
        assert model is not None
        sizes[rule] = model["size"] + room + (12 if rule == "scaffold" else 0)
        begin = {"number": 1, "base_version": 0, "sha256": "0" * 64}
        await world.federation.uploads.begin(ann.node_id, task, size=sizes[rule], **begin)
        with pytest.raises(Refused) as caught:
            await world.federation.uploads.begin(ann.node_id, task, size=sizes[rule] + 1, **begin)
        assert caught.value.code is ErrorCode.TOO_LARGE
        assert ("aux/<name>" in caught.value.mend) == (rule == "scaffold")


async def test_the_norms_bound_is_of_the_delta_alone_and_bounds_the_variate_through_it(world: World) -> None:
    bound = {"aggregation": {"rule": "scaffold", "max_update_norm": 1.0}}
    task = await world.task(**TASK | bound)
    ann, bob, _ = await three(world)
    await joined(world, task, ann, bob)
    await bring(world, ann, task, 0.5)  # |Δ| = 0.87, |Δc| = 1.73
    with pytest.raises(Refused, match="exceeds the task's bound"):
        await bring(world, bob, task, 0.6)
    long = await bob.prepared(task, 1, 0.1, aux={"w": torch.full((3,), -3.0)})
    with pytest.raises(Refused, match="'aux/w' is not the change") as caught:
        await world.federation.submissions.submit(bob.row, long)
    assert caught.value.code is ErrorCode.BAD_UPDATE
    await bring(world, bob, task, 0.1)
    await world.review()
    assert (await world.round(task, 1))["state"] == "closed"


async def test_no_state_but_scaffolds_can_be_read(world: World) -> None:
    task = await world.task(aggregation={"rule": "fedavgm"})
    ann, bob, _ = await three(world)
    await joined(world, task, ann, bob)
    await ann.submit(task, 1, 0.5)
    await bob.submit(task, 1, 0.5)
    await world.review()
    state = (await versions(world))[-1]["state_sha256"]
    with pytest.raises(Refused, match="no model version has this hash"):
        await world.federation.models.piece(state, 0)
