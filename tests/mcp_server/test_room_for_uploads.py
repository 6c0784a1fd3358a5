"""One node does not fill the disk: what it may announce, for how many bytes, and how often at once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.mcp_server.bare import bare, head
from tests.mcp_server.raw_node import cohort, packed, sha256
from tests.mcp_server.refusals import refused
from tests.mcp_server.running import Served, serving

pytestmark = pytest.mark.anyio
MIB = 1 << 20
LARGEST = MIB + 2_752  # the model's file, and what an update's may exceed it by


def announced(number: int) -> str:
    return sha256(str(number).encode())


async def test_a_node_announces_at_most_four_times_the_largest_update(served: Served) -> None:
    node, other = await cohort(served)
    for number in range(4):
        await node.begin(b"", sha256=announced(number), size=LARGEST)
    async with refused(served, "upload_conflict", says=f"{4 * LARGEST} bytes"):
        await node.begin(b"", sha256=announced(4), size=1)
    again = await node.begin(b"", sha256=announced(0), size=LARGEST)
    assert again["upload_id"].startswith("up-"), "the same announcement again is not another one"
    assert (await other.begin(packed()))["next_offset"] == 0


async def test_an_announcement_that_was_refused_for_its_bytes_makes_room_for_a_better_one(served: Served) -> None:
    node, _ = await cohort(served)
    for attempt in range(12):
        bad = bytes([attempt]) * LARGEST
        begun = await node.begin(bad)
        await node.put(begun["url"], bad)
        async with refused(served, "bad_update", touches={"uploads"}, frees=True):
            await node.submit(bad, begun["upload_id"])
    assert (await node.deliver(packed(value=1.0)))["receipt"]["round"] == 1


async def test_what_a_node_left_lying_goes_when_it_announces_anew(served: Served) -> None:
    node, other = await cohort(served)
    left = packed(value=1.0) + bytes(1_000)
    for number in range(4):
        begun = await node.begin(b"", sha256=announced(100 + number), size=LARGEST)
        await node.chunk(begun["upload_id"], 0, left)
    theirs = await other.begin(b"", sha256=announced(200), size=LARGEST)
    await other.chunk(theirs["upload_id"], 0, left)
    before = await served.snapshot()
    with served.clock.later(3_601):
        assert (await node.begin(packed(value=2.0)))["next_offset"] == 0
        gone = before.files.keys() - (await served.snapshot()).files.keys()
        assert len(gone) == 4
        assert all(theirs["upload_id"] not in name for name in gone)


async def test_a_node_has_a_share_of_the_quota_over_all_its_tasks(tmp_path: Path) -> None:
    async with serving(tmp_path, quota_bytes=20 * MIB, node_quota_share=0.1) as served:
        (node,) = await cohort(served, 1)
        await node.begin(b"", sha256=announced(0), size=LARGEST)
        await node.join(await served.task(cohort={"size": 1}))
        await node.join(node.task_id)
        async with refused(served, "storage_full", says="share"):
            await node.begin(b"", sha256=announced(1), size=LARGEST)
        await node.begin(b"", sha256=announced(2), size=MIB - 10_000)
        (other,) = await cohort(served, 1)
        await other.begin(b"", sha256=announced(0), size=LARGEST)


async def test_one_upload_is_not_sent_many_times_at_once(served: Served) -> None:
    (node,) = await cohort(served, 1)
    data = packed(value=5.0)
    url = (await node.begin(data))["url"]
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(bare(served.base)) for _ in range(4)]
        for line in lines:
            await line.send(head("PUT", f"/{url}", f"Content-Length: {len(data)}"), data[:-1])
        async with asyncio.timeout(10):
            while len(list((served.data_dir / "spool" / "incoming").glob("*.raw"))) < 4:
                await asyncio.sleep(0.01)
        answer = await served.http.put(f"/{url}", content=data)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limited")
        assert answer.headers["retry-after"] == "5"
        for line in lines:
            await line.send(data[-1:])
            assert (await line.answer()).status == 200
    assert (await node.put(url, data))["size"] == len(data)
