"""A client that hardly reads does not hold up the others, and does not stay for ever."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from mcp_server import raw_lane
from tests.mcp_server.rpc import META
from tests.mcp_server.running import Served, serving
from tests.mcp_server.wire import request, rpc_request, until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux drops clients that do not read"),
]
BIG = 24 << 20


@pytest.fixture
async def impatient(tmp_path: Path) -> AsyncGenerator[Served]:
    """A server that drops a client which takes nothing for a second."""
    async with serving(tmp_path, send_timeout_s=1) as served:
        yield served


async def ask_and_stop_reading(served: Served, asked: bytes) -> socket.socket:
    """A connection with a small window, on which the answer has begun."""
    host, port = served.host.split(":")
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(slow, (host, int(port)))
    await loop.sock_sendall(slow, asked)
    assert (await loop.sock_recv(slow, 12)) == b"HTTP/1.1 200"
    return slow


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_a_download_that_nobody_reads_holds_nobody_up_and_is_dropped(impatient: Served) -> None:
    served, data = impatient, os.urandom(BIG)
    task_id = await served.task()
    sha256 = await asyncio.to_thread(served.federation.shared.spool.put, data)
    url = served.federation.shared.lanes.blob_url(sha256, task_id)
    assert (await served.http.get("/healthz")).status_code == 200
    files = open_files()
    with await ask_and_stop_reading(served, request(served, "GET", f"/{url}", {})):
        whole = await served.http.get(f"/{url}")
        assert hashlib.sha256(whole.content).hexdigest() == sha256
        assert (await served.rpc().call("list_tasks"))["tasks"]
        await until(lambda: open_files() <= files + 1)  # all that is left is this client's own end
    sent = served.federation.traffic.totals["raw", "down"]
    assert BIG <= sent < 2 * BIG, "what did not go out is not counted"


@pytest.mark.e2e  # eight seconds of reading slowly
async def test_a_download_that_is_read_too_slowly_is_dropped(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_lane, "_PIECE_S", 0.3)
    task_id = await served.task()
    sha256 = await asyncio.to_thread(served.federation.shared.spool.put, os.urandom(BIG))
    url = served.federation.shared.lanes.blob_url(sha256, task_id)
    received, loop = 0, asyncio.get_running_loop()
    with await ask_and_stop_reading(served, request(served, "GET", f"/{url}", {})) as slow:
        async with asyncio.timeout(60):
            while taken := await loop.sock_recv(slow, 8192):
                received += len(taken)
                await asyncio.sleep(0.01)
    assert 0 < received < BIG // 2
    assert (await served.rpc().call("list_tasks"))["tasks"]


async def test_a_stream_of_changes_that_nobody_reads_holds_nobody_up_and_is_dropped(impatient: Served) -> None:
    served = impatient
    task_id = await served.task()
    uri = f"potluck://tasks/{task_id}"
    wanted = {"notifications": {"resourceSubscriptions": [uri]}, "_meta": META}
    assert (await served.http.get("/healthz")).status_code == 200
    files = open_files()
    with await ask_and_stop_reading(served, rpc_request(served, served.rpc(), "subscriptions/listen", wanted)):
        async with served.client() as other, other.listen(resource_subscriptions=[uri]) as changes:
            async with asyncio.timeout(60):
                while open_files() > files + 3:  # this client's own end, and both ends of the other
                    served.federation.shared.notices.task_changed(task_id)
                    assert str((await anext(aiter(changes))).uri) == uri  # type: ignore[union-attr]
