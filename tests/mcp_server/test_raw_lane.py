"""The raw lane: a URL is the leave to send just these bytes, or to fetch a model version; nothing else is."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from tests.mcp_server.raw_node import RawNode, cohort, packed, sha256
from tests.mcp_server.refusals import refused
from tests.mcp_server.running import Served, serving

pytestmark = pytest.mark.anyio
HOUR, DAY = 3_600, 86_400


@pytest.fixture(scope="module")
async def member(served: Served) -> RawNode:
    return (await cohort(served))[0]


@pytest.fixture(scope="module")
async def model(served: Served, member: RawNode) -> dict[str, Any]:
    """The global model as `get_assignment` answers it."""
    found: dict[str, Any] = member.assignment["model"]
    return found


@pytest.mark.parametrize("tamper", ["x{}", "{}x", "x", "%00", "a.b.c", "é"])
async def test_a_forged_upload_url_is_refused(served: Served, member: RawNode, tamper: str) -> None:
    begun = await member.begin(packed())
    ticket = begun["url"].removeprefix("raw/uploads/")
    async with refused(served, "bad_signature", status=403):
        await member.put(f"raw/uploads/{tamper.format(ticket)}", packed())


async def test_every_single_letter_of_an_upload_url_is_signed(served: Served, member: RawNode) -> None:
    url = (await member.begin(packed()))["url"]
    for place in range(len("raw/uploads/"), len(url) - 1, 17):
        letter = "A" if url[place] != "A" else "B"
        async with refused(served, "bad_signature", status=403):
            await member.put(url[:place] + letter + url[place + 1 :], packed())


async def test_a_download_url_does_not_open_the_way_up_nor_an_upload_url_the_way_down(
    served: Served, member: RawNode, model: dict[str, Any]
) -> None:
    url = (await member.begin(packed()))["url"]
    async with refused(served, "bad_signature", status=403):
        await member.put(model["url"].replace("blobs", "uploads"), packed())
    down = await served.http.get("/" + url.replace("uploads", "blobs"))
    assert (down.status_code, down.json()["error"]["code"]) == (403, "bad_signature")
    assert (await served.http.get("/" + url)).status_code == 405


@pytest.mark.parametrize("method", ["PUT", "GET"])
@pytest.mark.parametrize("lane", ["uploads", "blobs"])
@pytest.mark.parametrize(
    "path", ["../../server.key", "..%2f..%2fserver.key", "%2e%2e/%2e%2e/potluck.db", "/etc/passwd"]
)
async def test_a_path_in_place_of_a_ticket_leads_nowhere(served: Served, path: str, lane: str, method: str) -> None:
    before = await served.snapshot()
    answer = await served.http.request(method, f"/raw/{lane}/{path}", content=b"x")
    assert answer.status_code in (403, 404, 405)
    assert b"SQLite" not in answer.content
    assert await served.snapshot() == before


async def test_an_expired_upload_url_is_gone_until_begin_upload_renews_it(served: Served, member: RawNode) -> None:
    data = packed(value=1.25)
    begun = await member.begin(data)
    with served.clock.later(HOUR + 1):
        async with refused(served, "upload_gone", says="expired", status=410):
            await member.put(begun["url"], data)
        renewed = await member.begin(data)
        assert renewed["upload_id"] == begun["upload_id"]
        async with refused(served, "upload_gone", status=410):
            await member.put(begun["url"], data)
        assert (await member.put(renewed["url"], data))["sha256"] == sha256(data)


async def test_other_bytes_than_those_announced_are_refused_before_and_after_the_right_ones(
    served: Served, member: RawNode
) -> None:
    data, other = packed(value=1.5), packed(value=1.75)
    url = (await member.begin(data))["url"]
    async with refused(served, "hash_mismatch", status=409):
        await member.put(url, other)
    receipt = await member.put(url, data)
    async with refused(served, "hash_mismatch", status=409):
        await member.put(url, other)
    assert await member.put(url, data) == receipt
    assert (await member.begin(data))["received"]


async def test_a_committed_upload_takes_no_more_bytes(served: Served) -> None:
    node, _ = await cohort(served)
    data = packed(value=2.0)
    begun = await node.begin(data)
    await node.put(begun["url"], data)
    await node.submit(data, begun["upload_id"])
    for again in (data, packed(value=2.5)):
        async with refused(served, "upload_gone", says="committed", status=410):
            await node.put(begun["url"], again)


async def test_more_bytes_than_announced_are_refused(served: Served, member: RawNode) -> None:
    data = packed(value=3.0)
    url = (await member.begin(data))["url"]
    async with refused(served, "too_large", status=413):
        await member.put(url, data + b"\0")

    async def endless() -> AsyncGenerator[bytes]:
        for _ in range(100):
            yield data

    async with refused(served, "too_large", status=413):
        await member.put(url, endless())  # chunked: no length is declared


async def test_fewer_bytes_than_announced_are_refused(served: Served, member: RawNode) -> None:
    data = packed(value=3.25)
    url = (await member.begin(data))["url"]
    for short in (b"", data[:-1]):
        async with refused(served, "upload_incomplete", status=400):
            await member.put(url, short)


async def test_a_compressed_body_is_not_unpacked(served: Served, member: RawNode) -> None:
    data = packed(value=3.5)
    url = (await member.begin(data))["url"]
    async with refused(served, "upload_incomplete", status=400):
        await member.put(url, b"\x1f\x8b" + bytes(40), **{"Content-Encoding": "gzip"})


async def test_an_upload_for_a_round_that_is_over_is_gone(served: Served) -> None:
    one, other = await cohort(served)
    left = packed(value=4.0)
    begun = await one.begin(left)
    for node in (one, other):
        await node.submit_inline(packed(value=0.1))
    await served.close_due_rounds()
    async with refused(served, "upload_gone", status=410):
        await one.put(begun["url"], left)
    async with refused(served, "upload_gone"):
        await one.chunk(begun["upload_id"], 0, left)


async def test_a_full_quota_answers_507_and_says_who_can_mend_it(tmp_path: Path) -> None:
    async with serving(tmp_path, quota_bytes=4_000) as served:  # the model alone takes 2752
        (node,) = await cohort(served, 1)
        data = packed(value=1.0)
        url = (await node.begin(data))["url"]
        async with refused(served, "storage_full", says="quota", status=507):
            await node.put(url, data)
        async with refused(served, "storage_full", touches={"uploads"}):
            await node.submit_inline(data)


async def test_a_model_comes_down_whole_with_its_hash_for_an_etag(served: Served, model: dict[str, Any]) -> None:
    answer = await served.http.get(f"/{model['url']}")
    assert answer.status_code == 200
    assert hashlib.sha256(answer.content).hexdigest() == model["sha256"]
    assert answer.headers["etag"] == f'"{model["sha256"]}"'
    assert answer.headers["content-length"] == str(model["size"])
    assert "immutable" in answer.headers["cache-control"]
    head = await served.http.head(f"/{model['url']}")
    assert (head.status_code, head.headers["etag"], head.content) == (200, answer.headers["etag"], b"")


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ('"{}"', 304),
        ('"other", "{}"', 304),
        ('"other"', 200),
        ("{}", 200),
        pytest.param('W/"{}"', 304),
        pytest.param("*", 304),
    ],
)
async def test_a_model_that_the_caller_has_is_not_sent_again(
    served: Served, model: dict[str, Any], condition: str, status: int
) -> None:
    headers = {"If-None-Match": condition.format(model["sha256"])}
    answer = await served.http.get(f"/{model['url']}", headers=headers)
    assert answer.status_code == status
    assert (len(answer.content) == 0) == (status == 304)
    assert answer.headers["etag"] == f'"{model["sha256"]}"'


@pytest.mark.parametrize(
    ("wanted", "status", "span"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=1000-", 206, slice(1000, None)),
        ("bytes=-4", 206, slice(-4, None)),
        ("bytes=999999-", 416, slice(0, 0)),
    ],
)
async def test_a_download_can_be_resumed(
    served: Served, model: dict[str, Any], wanted: str, status: int, span: slice
) -> None:
    whole = (await served.http.get(f"/{model['url']}")).content
    answer = await served.http.get(f"/{model['url']}", headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (status, whole[span])
    changed = await served.http.get(f"/{model['url']}", headers={"Range": wanted, "If-Range": '"another"'})
    assert (changed.status_code, changed.content) == (200, whole)


async def test_a_download_url_is_the_same_all_day_and_ends_with_the_next(
    served: Served, member: RawNode, model: dict[str, Any]
) -> None:
    with served.clock.later(11 * HOUR):
        assert (await member.join(member.task_id))["model"]["url"] == model["url"]
    for later, status in ((DAY, 200), (2 * DAY, 410), (-DAY, 410)):
        with served.clock.later(later):
            answer = await served.http.get(f"/{model['url']}")
            assert answer.status_code == status
    assert answer.json()["error"]["code"] == "upload_gone"


async def test_no_url_serves_a_nodes_update(served: Served, member: RawNode) -> None:
    data = packed(value=5.0)
    await member.put((await member.begin(data))["url"], data)
    operator = await served.operator()
    for view in ("get_task", "export_model"):
        assert sha256(data) not in str(await operator.call(view, task_id=member.task_id))
    with pytest.raises(Exception, match="no model version has this hash"):
        await operator.read(f"potluck://blobs/{sha256(data)}/0")
