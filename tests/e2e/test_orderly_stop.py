"""SIGTERM ends a server within five seconds with exit code 0, whatever is going on; what was going on goes on after."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

import httpx2
import pytest
from evidence import blobs_on_disk, blobs_referred_to, hashes_of_rounds, incoming, receipts_kept
from lives import OPERATOR, Lives
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from small_federation import ROUNDS, SmallFederation

from edge_client.connection import Connection
from edge_client.endpoint import Endpoint

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore:resources/(un)?subscribe is removed"),
]
WITHIN_S = 5.0
WAYS = [(transport, mode) for transport in ("http", "sse") for mode in ("auto", "legacy")]


async def stop_in_time(lives: Lives) -> None:
    before = time.monotonic()
    assert await lives.stop() == 0
    assert time.monotonic() - before < WITHIN_S
    assert "Traceback" not in lives.said()


async def as_client(
    lives: Lives, token: str, transport: str, mode: str, use: Callable[[Client], Awaitable[None]]
) -> None:
    """Lets `use` have a client of the SDK, over one transport and in one era."""
    headers = {"Authorization": f"Bearer {token}"}
    if transport == "sse":
        async with Client(sse_client(f"{lives.url}/sse", headers=headers), mode=mode) as client:
            await use(client)
        return
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        line = streamable_http_client(f"{lives.url}/mcp", http_client=http)
        async with Client(line, mode=mode) as client:
            await use(client)


@pytest.mark.parametrize(("transport", "mode"), WAYS)
async def test_an_open_stream_of_changes_does_not_hold_it_up(lives: Lives, transport: str, mode: str) -> None:
    await lives.start()
    federation = SmallFederation(lives)
    await federation.create()
    uri, listening = f"potluck://tasks/{federation.task_id}", asyncio.Event()

    async def listen(client: Client) -> None:
        if mode == "legacy":
            await client.subscribe_resource(uri)
            listening.set()
            await asyncio.Event().wait()
        async with client.listen(resource_subscriptions=[uri]):
            listening.set()
            await asyncio.Event().wait()

    streaming = asyncio.ensure_future(as_client(lives, OPERATOR, transport, mode, listen))
    async with asyncio.timeout(30):
        await listening.wait()
    await stop_in_time(lives)
    streaming.cancel()
    await asyncio.wait([streaming], timeout=10)


@pytest.mark.parametrize(("transport", "mode"), WAYS)
async def test_an_open_long_poll_is_answered_and_does_not_hold_it_up(lives: Lives, transport: str, mode: str) -> None:
    await lives.start()
    federation = SmallFederation(lives)
    token = await federation.create()
    node = await federation.shake_hands("raw", token)
    answers: list[dict[str, Any] | None] = []
    asked = asyncio.Event()

    async def poll(client: Client) -> None:
        arguments = node | {"task_id": federation.task_id}
        await client.call_tool("get_assignment", arguments)
        asked.set()
        result = await client.call_tool("get_assignment", arguments | {"wait_s": 30}, read_timeout_seconds=40)
        answers.append(result.structured_content)

    polling = asyncio.ensure_future(as_client(lives, token, transport, mode, poll))
    async with asyncio.timeout(30):
        await asked.wait()
        while not await polls_in_progress(lives):
            await asyncio.sleep(0.05)
    await stop_in_time(lives)
    await asyncio.wait([polling], timeout=10)
    polling.cancel()
    await asyncio.wait([polling], timeout=10)
    assert [answer and answer["action"] for answer in answers] == ["wait"]


async def polls_in_progress(lives: Lives) -> bool:
    """Whether the first poll has been answered for a moment: the second one is then on its way or there."""
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {OPERATOR}"}) as http:
        text = (await http.get(f"{lives.url}/metrics")).text
    return 'potluck_tool_calls_total{outcome="ok",tool="get_assignment"} 1.0' in text


async def test_a_fold_in_progress_is_done_again_to_the_same_bits(lives: Lives) -> None:
    await lives.start("stop@round_folded")
    federation = SmallFederation(lives)
    working = asyncio.ensure_future(federation.live())
    await halted(lives)
    lives.signal(signal.SIGTERM)
    lives.signal(signal.SIGCONT)
    before = time.monotonic()
    assert await lives.ended() == 0
    assert time.monotonic() - before < WITHIN_S
    await lives.start()
    await working
    assert await lives.stop() == 0
    assert receipts_kept(lives.data_dir) == {receipt["update_id"]: 1 for receipt in federation.receipts}
    assert [state for _, state, _ in hashes_of_rounds(lives.data_dir)] == ["closed"] * ROUNDS
    assert incoming(lives.data_dir) == []
    assert blobs_on_disk(lives.data_dir) == blobs_referred_to(lives.data_dir)


async def halted(lives: Lives) -> None:
    """Waits until the server has halted at its fault."""
    async with asyncio.timeout(60):
        while _state(lives.pid) != "T":
            await asyncio.sleep(0.02)


def _state(pid: int) -> str:
    ran = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return ran.stdout.strip()[:1]


async def test_an_upload_in_flight_is_dropped_and_can_be_brought_again(lives: Lives) -> None:
    await lives.start()
    federation = SmallFederation(lives)
    token = await federation.create()
    await federation.take_assignments_and_fall_silent(token)
    data = bytes(range(256)) * 300
    url = await announced(federation, token, data)
    with socket.create_connection(("127.0.0.1", lives.port)) as half:
        head = f"PUT /{url} HTTP/1.1\r\nHost: 127.0.0.1:{lives.port}\r\nContent-Length: {len(data)}\r\n\r\n"
        half.sendall(head.encode() + data[: len(data) // 2])
        async with asyncio.timeout(30):
            while not incoming(lives.data_dir):
                await asyncio.sleep(0.02)
        await stop_in_time(lives)
    assert incoming(lives.data_dir) == []
    await lives.start()
    async with httpx2.AsyncClient() as http:
        answer = await http.put(f"{lives.url}/{await announced(federation, token, data)}", content=data)
    assert (answer.status_code, answer.json()["size"]) == (200, len(data))


async def announced(federation: SmallFederation, token: str, data: bytes) -> str:
    """The URL of an upload by the node `raw`."""
    node = await federation.shake_hands("raw", token)
    where = {"task_id": federation.task_id, "round": 1, "base_version": 0}
    async with Connection(Endpoint(federation.lives.url, token=token), patience_s=30) as connection:
        begun = await connection.call(
            "begin_upload", node | where | {"sha256": sha256(data).hexdigest(), "size": len(data)}
        )
    return str(begun["url"])


async def test_a_stop_that_comes_while_the_server_starts_is_not_lost(lives: Lives) -> None:
    await lives.start()
    earlier = lives.pid
    assert await lives.stop() == 0
    starting = asyncio.ensure_future(lives.start())
    async with asyncio.timeout(30):
        while lives.pid == earlier or not lives.holds_the_data_directory():
            await asyncio.sleep(0)
    lives.signal(signal.SIGTERM)
    assert await lives.ended() == 0
    await asyncio.wait([starting])
    starting.exception()  # it either came up for a moment or never did


def test_a_thread_that_does_not_end_does_not_keep_the_process() -> None:
    code = """
import threading
from concurrent.futures import ThreadPoolExecutor
from mcp_server.run import _leave
workers, begun = ThreadPoolExecutor(), threading.Event()
workers.submit(lambda: (begun.set(), threading.Event().wait()))
begun.wait()
_leave(workers, 0)
"""
    ran = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
