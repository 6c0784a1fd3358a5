"""The life of a round in the coordinator: selection, quorum, deadline, leases, lineage."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import torch
from world import Clock, World, open_world

from federation.coordinator.records import get_round
from federation.errors import ErrorCode, Refused

pytestmark = pytest.mark.anyio


async def test_a_round_waits_for_its_nodes_then_selects_both(world: World) -> None:
    task = await world.task()
    ann, bob = await world.node("ann"), await world.node("bob")
    assert (await ann.ask(task)).action == "wait"
    assert (await bob.ask(task)).action == "train"
    assert (await ann.ask(task)).action == "train"
    assert [member["node_id"] for member in (await world.round(task, 1))["cohort"]] == sorted(
        [ann.node_id, bob.node_id]
    )


async def test_the_model_moves_by_the_mean_weighted_by_examples(world: World) -> None:
    task = await world.task()
    ann, bob = await world.node("ann"), await world.node("bob")
    await ann.ask(task), await bob.ask(task)
    await ann.submit(task, 1, 1.0, examples=30)
    await world.review()
    assert (await world.round(task, 1))["state"] == "collecting"
    await bob.submit(task, 1, -1.0, examples=10)
    await world.review()
    done = await world.round(task, 1)
    assert (done["state"], done["version"], done["accuracy"]) == ("closed", 1, pytest.approx(0.5))
    torch.testing.assert_close(await world.weights(task), torch.full((3,), 0.5))
    assert {update["node_id"]: update["weight"] for update in done["updates"]} == {ann.node_id: 0.75, bob.node_id: 0.25}


async def test_a_version_knows_its_parent_and_the_updates_that_made_it(world: World) -> None:
    task = await world.task()
    ann, bob = await world.node("ann"), await world.node("bob")
    await ann.ask(task), await bob.ask(task)
    receipts = [await ann.submit(task, 1, 1.0), await bob.submit(task, 1, 2.0)]
    await world.review()
    lineage = await world.federation.views.version(task, 1)
    assert (lineage["parent"], lineage["round"], lineage["rule"]) == (0, 1, "fedavg")
    assert {update["update_id"] for update in lineage["made_of"]} == {receipt.update_id for receipt in receipts}
    assert {update["sha256"] for update in lineage["made_of"]} == {receipt.sha256 for receipt in receipts}


async def test_a_round_under_its_quorum_is_void_at_the_deadline_and_the_model_stays(world: World) -> None:
    task = await world.task(cohort={"size": 2, "quorum": 2})
    ann, bob = await world.node("ann"), await world.node("bob")
    await ann.ask(task), await bob.ask(task)
    await ann.submit(task, 1, 1.0)
    await world.pass_time(99)
    assert (await world.round(task, 1))["state"] == "collecting"
    await world.pass_time(1)
    void = await world.round(task, 1)
    assert (void["state"], void["version"]) == ("void", None)
    assert "1 of the 2 updates" in void["reason"]
    view = await world.federation.views.task(task, private=True)
    assert (view["version"], view["round"], view["rounds"][1]["base_version"]) == (0, 2, 0)


async def test_a_round_with_its_quorum_closes_at_the_deadline_without_the_rest(world: World) -> None:
    task = await world.task(cohort={"size": 2, "quorum": 1}, lease_s=1000)
    ann, bob = await world.node("ann"), await world.node("bob")
    await ann.ask(task), await bob.ask(task)
    await ann.submit(task, 1, 1.0)
    await world.pass_time(50)
    assert (await world.round(task, 1))["state"] == "collecting"
    await world.pass_time(50)
    assert (await world.round(task, 1))["state"] == "closed"
    with pytest.raises(Refused) as late:
        await bob.submit(task, 1, 2.0)
    assert late.value.code is ErrorCode.ROUND_CLOSED


async def test_a_round_does_not_wait_for_nodes_whose_lease_ran_out(world: World) -> None:
    task = await world.task(cohort={"size": 2, "quorum": 1})
    ann, bob = await world.node("ann"), await world.node("bob")
    await ann.ask(task), await bob.ask(task)
    await ann.submit(task, 1, 1.0)
    await world.pass_time(19)
    await world.federation.reports.progress(bob.row, task, 1, {"step": 1})
    await world.pass_time(19)
    assert (await world.round(task, 1))["state"] == "collecting", "the heartbeat extended the lease"
    await world.pass_time(2)
    assert (await world.round(task, 1))["state"] == "closed"


async def test_a_node_that_says_goodbye_is_not_waited_for(world: World) -> None:
    task = await world.task(cohort={"size": 2, "quorum": 1})
    ann, bob = await world.node("ann"), await world.node("bob")
    await ann.ask(task), await bob.ask(task)
    await ann.submit(task, 1, 1.0)
    await world.federation.reports.leaving(bob.row, task)
    await world.review()
    assert (await world.round(task, 1))["state"] == "closed"


async def test_over_selection_asks_more_nodes_and_takes_the_first_that_deliver(world: World) -> None:
    task = await world.task(cohort={"size": 2, "min_nodes": 3, "over_selection": 1.5})
    nodes = [await world.node(name) for name in ("ann", "bob", "cat")]
    for node in nodes:
        await node.ask(task)
    selected = await world.round(task, 1)
    assert (len(selected["cohort"]), selected["wanted"]) == (3, 2)
    await nodes[0].submit(task, 1, 1.0)
    await nodes[2].submit(task, 1, 3.0)
    await world.review()
    assert (await world.round(task, 1))["state"] == "closed"
    torch.testing.assert_close(await world.weights(task), torch.full((3,), 2.0))


async def test_the_order_of_arrival_does_not_change_a_bit(tmp_path: Path) -> None:
    hashes = set()
    for number, order in enumerate(([0, 1, 2], [2, 0, 1], [1, 2, 0])):
        async with open_world(tmp_path / str(number)) as world:
            task = await world.task(cohort={"size": 3})
            nodes = [await world.node(name) for name in ("ann", "bob", "cat")]
            for node in nodes:
                await node.ask(task)
            for index in order:
                await nodes[index].submit(task, 1, 0.1 * (index + 1), examples=3 + index)
            await world.review()
            hashes.add((await world.federation.models.version(task, 1))[1].sha256)
    assert len(hashes) == 1


async def test_an_update_submitted_twice_gets_the_same_receipt_and_counts_once(world: World) -> None:
    task = await world.task()
    ann, bob = await world.node("ann"), await world.node("bob")
    await ann.ask(task), await bob.ask(task)
    first = await ann.submit(task, 1, 1.0)
    world.clock.now += 5
    assert await ann.submit(task, 1, 1.0) == first
    await bob.submit(task, 1, 3.0)
    await world.review()
    assert await ann.submit(task, 1, 1.0) == first, "even when the round is closed"
    torch.testing.assert_close(await world.weights(task), torch.full((3,), 2.0))


async def test_a_finished_task_asks_its_nodes_to_score_the_final_model_once(world: World) -> None:
    task = await world.task(rounds=1)
    ann, bob = await world.node("ann"), await world.node("bob")
    await ann.ask(task), await bob.ask(task)
    await ann.submit(task, 1, 1.0), await bob.submit(task, 1, 1.0)
    await world.review()
    assert (await ann.ask(task)).action == "evaluate"
    for node, accuracy, examples in ((ann, 0.5, 30.0), (bob, 0.9, 10.0)):
        scores = {"eval_accuracy": accuracy, "eval_loss": 1.0, "eval_examples": examples}
        await world.federation.reports.evaluation(node.row, task, version=1, scores=scores)
        assert (await node.ask(task)).action == "finished"
    view = await world.federation.views.task(task, private=True)
    assert view["rounds"][0]["node_accuracy"] == pytest.approx(0.6), "weighted by held-out examples"


async def test_a_restarted_server_finds_a_round_that_was_being_aggregated_and_ends_it(tmp_path: Path) -> None:
    clock = Clock()
    async with open_world(tmp_path, clock) as world:
        task = await world.task(rounds=1)
        ann, bob = await world.node("ann"), await world.node("bob")
        await ann.ask(task), await bob.ask(task)
        await ann.submit(task, 1, 1.0), await bob.submit(task, 1, 2.0)
        current = (await world.federation.views.task(task, private=False))["rounds"][0]
        assert current["state"] == "collecting"
        async with world.federation.shared.database.read() as connection:
            claimed = await get_round(connection, task, 1)
        assert await world.federation.closer._claim(claimed)
        assert not await world.federation.closer._claim(claimed), "a round is claimed once"
    async with open_world(tmp_path, clock) as world:
        assert (await world.round(task, 1))["state"] == "aggregating"
        await world.review()
        assert (await world.round(task, 1))["state"] == "closed"
        torch.testing.assert_close(await world.weights(task), torch.full((3,), 1.5))


async def test_leases_count_from_the_restart_of_the_server(tmp_path: Path) -> None:
    clock = Clock()
    async with open_world(tmp_path, clock) as world:
        task = await world.task(cohort={"size": 2, "quorum": 1}, deadline_s=1000)
        ann, bob = await world.node("ann"), await world.node("bob")
        await ann.ask(task), await bob.ask(task)
        await ann.submit(task, 1, 1.0)
    clock.now += 500
    async with open_world(tmp_path, clock) as world:
        await world.review()
        assert (await world.round(task, 1))["state"] == "collecting"
        await world.pass_time(21)
        assert (await world.round(task, 1))["state"] == "closed"


async def test_a_long_poll_wakes_when_the_round_opens(world: World) -> None:
    task = await world.task()
    ann, bob = await world.node("ann"), await world.node("bob")
    waiting = asyncio.create_task(ann.ask(task, wait_s=30))
    await asyncio.sleep(0)
    await bob.ask(task)
    async with asyncio.timeout(5):
        assert (await waiting).action == "train"


async def test_update_blobs_are_kept_for_keep_rounds_and_their_hashes_for_ever(world: World) -> None:
    task = await world.task(cohort={"size": 1}, keep_rounds=1, rounds=4)
    ann = await world.node("ann")
    receipts = []
    for number in (1, 2, 3):
        await ann.ask(task)
        receipts.append(await ann.submit(task, number, float(number)))
        await world.review()
    spool = world.federation.shared.spool
    assert [spool.has(receipt.sha256) for receipt in receipts] == [False, False, True]
    assert (await world.round(task, 1))["updates"][0]["sha256"] == receipts[0].sha256
