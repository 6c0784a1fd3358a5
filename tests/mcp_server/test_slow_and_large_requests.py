"""A connection owes the server a head in time, a body that moves, a reader that reads; and no more than is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.mcp_server.bare import Bare, bare, head
from tests.mcp_server.raw_node import cohort, packed
from tests.mcp_server.running import Served, serving

pytestmark = pytest.mark.anyio


LARGE_MODEL = {  # 17 MB: more than a kernel holds for a reader
    "model": {"id": "mlp", "options": {"hidden": 64}},
    "data": {"id": "own", "input_shape": [65_536], "num_classes": 10},
}


@pytest.fixture(scope="module")
async def impatient(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Served]:
    """A server that waits a fifth of a second for anything."""
    async with serving(
        tmp_path_factory.mktemp("impatient"), header_timeout_s=0.2, body_timeout_s=0.2, send_timeout_s=0.2
    ) as running:
        yield running


async def test_a_connection_that_says_nothing_is_ended(impatient: Served) -> None:
    async with bare(impatient.base) as line:
        assert await line.ended() == b""


@pytest.mark.parametrize("said", [b"GET", head(end=False), head("POST", "/mcp", "Content-Length: 5", end=False)])
async def test_a_head_that_does_not_arrive_in_time_is_408(impatient: Served, said: bytes) -> None:
    async with bare(impatient.base) as line:
        await line.send(said)
        answer = await line.answer()
        assert (answer.status, answer.error["code"]) == (408, "invalid_argument")
        assert await line.ended() == b""


async def test_a_head_that_arrives_letter_by_letter_is_ended_although_letters_come(impatient: Served) -> None:
    async with bare(impatient.base) as line:

        async def dribble() -> None:
            await line.send(head(end=False), b"X-A: ")
            while True:
                await line.send(b"a")
                await asyncio.sleep(0.01)

        dribbling = asyncio.create_task(dribble())
        assert (await line.answer()).status == 408
        dribbling.cancel()
        await asyncio.wait([dribbling])
        assert dribbling.cancelled() or isinstance(dribbling.exception(), ConnectionError)


async def test_empty_lines_do_not_keep_a_connection(impatient: Served) -> None:
    async with bare(impatient.base) as line:
        await line.send(head())
        assert (await line.answer()).status == 200

        async def dribble() -> None:
            while True:
                await line.send(b"\r\n")
                await asyncio.sleep(0.01)

        dribbling = asyncio.create_task(dribble())
        await line.ended()
        dribbling.cancel()
        await asyncio.wait([dribbling])
        assert dribbling.cancelled() or isinstance(dribbling.exception(), ConnectionError)


@pytest.mark.parametrize("path", ["/mcp", "/messages/?session_id=00000000000000000000000000000000"])
async def test_a_body_that_stops_is_408(impatient: Served, path: str) -> None:
    async with bare(impatient.base) as line:
        accept = "Accept: application/json, text/event-stream"
        await line.send(head("POST", path, "Content-Type: application/json", accept, "Content-Length: 1000"), b"{")
        answer = await line.answer()
        assert answer.status in (404, 408)  # an unknown session is known before the body
        assert await line.ended() == b""


@pytest.mark.parametrize("way", ["Content-Length: 2000", "Transfer-Encoding: chunked"])
async def test_an_upload_that_stops_is_408_and_leaves_no_trace(impatient: Served, way: str) -> None:
    (node,) = await cohort(impatient, 1)
    data = packed(value=1.0)
    url = (await node.begin(data))["url"]
    before = await impatient.snapshot()
    async with bare(impatient.base) as line:
        start = data[:100] if "Length" in way else b"64\r\n" + data[:100] + b"\r\n"
        await line.send(head("PUT", f"/{url}", way), start)
        assert (await line.answer()).status == 408
        await line.ended()
    assert await impatient.snapshot() == before
    assert (await node.put(url, data))["size"] == len(data)


async def test_an_upload_that_trickles_is_ended_although_bytes_come(impatient: Served) -> None:
    (node,) = await cohort(impatient, 1)
    data = packed(value=2.0)
    url = (await node.begin(data))["url"]
    async with bare(impatient.base) as line:
        await line.send(head("PUT", f"/{url}", f"Content-Length: {len(data)}"))

        async def dribble() -> None:
            for byte in data:
                await line.send(bytes([byte]))
                await asyncio.sleep(0.01)  # 100 bytes a second, where 1024 are due

        dribbling = asyncio.create_task(dribble())
        assert (await line.answer()).status == 408
        dribbling.cancel()
        await asyncio.wait([dribbling])


async def test_a_slow_but_honest_upload_gets_through(impatient: Served) -> None:
    (node,) = await cohort(impatient, 1)
    data = packed(value=3.0)
    url = (await node.begin(data))["url"]
    async with bare(impatient.base) as line:
        await line.send(head("PUT", f"/{url}", f"Content-Length: {len(data)}"))
        for start in range(0, len(data), 400):
            await line.send(data[start : start + 400])
            await asyncio.sleep(0.05)  # 8 kB a second, for longer than the timeout
        assert (await line.answer()).status == 200


async def test_a_client_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    async with serving(tmp_path, send_timeout_s=0.2) as running:
        task_id = await running.task(**LARGE_MODEL)
        url = (await running.state_of(task_id))["model"]["url"]
        async with bare(running.base, receive_buffer=4096) as line:
            line.writer.transport.pause_reading()
            await line.send(head("GET", f"/{url}"))
            async with asyncio.timeout(20):
                while running.federation.traffic.totals["raw", "down"] == 0:  # counted when the answer has ended
                    await asyncio.sleep(0.01)
            size = (await running.state_of(task_id))["model"]["size"]
            assert running.federation.traffic.totals["raw", "down"] < size
        assert (await running.http.get(f"/{url}")).status_code == 200


async def test_a_client_that_reads_slowly_gets_all(tmp_path: Path) -> None:
    async with serving(tmp_path, send_timeout_s=0.5) as running:
        task_id = await running.task(**LARGE_MODEL)
        model = (await running.state_of(task_id))["model"]
        async with bare(running.base, receive_buffer=4096) as line:
            await line.send(head("GET", f"/{model['url']}"))
            assert len((await line.answer()).body) == model["size"]


LARGE = {
    "one header": head("GET", "/healthz", "X-A: " + "a" * 40_000),
    "a header without an end": head("GET", "/healthz", "X-A: " + "a" * 400_000, end=False),
    "many headers": head("GET", "/healthz", *[f"X-{n}: 1" for n in range(200)]),
    "a header's name": head("GET", "/healthz", "X" * 40_000 + ": 1"),
}


@pytest.mark.parametrize("kind", LARGE)
async def test_a_head_that_is_too_large_is_431(served: Served, kind: str) -> None:
    async with bare(served.base) as line:
        await line.send(LARGE[kind])
        answer = await line.answer()
        assert (answer.status, answer.error["code"]) == (431, "invalid_argument")
        await line.ended()


@pytest.mark.parametrize("path", ["/healthz?" + "a" * 9_000, "/raw/blobs/" + "a" * 9_000, "/" + "a" * 9_000])
async def test_a_url_that_is_too_long_is_414(served: Served, path: str) -> None:
    async with bare(served.base) as line:
        await line.send(head("GET", path))
        assert (await line.answer()).status == 414
        await line.ended()


@pytest.mark.parametrize("trailers", [b"X-A: 1\r\n" * 200, b"X-A: " + b"a" * 400_000])
async def test_trailers_count_as_headers(served: Served, trailers: bytes) -> None:
    async with bare(served.base) as line:
        await line.send(head("POST", "/mcp", "Transfer-Encoding: chunked"), b"2\r\n{}\r\n0\r\n", trailers)
        statuses = [(await line.answer()).status]
        assert statuses[0] in (400, 406, 431)
        await line.ended()


async def test_a_head_of_ordinary_size_is_answered_on_one_connection_again_and_again(served: Served) -> None:
    async with bare(served.base) as line:
        for _ in range(5):
            await line.send(head("GET", "/healthz?" + "q" * 4_000, "X-A: " + "a" * 8_000))
            assert (await line.answer()).status == 200


async def test_requests_in_one_go_are_answered_in_order(served: Served) -> None:
    async with bare(served.base) as line:
        await line.send(head() * 3 + head("GET", "/nothing"))
        assert [(await line.answer()).status for _ in range(4)] == [200, 200, 200, 404]


async def test_what_is_no_http_is_400_and_says_so(served: Served) -> None:
    for said in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n"):
        async with bare(served.base) as line:
            await line.send(said)
            answer = await line.answer()
            assert (answer.status, answer.error["code"]) == (400, "invalid_argument")


async def test_a_body_that_goes_on_after_its_refusal_is_not_taken_for_ever(served: Served) -> None:
    async with bare(served.base) as line:
        await line.send(head("PUT", "/raw/uploads/forged", f"Content-Length: {1 << 40}"))
        assert (await line.answer()).status == 403
        sent = 0
        with suppress(ConnectionError):
            for sent in range(1 << 10):  # noqa: B007
                await line.send(bytes(1 << 20))
        assert sent < 1 << 8, "MiB"


async def test_a_request_to_upgrade_passes_the_guard_of_hosts_like_any_other(served: Served) -> None:
    async with bare(served.base) as line:
        upgrade = ("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        await line.send(head("GET", "/mcp", *upgrade).replace(b"127.0.0.1", b"evil.example"))
        assert (await line.answer()).status == 421


async def knock(line: Bare) -> int:
    await line.send(head())
    return (await line.answer()).status


async def test_an_address_has_only_so_many_connections_and_gets_new_ones_for_those_it_ends(tmp_path: Path) -> None:
    async with serving(tmp_path, max_connections_per_address=3) as running:
        async with bare(running.base) as one, bare(running.base) as two:
            async with bare(running.base) as three:
                assert [await knock(line) for line in (one, two, three)] == [200] * 3
                async with bare(running.base) as fourth:
                    await fourth.send(head())
                    answer = await fourth.answer()
                    assert (answer.status, answer.error["code"]) == (429, "rate_limited")
                    assert answer.headers["retry-after"] == "5"
                    assert answer.error["retry_after_s"] == 5
                    assert await fourth.ended() == b""
                await three.send(head("GET", "/healthz", "Connection: close"))
                await three.answer()
                await three.ended()
            async with bare(running.base) as again:
                assert await knock(again) == 200


async def test_a_server_has_only_so_many_connections_in_all(tmp_path: Path) -> None:
    async with serving(tmp_path, max_connections=2) as running:
        async with bare(running.base) as one, bare(running.base) as two, bare(running.base) as third:
            assert [await knock(line) for line in (one, two)] == [200] * 2
            await third.send(head())
            answer = await third.answer()
            assert (answer.status, "all that it takes" in answer.error["problem"]) == (429, True)


async def test_a_trusted_proxy_brings_more_connections_than_one_address_may(tmp_path: Path) -> None:
    async with serving(tmp_path, max_connections_per_address=1, trusted_proxies=["127.0.0.0/8"]) as running:
        async with bare(running.base) as one, bare(running.base) as two:
            assert [await knock(line) for line in (one, two)] == [200] * 2
