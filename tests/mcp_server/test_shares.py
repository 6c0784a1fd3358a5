"""Shares of the training set: one node each, so that no example is trained on twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.mcp_server.raw_node import enrolled
from tests.mcp_server.refusals import refused
from tests.mcp_server.rpc import Refusal
from tests.mcp_server.running import Served

pytestmark = pytest.mark.anyio
OWN = {"data": {"id": "own", "input_shape": [64], "num_classes": 10}, "evaluation": {"server": False}}


async def test_each_node_gets_a_share_of_its_own_and_keeps_it(served: Served) -> None:
    nodes = [await enrolled(served) for _ in range(3)]
    task_id = await served.task(cohort={"size": 4})
    for _ in range(2):
        assert [(await node.join(task_id))["partition_index"] for node in nodes] == [0, 1, 2]


async def test_nodes_that_come_at_once_get_shares_of_their_own(served: Served) -> None:
    nodes = [await enrolled(served) for _ in range(6)]
    task_id = await served.task(cohort={"size": 9})
    answers = await asyncio.gather(*(node.join(task_id) for node in nodes))
    assert sorted(answer["partition_index"] for answer in answers) == list(range(6))


async def test_a_share_that_another_node_holds_is_refused(served: Served) -> None:
    one, other = await enrolled(served), await enrolled(served)
    task_id = await served.task()
    await one.join(task_id, partition_index=3)
    async with refused(served, "partition_taken", says="another node"):
        await other.join(task_id, partition_index=3)
    assert (await other.join(task_id, partition_index=4))["partition_index"] == 4
    async with refused(served, "partition_taken"):
        await other.join(task_id, partition_index=3)


async def test_more_nodes_than_shares_are_refused(served: Served) -> None:
    nodes = [await enrolled(served) for _ in range(3)]
    task_id = await served.task(data={"id": "digits", "partition": {"parts": 2}}, cohort={"size": 3})
    for node in nodes[:2]:
        await node.join(task_id)
    async with refused(served, "partition_taken", says="all 2 shares"):
        await nodes[2].join(task_id)


async def test_the_share_of_a_node_that_left_goes_to_the_next(served: Served) -> None:
    one, other = await enrolled(served), await enrolled(served)
    task_id = await served.task(data={"id": "digits", "partition": {"parts": 1}})
    await one.join(task_id)
    await one.call("report_progress", task_id=task_id, round=1, phase="leaving")
    assert (await other.join(task_id))["partition_index"] == 0
    async with refused(served, "partition_taken"):
        await one.join(task_id)


@pytest.mark.parametrize("index", [8, 9_999])
async def test_a_share_beyond_the_last_is_refused(served: Served, index: int) -> None:
    node, task_id = await enrolled(served), await served.task()
    async with refused(served, "invalid_argument", says="0..7"):
        await node.join(task_id, partition_index=index)


@pytest.mark.parametrize(
    "changes", [{"partition_index": -1}, {"partition_index": 10_001}, {"wait_s": 31}, {"wait_s": -1}], ids=str
)
async def test_arguments_out_of_their_bounds_are_refused(served: Served, changes: dict[str, Any]) -> None:
    node, task_id = await enrolled(served), await served.task()
    async with refused(served, "invalid_argument", says=next(iter(changes))):
        await node.join(task_id, **changes)


async def test_a_share_and_data_of_ones_own_exclude_each_other(served: Served) -> None:
    node, task_id = await enrolled(served), await served.task()
    async with refused(served, "invalid_argument", says="own_data"):
        await node.join(task_id, partition_index=0, own_data=True)


async def test_they_exclude_each_other_for_a_member_too(served: Served) -> None:
    node, task_id = await enrolled(served), await served.task()
    await node.join(task_id, own_data=True)
    async with refused(served, "invalid_argument", says="own_data"):
        await node.join(task_id, partition_index=0, own_data=True)


async def test_a_node_may_change_from_a_share_to_its_own_data_and_back(served: Served) -> None:
    node, task_id = await enrolled(served), await served.task()
    assert (await node.join(task_id, partition_index=5))["partition_index"] == 5
    assert "partition_index" not in await node.join(task_id, own_data=True)
    assert (await node.join(task_id))["partition_index"] == 0


async def test_a_task_without_a_data_set_takes_own_data_only(served: Served) -> None:
    node, task_id = await enrolled(served), await served.task(**OWN)
    for changes in ({}, {"partition_index": 0}):
        async with refused(served, "invalid_argument", says="no data set"):
            await node.join(task_id, **changes)
    assert (await node.join(task_id, own_data=True))["action"] == "wait"


@pytest.mark.parametrize(
    ("task_id", "code"),
    [
        ("task-aaaaaaaaaaaaaaaa", "not_found"),
        ("../../etc/passwd", "invalid_argument"),
        ("task-aaaaaaaaaaaaaaaa\n", "invalid_argument"),
        ("TASK-AAAAAAAAAAAAAAAA", "invalid_argument"),
        ("", "invalid_argument"),
        ("' OR 1=1 --", "invalid_argument"),
    ],
)
async def test_a_task_that_does_not_exist_is_refused(served: Served, task_id: str, code: str) -> None:
    node = await enrolled(served)
    async with refused(served, code, says="task"):
        await node.join(task_id)


@pytest.mark.parametrize("node_id", ["../../etc/passwd", "node-aaaaaaaaaaaaaaaa\n", "", "node-AAAAAAAAAAAAAAAA"])
async def test_a_path_in_place_of_a_node_id_is_refused(served: Served, node_id: str) -> None:
    node, task_id = await enrolled(served), await served.task()
    async with refused(served, "invalid_argument", says="node_id"):
        await node.join(task_id, node_id=node_id)


async def test_a_cancelled_long_poll_leaves_the_server_as_able_as_before(served: Served) -> None:
    nodes = [await enrolled(served) for _ in range(3)]
    task_id = await served.task(cohort={"size": 9})
    for number in range(40):
        poll = asyncio.create_task(nodes[number % 3].join(task_id, wait_s=5))
        await asyncio.sleep(0.001 * (number % 12))
        poll.cancel()
        await asyncio.wait([poll])
    answers = await asyncio.gather(*(served.rpc().call("list_tasks") for _ in range(8)), return_exceptions=True)
    assert not any(isinstance(answer, Exception | Refusal) for answer in answers)
    assert (await nodes[0].join(task_id))["action"] == "wait"
