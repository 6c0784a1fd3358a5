"""Connections that break off at any moment: an update is there whole and once, or not at all, and a retry mends it."""

from __future__ import annotations

import asyncio
import base64
import os
import random
from typing import Any

import pytest
from sqlalchemy import select

from federation.store.tables import assignments, updates
from tests.mcp_server.raw_node import RawNode, cohort, enrolled, packed, sha256
from tests.mcp_server.running import Served
from tests.mcp_server.wire import request, send_and_hang_up, tool_call, until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]
MANY = 200


def in_flight(served: Served) -> list[str]:
    """Files on their way to become a blob."""
    return [path.name for path in (served.data_dir / "spool" / "incoming").iterdir()]


def submission(node: RawNode, data: bytes) -> bytes:
    """submit_update with the bytes in it, as it goes over the wire."""
    arguments = {"inline_b64": base64.b64encode(data).decode()} | node.submission(data)
    who = {"node_id": node.node_id, "node_token": node.node_token}
    return tool_call(node.served, node.rpc, "submit_update", who | arguments)


async def accepted(served: Served, task_id: str) -> dict[str, dict[str, Any]]:
    """The updates of a task by node."""
    async with served.federation.shared.database.read() as connection:
        rows = await connection.execute(select(updates).where(updates.c.task_id == task_id))
        return {str(row["node_id"]): dict(row) for row in rows.mappings()}


async def who_has_submitted(served: Served, task_id: str) -> set[str]:
    """The nodes whose assignment says that they have."""
    mine = (assignments.c.task_id == task_id) & assignments.c.submitted_at.is_not(None)
    async with served.federation.shared.database.read() as connection:
        return set((await connection.scalars(select(assignments.c.node_id).where(mine))).all())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
async def test_an_upload_that_is_torn_leaves_nothing_and_can_be_repeated(served: Served, share: float) -> None:
    node, _ = await cohort(served)
    data = packed(value=share + 0.1)
    begun = await node.begin(data)
    whole = request(served, "PUT", f"/{begun['url']}", {}, data)
    await send_and_hang_up(served, whole[: len(whole) - len(data) + int(share * len(data))])
    await until(lambda: not in_flight(served))
    assert not served.federation.shared.spool.has(sha256(data))
    assert not (await node.begin(data))["received"]
    await node.put(begun["url"], data)
    assert (await node.submit(data, begun["upload_id"]))["receipt"]["sha256"] == sha256(data)


async def test_an_upload_whose_answer_is_lost_is_there(served: Served) -> None:
    node, _ = await cohort(served)
    data = packed(value=2.5)
    begun = await node.begin(data)
    await send_and_hang_up(served, request(served, "PUT", f"/{begun['url']}", {}, data))
    await until(lambda: not in_flight(served))
    await node.put(begun["url"], data)
    await node.submit(data, begun["upload_id"])
    assert len(await accepted(served, node.task_id)) == 1


async def test_an_answer_that_is_dropped_after_the_commit_is_given_again_and_counts_once(served: Served) -> None:
    node, _ = await cohort(served)
    data = packed(value=1.0)
    told = asyncio.Event()
    served.federation.shared.notices.listen(lambda topic, subject: told.set() if subject == node.task_id else None)
    told.clear()
    host, port = served.host.split(":")
    _, writer = await asyncio.open_connection(host, port)
    writer.write(submission(node, data))
    async with asyncio.timeout(20):
        await told.wait()  # it is committed, and nobody has read the answer
    writer.transport.abort()
    before = await accepted(served, node.task_id)
    assert list(before) == [node.node_id]
    for _ in range(2):
        receipt = (await node.submit_inline(data))["receipt"]
        assert receipt["update_id"] == before[node.node_id]["update_id"]
        assert receipt["accepted_at"] == before[node.node_id]["accepted_at"]
    assert await accepted(served, node.task_id) == before


@pytest.mark.e2e  # two hundred connections
async def test_two_hundred_nodes_that_hang_up_while_they_submit_cost_nothing(served: Served) -> None:
    chance = random.Random(7)
    task_id = await served.task(cohort={"size": MANY}, data={"id": "digits", "partition": {"parts": 8}})
    token = (await served.token("node")).secret
    nodes = [await enrolled(served, token) for _ in range(MANY)]
    for node in nodes:
        await node.join(task_id, own_data=True)
    assert nodes[-1].assignment["action"] == "train", "the last one completes the cohort"
    data = {node.node_id: packed(value=index / MANY) for index, node in enumerate(nodes)}
    requests = [submission(node, data[node.node_id]) for node in nodes]
    await asyncio.gather(*(served.state_of(task_id) for _ in range(10)))  # every connection that reads is open
    tasks, files = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))

    torn = [each[: chance.randrange(1, len(each))] if chance.random() < 0.3 else each for each in requests]
    await asyncio.gather(*(send_and_hang_up(served, each) for each in torn))
    await until(lambda: len(asyncio.all_tasks()) <= tasks, 60)

    kept = await accepted(served, task_id)
    whole = {node.node_id for node, sent, all_of in zip(nodes, torn, requests, strict=True) if sent == all_of}
    assert set(kept) <= whole, "nothing torn was accepted"
    assert await who_has_submitted(served, task_id) == set(kept), "each is wholly there or not at all"
    for node_id, row in kept.items():
        assert served.federation.shared.spool.path(row["sha256"]).read_bytes() == data[node_id]

    receipts = {node.node_id: (await node.submit_inline(data[node.node_id]))["receipt"] for node in nodes}
    after = await accepted(served, task_id)
    assert {node_id: row["update_id"] for node_id, row in after.items()} == {
        node_id: receipt["update_id"] for node_id, receipt in receipts.items()
    }
    assert {node_id: after[node_id] for node_id in kept} == kept, "what was there stays as it was"
    await served.close_due_rounds()
    assert (await served.state_of(task_id))["rounds"][0]["submitted"] == MANY
    await until(lambda: len(asyncio.all_tasks()) <= tasks and len(os.listdir("/proc/self/fd")) < files + 10)
    assert in_flight(served) == []
