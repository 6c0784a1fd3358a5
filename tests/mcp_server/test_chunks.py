"""The in-band lane: chunks up through a tool, pieces down through a resource."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import pytest
from mcp_types import BlobResourceContents

from tests.mcp_server.raw_node import RawNode, cohort, packed, sha256
from tests.mcp_server.refusals import refused
from tests.mcp_server.running import Served

pytestmark = pytest.mark.anyio


@pytest.fixture
async def member(served: Served) -> RawNode:
    return (await cohort(served))[0]


async def test_a_gap_is_refused_with_the_offset_to_resume_at(served: Served, member: RawNode) -> None:
    data = packed(value=1.0)
    upload_id = (await member.begin(data))["upload_id"]
    async with refused(served, "offset_gap", says="0 bytes"):
        await member.chunk(upload_id, 1, data[1:])
    await member.chunk(upload_id, 0, data[:1000])
    async with refused(served, "offset_gap", says="1000 bytes"):
        await member.chunk(upload_id, 1001, data[1001:])
    assert (await member.begin(data))["next_offset"] == 1000


async def test_a_repeated_chunk_changes_nothing(served: Served, member: RawNode) -> None:
    data = packed(value=2.0)
    upload_id = (await member.begin(data))["upload_id"]
    for _ in range(2):
        assert (await member.chunk(upload_id, 0, data[:1000]))["next_offset"] == 1000
    before = await served.snapshot()
    assert (await member.chunk(upload_id, 300, data[300:700]))["next_offset"] == 1000
    assert (await member.chunk(upload_id, 1000, b""))["next_offset"] == 1000
    assert await served.snapshot() == before


async def test_an_overlap_that_agrees_goes_on_and_one_that_differs_is_refused(served: Served, member: RawNode) -> None:
    data = packed(value=3.0)
    upload_id = (await member.begin(data))["upload_id"]
    await member.chunk(upload_id, 0, data[:1000])
    async with refused(served, "upload_conflict", says="differs"):
        await member.chunk(upload_id, 999, bytes([data[999] ^ 1]) + data[1000:])
    end = await member.chunk(upload_id, 500, data[500:])
    assert end == {"upload_id": upload_id, "next_offset": len(data), "complete": True}


async def test_chunks_after_the_last_change_nothing_while_the_upload_is_not_committed(
    served: Served, member: RawNode
) -> None:
    data = packed(value=4.0)
    upload_id = (await member.begin(data))["upload_id"]
    assert (await member.chunk(upload_id, 0, data))["complete"]
    before = await served.snapshot()
    assert (await member.chunk(upload_id, 0, data[:10]))["complete"]
    assert await served.snapshot() == before


async def test_a_whole_with_another_hash_is_refused_and_starts_anew(served: Served, member: RawNode) -> None:
    data = packed(value=5.0)
    upload_id = (await member.begin(data))["upload_id"]
    await member.chunk(upload_id, 0, bytes(1000))
    async with refused(served, "hash_mismatch", frees=True):
        await member.chunk(upload_id, 1000, data[1000:])
    assert (await member.begin(data))["next_offset"] == 0
    assert (await member.chunk(upload_id, 0, data))["complete"]


async def test_a_chunk_past_the_announced_size_is_refused(served: Served, member: RawNode) -> None:
    data = packed(value=6.0)
    upload_id = (await member.begin(data))["upload_id"]
    async with refused(served, "too_large", says=str(len(data))):
        await member.chunk(upload_id, 0, data + b"\0")
    async with refused(served, "too_large"):
        await member.chunk(upload_id, 2**40, b"x")
    async with refused(served, "invalid_argument", says="offset"):
        await member.chunk(upload_id, -1, b"x")


@pytest.mark.parametrize(("size", "code"), [((5 << 19) + 3, "too_large"), (2_800_000, "invalid_argument")])
async def test_a_chunk_above_the_bound_is_refused(served: Served, member: RawNode, size: int, code: str) -> None:
    upload_id = (await member.begin(packed(value=6.5)))["upload_id"]
    async with refused(served, code, says="data_b64"):
        await member.chunk(upload_id, 0, bytes(size))


@pytest.mark.parametrize("text", ["!!!!", "AAA", "A", "AA==AA==x", "AAAA AAAA", "-_-_"])
async def test_a_chunk_that_is_no_base64_is_refused(served: Served, member: RawNode, text: str) -> None:
    upload_id = (await member.begin(packed(value=7.0)))["upload_id"]
    async with refused(served, "invalid_argument", says="base64"):
        await member.call("upload_chunk", upload_id=upload_id, offset=0, data_b64=text)


@pytest.mark.parametrize("text", ["é", "AAAA\u2028", "😀" * 4])
async def test_a_chunk_in_letters_outside_ascii_is_refused(served: Served, member: RawNode, text: str) -> None:
    upload_id = (await member.begin(packed(value=7.0)))["upload_id"]
    async with refused(served, "invalid_argument", says="base64"):
        await member.call("upload_chunk", upload_id=upload_id, offset=0, data_b64=text)


async def test_whoever_knows_a_hash_does_not_have_its_bytes(served: Served) -> None:
    one, other = await cohort(served)
    data = packed(value=7.5)
    await one.deliver(data)
    upload_id = (await other.begin(data))["upload_id"]
    assert not (await other.chunk(upload_id, 0, b""))["complete"]
    async with refused(served, "upload_incomplete"):
        await other.submit(data, upload_id)


async def test_a_chunk_after_the_commit_is_refused(served: Served) -> None:
    node, _ = await cohort(served)
    data = packed(value=8.0)
    begun = await node.begin(data)
    await node.chunk(begun["upload_id"], 0, data)
    await node.submit(data, begun["upload_id"])
    for again in (data, bytes(len(data))):
        async with refused(served, "upload_gone", says="committed"):
            await node.chunk(begun["upload_id"], 0, again)


async def test_a_chunk_after_the_uploads_end_is_refused_until_it_is_begun_again(
    served: Served, member: RawNode
) -> None:
    data = packed(value=9.0)
    upload_id = (await member.begin(data))["upload_id"]
    await member.chunk(upload_id, 0, data[:100])
    with served.clock.later(3601):
        async with refused(served, "upload_gone", says="expired"):
            await member.chunk(upload_id, 100, data[100:])
        assert (await member.begin(data))["next_offset"] == 100
        assert (await member.chunk(upload_id, 100, data[100:]))["complete"]


async def test_chunks_that_come_at_once_make_one_whole(served: Served, member: RawNode) -> None:
    data = packed(value=10.0)
    upload_id = (await member.begin(data))["upload_id"]
    answers = await asyncio.gather(
        *(member.chunk(upload_id, 0, data[:end]) for end in (500, len(data), 900, len(data)))
    )
    assert max(answer["next_offset"] for answer in answers) == len(data)
    assert served.federation.shared.spool.path(sha256(data)).read_bytes() == data


async def test_both_lanes_at_once_make_one_whole(served: Served, member: RawNode) -> None:
    data = packed(value=11.0)
    begun = await member.begin(data)
    await member.chunk(begun["upload_id"], 0, data[:700])
    await asyncio.gather(member.put(begun["url"], data), member.chunk(begun["upload_id"], 700, data[700:]))
    assert (await member.begin(data))["received"]
    assert served.federation.shared.spool.path(sha256(data)).read_bytes() == data


async def test_half_an_upload_is_freed_when_its_round_is_over(served: Served) -> None:
    one, other = await cohort(served)
    left = packed(value=12.0)
    upload_id = (await one.begin(left))["upload_id"]
    await one.chunk(upload_id, 0, left[:700])
    for node in (one, other):
        await node.submit_inline(packed(value=0.1))
    await served.close_due_rounds()
    assert not list((served.data_dir / "spool" / "incoming").glob(f"{upload_id}.part"))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_a_model_in_pieces_is_the_model_of_the_raw_lane(served: Served, transport: str, mode: str) -> None:
    task_id = await served.task(model={"id": "mlp", "options": {"hidden": 4096}})  # 1.2 MB: three pieces
    model = (await served.rpc().call("get_task", task_id=task_id))["model"]
    pieces = [b""]
    async with served.client(transport=transport, mode=mode) as client:
        while len(pieces) == 1 or pieces[-1]:
            uri = f"potluck://blobs/{model['sha256']}/{sum(map(len, pieces))}"
            (content,) = (await client.read_resource(uri, cache_mode="bypass")).contents
            assert isinstance(content, BlobResourceContents)
            pieces.append(base64.b64decode(content.blob))
    assert len(pieces) == 5
    assert hashlib.sha256(b"".join(pieces)).hexdigest() == model["sha256"]
    assert b"".join(pieces) == (await served.http.get(f"/{model['url']}")).content
