"""How a server begins, ends, begins again, and what it never says."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from federation.coordinator.federation import open_federation
from federation.errors import ErrorCode, Refused
from mcp_server import run
from mcp_server.logs import configure
from mcp_server.run import local_url
from mcp_server.settings import Settings
from resources.workload import Workload
from tests.mcp_server.raw_node import RawNode, cohort, packed
from tests.mcp_server.rpc import Refusal
from tests.mcp_server.running import Served, serving

pytestmark = pytest.mark.anyio


async def test_a_second_server_on_one_data_directory_is_refused_by_the_process_of_the_first(served: Served) -> None:
    with pytest.raises(Refused) as caught:
        async with open_federation(served.data_dir, Workload()):
            pass
    assert caught.value.code is ErrorCode.BUSY
    assert str(os.getpid()) in caught.value.problem
    assert "--data-dir" in caught.value.mend
    assert (await served.http.get("/healthz")).status_code == 200


async def test_a_data_directory_is_free_again_when_its_server_has_stopped(tmp_path: Path) -> None:
    for _ in range(2):
        async with serving(tmp_path) as served:
            assert (await served.rpc().call("list_tasks"))["tasks"] == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "pot.example", "", "127.0.0.1.example", "1.127.0.0"])
def test_open_is_refused_wherever_others_could_reach_it(host: str) -> None:
    with pytest.raises(ValidationError, match=r"every caller an operator.*Mend"):
        Settings(open=True, host=host)
    assert not Settings(host=host).open


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1"])
def test_open_is_granted_on_loopback(host: str) -> None:
    assert Settings(open=True, host=host).open


@pytest.mark.parametrize("flag", ["open", "conformance"])
@pytest.mark.parametrize("proxy", [{"base_path": "/fed"}, {"trusted_proxies": ["127.0.0.1"]}])
def test_what_is_for_loopback_only_is_refused_behind_a_proxy(flag: str, proxy: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=rf"--{flag} is refused together with {next(iter(proxy))}.*Mend"):
        Settings(**{flag: True}, **proxy)
    assert not getattr(Settings(**proxy), flag)


@pytest.mark.parametrize(
    ("host", "local"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("192.0.2.7", "192.0.2.7"), ("pot.example", "pot.example")],
)
def test_a_server_bound_to_all_addresses_is_dialled_on_loopback_by_its_own_machine(host: str, local: str) -> None:
    assert local_url(Settings(host=host, base_path="/fed"), 7860) == f"http://{local}:7860/fed"


async def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    data, more = packed(value=0.4), packed(value=0.6)
    async with serving(tmp_path) as served:
        one, other = await cohort(served)
        receipt = (await one.deliver(data))["receipt"]
        begun = await other.begin(more)
        await other.chunk(begun["upload_id"], 0, more[:1000])
    async with serving(tmp_path) as served:
        for node in (one, other):
            node.served, node.rpc = served, served.rpc(node.rpc.headers["Authorization"].removeprefix("Bearer "))
        assert (await one.submit_inline(data))["receipt"] == receipt
        assert (await other.begin(more))["next_offset"] == 1000
        await other.put(begun["url"], more)
        await other.submit(more, begun["upload_id"])
        await served.close_due_rounds()
        assert (await served.state_of(one.task_id))["version"] == 1


async def test_small_answers_are_sent_at_once(tmp_path: Path) -> None:
    delays: asyncio.Queue[bool] = asyncio.Queue()

    async def look(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted = writer.get_extra_info("socket")
        delays.put_nowait(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0)
        writer.close()

    with run.listen(Settings(port=0, data_dir=tmp_path)) as listener:
        async with await asyncio.start_server(look, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            delayed = await delays.get()
            writer.close()
            await writer.wait_closed()
    assert not delayed


async def everything(served: Served) -> set[str]:
    """A life of good and bad calls; answers every secret that took part in it."""
    secrets = set()
    tokens = [await served.token(role) for role in ("node", "operator", "viewer")]
    secrets |= {token.secret for token in tokens} | {token.secret.split("_", 2)[2] for token in tokens}
    nodes = await cohort(served)
    for node in nodes:
        data = packed(value=0.3)
        begun = await node.begin(data)
        secrets |= {begun["url"].rpartition("/")[2], node.node_token, node.rpc.headers["Authorization"]}
        secrets.add(node.assignment["model"]["url"].rpartition("/")[2])
        await node.put(begun["url"], data)
        await served.http.get("/" + node.assignment["model"]["url"])
        for bad in ({"num_examples": 0}, {"signature": "x"}, {"node_token": node.node_token + "x"}):
            with pytest.raises(Refusal):
                await node.submit_inline(data, **bad)
        await node.put(begun["url"], data)
        await node.submit(data, begun["upload_id"])
        with pytest.raises(Refusal):
            await node.put(begun["url"], data)
    await served.close_due_rounds()
    await served.rpc(tokens[0].secret + "x").post("tools/list")
    await served.rpc(tokens[1].secret).call("issue_token", request_id=served.fresh(), role="viewer")
    for transport in ("http", "sse"):
        async with served.client(tokens[2].secret, transport=transport, mode="legacy") as client:
            await client.list_tools()
            await client.call_tool("no_such_tool", {})
    await RawNode(served, served.rpc(tokens[0].secret)).shake_hands()
    return secrets


async def test_no_secret_is_ever_logged(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for name in ("potluck", "federation", "tools", "mcp_server", "resources", "edge_client", "uvicorn"):
        caplog.set_level(logging.DEBUG, logger=name)
    secrets = await everything(served)
    assert len(secrets) > 12
    silent = ("httpx2", "httpcore2", "uvicorn.access")  # the tests' own client, and what a server does not log
    ours = [record for record in caplog.records if not record.name.startswith(silent)]
    said = "".join(logging.Formatter().format(record) for record in ours)
    assert [secret[:12] for secret in secrets if secret in said] == []


async def test_no_secret_is_logged_when_everything_is(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    root, said = logging.getLogger(), io.StringIO()
    names = ("mcp", "httpx2", "httpcore2", "sse_starlette", "aiosqlite", "alembic", "uvicorn", "uvicorn.access")
    before = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in names}
    access = logging.getLogger("uvicorn.access")
    propagated = access.propagate
    monkeypatch.setattr("sys.stderr", said)
    try:
        configure("text", "DEBUG")
        secrets = await everything(served)
        logging.getLogger("someone").error("Authorization: Bearer %s", next(iter(secrets)))
    finally:
        root.handlers[:], root.level = before[0], before[1]
        access.propagate = propagated
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    assert "someone" in said.getvalue()
    assert [secret[:12] for secret in secrets if secret in said.getvalue()] == []
