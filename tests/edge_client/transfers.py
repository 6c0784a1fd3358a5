"""Lanes to a fake server, for tests of what goes over them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import httpx2

from edge_client.connection import Connection
from edge_client.transfer import Lanes
from tests.edge_client.fake_server import FakeServer

Handler = Callable[[httpx2.Request], httpx2.Response]


async def no_sleep(seconds: float) -> None:
    return None


def lanes_of(server: FakeServer, connection: Connection, handler: Handler | None) -> Lanes:
    http = httpx2.AsyncClient(transport=httpx2.MockTransport(handler)) if handler else None
    return Lanes(connection, connection.call, http, server.url, chunk_max_bytes=server.chunk_max, sleep=no_sleep)


def model_of(server: FakeServer) -> dict[str, Any]:
    return {"sha256": server.sha256, "size": len(server.model), "url": f"raw/{server.sha256}"}


def begin(payload: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(payload).hexdigest(), "size": len(payload)}


def fails(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("unreachable")
