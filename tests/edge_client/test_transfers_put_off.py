"""Transfers that are told to come again: they wait, on the lane that they are on, as long as there is patience."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from edge_client.connection import Connection
from edge_client.transfer import Lanes
from federation.errors import ErrorCode, Refused
from tests.edge_client.fake_server import FakeServer
from tests.edge_client.transfers import begin, lanes_of, model_of

pytestmark = pytest.mark.anyio


def saying(status: int, code: str | None, headers: dict[str, str] | None = None) -> httpx2.Response:
    if code is None:
        return httpx2.Response(status, content=b"<html>no</html>", headers=headers)
    error = {"code": code, "problem": "it says so.", "mend": "mend it"}
    return httpx2.Response(status, json={"error": error}, headers=headers)


@pytest.mark.parametrize(
    ("status", "code"),
    [(408, "invalid_argument"), (425, "invalid_argument"), (502, None), (503, None), (504, "internal"), (503, "busy")],
)
async def test_a_status_that_passes_costs_an_upload_a_try_whatever_the_body_says(status: int, code: str | None) -> None:
    server, tries = FakeServer(), []

    def handler(request: httpx2.Request) -> httpx2.Response:
        tries.append(request)
        return saying(status, code) if len(tries) == 1 else server.raw_lane(request)

    async with Connection(server) as connection:
        lanes = lanes_of(server, connection, handler)
        await lanes.upload(begin(b"delta"), b"delta")
        assert lanes.raw
    assert len(tries) == 2
    assert server.uploads["up-1"] == b"delta"
    assert "upload_chunk" not in [tool for tool, _ in server.calls]


@pytest.mark.parametrize(
    ("status", "code", "after", "least"),
    [
        (429, "rate_limited", "7", 7),
        (429, None, None, 0),
        (503, "busy", None, 0),
        (503, None, "9", 9),
        (429, None, "86400", 60),
    ],
)
async def test_a_download_that_is_told_later_waits_and_stays_on_the_raw_lane(
    tmp_path: Path, status: int, code: str | None, after: str | None, least: float
) -> None:
    server, tries, paused = FakeServer(), list[str](), list[float]()

    def handler(request: httpx2.Request) -> httpx2.Response:
        tries.append(request.method)
        if len(tries) <= 5:
            return saying(status, code, {"Retry-After": after} if after else None)
        return server.raw_lane(request)

    async def sleep(seconds: float) -> None:
        paused.append(seconds)

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(handler))
    async with Connection(server) as connection:
        lanes = Lanes(connection, connection.call, http, server.url, chunk_max_bytes=1000, sleep=sleep)
        path = await lanes.download(model_of(server), tmp_path)
    assert path.read_bytes() == server.model
    assert server.connects == 0, "nothing was read in-band"
    assert len(paused) == 5
    assert all(least < pause <= least + 30 for pause in paused)


@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_transfer_that_is_only_ever_told_later_ends_with_the_patience(tmp_path: Path, way: str) -> None:
    server, paused = FakeServer(), list[float]()

    async def sleep(seconds: float) -> None:
        paused.append(seconds)

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(lambda request: saying(429, "rate_limited")))
    async with Connection(server) as connection:
        lanes = Lanes(connection, connection.call, http, server.url, chunk_max_bytes=9, patience_s=20, sleep=sleep)
        work = lanes.upload(begin(b"delta"), b"delta") if way == "up" else lanes.download(model_of(server), tmp_path)
        with pytest.raises(Refused, match="it says so") as caught:
            await work
    assert caught.value.code is ErrorCode.RATE_LIMITED
    assert 0 < sum(paused) <= 20


async def test_a_wrong_token_on_the_raw_lane_is_unauthorized_as_it_is_over_mcp() -> None:
    server = FakeServer()
    async with Connection(server) as connection:
        lanes = lanes_of(server, connection, lambda request: saying(401, "unauthorized"))
        with pytest.raises(Refused, match="--token") as caught:
            await lanes.upload(begin(b"delta"), b"delta")
    assert caught.value.code is ErrorCode.UNAUTHORIZED
