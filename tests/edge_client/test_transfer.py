from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from edge_client.connection import Connection
from edge_client.transfer import PIECE, Lanes
from federation import fault_points
from federation.errors import ErrorCode, Refused
from tests.edge_client.fake_server import FakeServer
from tests.edge_client.transfers import begin, fails, lanes_of, model_of, no_sleep

pytestmark = pytest.mark.anyio


async def test_a_model_comes_over_the_raw_lane_and_is_kept_by_its_hash(tmp_path: Path) -> None:
    server, asked = FakeServer(), []

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        return httpx2.Response(200, content=server.model)

    async with Connection(server) as connection:
        lanes = lanes_of(server, connection, handler)
        path = await lanes.download(model_of(server), tmp_path)
        assert await lanes.download(model_of(server), tmp_path) == path
    assert path.read_bytes() == server.model
    assert asked == [f"http://server.test/raw/{server.sha256}"]
    assert lanes.bytes_down == len(server.model)
    assert server.connects == 0


async def test_a_broken_download_goes_on_where_it_stopped(tmp_path: Path) -> None:
    server, ranges = FakeServer(), []

    async def half() -> Any:
        yield server.model[:700]
        raise httpx2.ReadError("reset")

    def handler(request: httpx2.Request) -> httpx2.Response:
        ranges.append(request.headers.get("Range"))
        if len(ranges) == 1:
            return httpx2.Response(200, content=half())
        return httpx2.Response(206, content=server.model[700:])

    async with Connection(server) as connection:
        lanes = lanes_of(server, connection, handler)
        path = await lanes.download(model_of(server), tmp_path)
    assert ranges == [None, "bytes=700-"]
    assert path.read_bytes() == server.model
    assert lanes.bytes_down == len(server.model)


async def test_a_model_that_is_not_what_its_hash_says_is_refused_after_a_second_try(tmp_path: Path) -> None:
    server, tries = FakeServer(), []

    def handler(request: httpx2.Request) -> httpx2.Response:
        tries.append(request)
        return httpx2.Response(200, content=bytes(len(server.model)))

    async with Connection(server) as connection:
        with pytest.raises(Refused) as caught:
            await lanes_of(server, connection, handler).download(model_of(server), tmp_path)
    assert caught.value.code is ErrorCode.HASH_MISMATCH
    assert len(tries) == 2


async def test_a_server_that_sends_more_than_announced_is_cut_off(tmp_path: Path) -> None:
    server = FakeServer()
    async with Connection(server) as connection:
        lanes = lanes_of(server, connection, lambda request: httpx2.Response(200, content=server.model + b"more"))
        with pytest.raises(Refused, match="more than"):
            await lanes.download(model_of(server), tmp_path)


async def test_a_model_comes_in_band_where_the_raw_lane_is_out_of_reach(tmp_path: Path) -> None:
    server = FakeServer()
    async with Connection(server) as connection:
        lanes = lanes_of(server, connection, fails)
        path = await lanes.download(model_of(server), tmp_path)
    assert path.read_bytes() == server.model
    assert lanes.bytes_down == len(server.model)


async def test_a_proxy_that_knows_no_raw_lane_is_asked_once(tmp_path: Path) -> None:
    server, tries = FakeServer(), []

    def handler(request: httpx2.Request) -> httpx2.Response:
        tries.append(request)
        return httpx2.Response(405, content=b"<html>no</html>")

    async with Connection(server) as connection:
        lanes = lanes_of(server, connection, handler)
        await lanes.download(model_of(server), tmp_path)
        await lanes.upload(begin(b"x" * 10), b"x" * 10)
    assert len(tries) == 1
    assert not lanes.raw


async def test_an_update_goes_over_the_raw_lane_in_one_piece() -> None:
    server = FakeServer()
    async with Connection(server) as connection:
        lanes = lanes_of(server, connection, server.raw_lane)
        assert await lanes.upload(begin(b"delta" * 1000), b"delta" * 1000) == "up-1"
    assert server.uploads["up-1"] == b"delta" * 1000
    assert lanes.bytes_up == 5000
    assert [tool for tool, _ in server.calls] == ["begin_upload"]


async def test_in_band_chunks_are_as_large_as_the_server_allows_and_no_larger() -> None:
    server, payload = FakeServer(chunk_max=1000), bytes(range(256)) * 10
    async with Connection(server) as connection:
        lanes = lanes_of(server, connection, None)
        await lanes.upload(begin(payload), payload)
    assert server.uploads["up-1"] == payload
    assert [arguments["offset"] for tool, arguments in server.calls if tool == "upload_chunk"] == [0, 1000, 2000]
    assert lanes.bytes_up == len(payload)


async def test_an_upload_resumes_where_the_server_says() -> None:
    server, payload = FakeServer(chunk_max=1000), bytes(range(256)) * 10
    server.uploads["up-1"] = payload[:1500]
    async with Connection(server) as connection:
        lanes = lanes_of(server, connection, None)
        await lanes.upload(begin(payload), payload)
    assert [arguments["offset"] for tool, arguments in server.calls if tool == "upload_chunk"] == [1500, 2500]
    assert server.uploads["up-1"] == payload


async def test_bytes_that_the_server_has_are_not_sent_again() -> None:
    server = FakeServer()
    server.uploads["up-1"] = b"delta"
    async with Connection(server) as connection:
        lanes = lanes_of(server, connection, fails)
        await lanes.upload(begin(b"delta"), b"delta")
    assert lanes.bytes_up == 0


async def test_an_expired_upload_url_is_asked_for_anew() -> None:
    server, tries = FakeServer(), []

    def handler(request: httpx2.Request) -> httpx2.Response:
        tries.append(request)
        if len(tries) == 1:
            error = {"code": "upload_gone", "problem": "it expired.", "mend": "begin again"}
            return httpx2.Response(410, json={"error": error})
        return server.raw_lane(request)

    async with Connection(server) as connection:
        await lanes_of(server, connection, handler).upload(begin(b"delta"), b"delta")
    assert [tool for tool, _ in server.calls] == ["begin_upload", "begin_upload"]
    assert server.uploads["up-1"] == b"delta"


async def test_an_update_that_is_too_large_is_refused_in_the_servers_words() -> None:
    server = FakeServer()

    def handler(request: httpx2.Request) -> httpx2.Response:
        error = {"code": "too_large", "problem": "5 bytes.", "mend": "send fewer"}
        return httpx2.Response(413, json={"error": error})

    async with Connection(server) as connection:
        with pytest.raises(Refused, match="send fewer"):
            await lanes_of(server, connection, handler).upload(begin(b"delta"), b"delta")


async def test_an_update_is_handed_to_the_network_in_pieces_of_an_announced_whole() -> None:
    server, pieces, headers = FakeServer(), list[int](), list[str | None]()

    async def handler(request: httpx2.Request) -> httpx2.Response:
        headers.append(request.headers.get("Content-Length"))
        assert "Transfer-Encoding" not in request.headers
        pieces.extend([len(piece) async for piece in request.stream])  # type: ignore[union-attr]
        return httpx2.Response(200, json={})

    payload = bytes(2 * PIECE + 5)
    http = httpx2.AsyncClient(transport=Unread(handler))
    async with Connection(server) as connection:
        lanes = Lanes(connection, connection.call, http, server.url, chunk_max_bytes=1000, sleep=no_sleep)
        await lanes.upload(begin(payload), payload)
    assert headers == [str(len(payload))]
    assert pieces == [PIECE, PIECE, 5]
    assert lanes.bytes_up == len(payload)


class Unread(httpx2.AsyncBaseTransport):
    """A mock that leaves the body to its handler."""

    def __init__(self, handler: Callable[[httpx2.Request], Awaitable[httpx2.Response]]) -> None:
        self._handler = handler

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await self._handler(request)


async def test_a_server_that_is_down_for_a_while_costs_a_try_and_not_the_raw_lane() -> None:
    server, tries = FakeServer(), []

    def handler(request: httpx2.Request) -> httpx2.Response:
        tries.append(request)
        if len(tries) in (1, 3):
            raise httpx2.ConnectError("refused")
        return server.raw_lane(request)

    async with Connection(server) as connection:
        lanes = lanes_of(server, connection, handler)
        for text in (b"one", b"two"):
            server.uploads.clear()
            await lanes.upload(begin(text), text)
            assert server.uploads["up-1"] == text
        assert lanes.raw
    assert "upload_chunk" not in [tool for tool, _ in server.calls]
    assert [tool for tool, _ in server.calls].count("begin_upload") == 4, "each time it waited for the server's answer"


async def test_a_download_goes_on_from_what_an_earlier_process_left(tmp_path: Path) -> None:
    server, ranges = FakeServer(), []
    (tmp_path / f"{server.sha256}.part").write_bytes(server.model[:1100])
    (tmp_path / "an-older-model").write_bytes(b"old")

    def handler(request: httpx2.Request) -> httpx2.Response:
        ranges.append(request.headers.get("Range"))
        return httpx2.Response(206, content=server.model[1100:])

    async with Connection(server) as connection:
        path = await lanes_of(server, connection, handler).download(model_of(server), tmp_path)
    assert ranges == ["bytes=1100-"]
    assert path.read_bytes() == server.model
    assert os.listdir(tmp_path) == [path.name], "it keeps one model"


async def test_a_leftover_that_is_no_beginning_of_the_model_is_fetched_anew(tmp_path: Path) -> None:
    server, ranges = FakeServer(), []
    (tmp_path / f"{server.sha256}.part").write_bytes(bytes(1100))

    def handler(request: httpx2.Request) -> httpx2.Response:
        ranges.append(request.headers.get("Range"))
        if ranges[-1]:
            return httpx2.Response(206, content=server.model[1100:])
        return httpx2.Response(200, content=server.model)

    async with Connection(server) as connection:
        path = await lanes_of(server, connection, handler).download(model_of(server), tmp_path)
    assert ranges == ["bytes=1100-", None]
    assert path.read_bytes() == server.model


async def test_a_disk_without_room_for_the_model_is_a_refusal_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = FakeServer()
    monkeypatch.setattr(fault_points, "_fault", fault_points.Fault("disk_full@node_download_partly"))
    async with Connection(server) as connection:
        with pytest.raises(Refused, match="--state-dir") as caught:
            await lanes_of(server, connection, server.raw_lane).download(model_of(server), tmp_path)
    assert caught.value.code is ErrorCode.STORAGE_FULL
