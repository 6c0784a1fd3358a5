"""A host at the standard streams of a bridge notices nothing of HTTP, and little of a server that comes and goes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from federation.data_dir import remove_address, write_address
from federation.tokens import FIRST_OPERATOR, Role
from mcp_server.keys import operator_token
from tests.mcp_server.raw_node import RawNode
from tests.mcp_server.running import SPEC, Served, serving
from tests.mcp_server.stdio_host import MODERN, Host, bridged
from tools.catalogue import TOOLS
from tools.contract import RoleTool

pytestmark = pytest.mark.anyio
BOTH_ERAS = pytest.mark.parametrize("modern", [True, False], ids=["2026", "2025"])


@asynccontextmanager
async def running(data_dir: Path, **settings: Any) -> AsyncGenerator[Served]:
    """A server that says where it is, as one does that is a process of its own."""
    async with serving(data_dir, **settings) as server:
        write_address(data_dir, server.base, None)
        try:
            yield server
        finally:
            remove_address(data_dir)


@asynccontextmanager
async def hosted(data_dir: Path, *, modern: bool, role: str = "operator") -> AsyncGenerator[tuple[Host, Served]]:
    """A running server and a host of either era, bridged to it."""
    async with running(data_dir) as server, bridged(data_dir, (await server.token(role)).secret) as host:
        if not modern:
            await host.shake_hands()
        yield host, server


@BOTH_ERAS
async def test_requests_refusals_and_errors_pass_as_they_are(tmp_path: Path, modern: bool) -> None:
    async with hosted(tmp_path / "data", modern=modern) as (host, _):
        listed = await host.answer("tools/list", modern=modern)
        assert len(listed["result"]["tools"]) == 16
        created = await host.tool("create_task", modern=modern, spec=SPEC, request_id="bridge-task")
        task_id = created["structuredContent"]["task_id"]
        refused = await host.tool("get_task", modern=modern, task_id="task-aaaaaaaaaaaaaaaa")
        assert refused["isError"]
        assert refused["structuredContent"]["error"]["code"] == "not_found"
        read = await host.answer("resources/read", {"uri": f"potluck://tasks/{task_id}"}, modern=modern)
        assert json.loads(read["result"]["contents"][0]["text"])["task_id"] == task_id
        missing = await host.answer("resources/read", {"uri": "potluck://tasks/none"}, modern=modern)
        assert missing["error"]["message"]
        unknown = await host.answer("potluck/nothing", modern=modern)
        assert unknown["error"]["code"] == -32601


@BOTH_ERAS
async def test_a_change_of_a_task_reaches_the_host(tmp_path: Path, modern: bool) -> None:
    async with hosted(tmp_path / "data", modern=modern) as (host, server):
        uri = f"potluck://tasks/{await server.task()}"
        if modern:
            host.ask("subscriptions/listen", {"notifications": {"resourceSubscriptions": [uri]}}, modern=True)
            await host.hear(lambda said: said.get("method") == "notifications/subscriptions/acknowledged")
        else:
            await host.answer("resources/subscribe", {"uri": uri}, modern=False)
        await server.federation.tasks.control(uri.rpartition("/")[2], "pause", version=None, actor="test")
        notice = await host.hear(lambda said: said.get("method") == "notifications/resources/updated")
        assert notice["params"]["uri"] == uri


class WatchedEvent(asyncio.Event):
    """An event whose waiters are seen to begin and to be cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.cancelled = asyncio.Event(), asyncio.Event()

    async def wait(self) -> Literal[True]:
        self.begun.set()
        try:
            return await super().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@BOTH_ERAS
async def test_a_cancelled_long_poll_ends_on_the_server_too(
    tmp_path: Path, modern: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path / "data") as server:
        token = (await server.token("node")).secret
        node = await RawNode(server, server.rpc(token)).shake_hands()
        task_id = await server.task(cohort={"size": 2, "min_nodes": 2})
        watched = WatchedEvent()
        monkeypatch.setattr(server.federation.shared.notices, "next_work", lambda _: watched)
        async with bridged(tmp_path / "data", token) as host:
            if not modern:
                await host.shake_hands()
            arguments = {"node_id": node.node_id, "node_token": node.node_token, "task_id": task_id, "wait_s": 30}
            number = host.ask("tools/call", {"name": "get_assignment", "arguments": arguments}, modern=modern)
            async with asyncio.timeout(20):
                await watched.begun.wait()
                host.say({"method": "notifications/cancelled", "params": {"requestId": number}})
                await watched.cancelled.wait()
            assert "result" in await host.answer("tools/list", modern=modern), "and the rest goes on"


@pytest.mark.parametrize("line", ["{", "[]", '"x"', "[1, 2]"])
async def test_a_line_that_is_no_message_is_an_error_and_not_the_end(tmp_path: Path, line: str) -> None:
    async with hosted(tmp_path / "data", modern=True) as (host, _):
        host.say(line)
        refused = await host.hear(lambda said: "error" in said)
        assert refused["id"] is None
        assert "Mend:" in refused["error"]["message"]
        assert "result" in await host.answer("server/discover", modern=True)


async def test_a_host_with_a_wrong_token_is_told_what_the_server_says(tmp_path: Path) -> None:
    async with running(tmp_path / "data"), bridged(tmp_path / "data", "pl_wrong") as host:
        refused = await host.answer("tools/list", modern=True)
    assert refused["error"]["message"].startswith("unauthorized: the bearer token is wrong")
    assert "Mend:" in refused["error"]["message"]


@BOTH_ERAS
async def test_without_a_server_a_request_is_an_error_that_says_so_until_one_is_back(
    tmp_path: Path, modern: bool
) -> None:
    data_dir = tmp_path / "data"
    async with running(data_dir) as first:
        task_id = await first.task()
        token = (await first.token("operator")).secret
    async with bridged(data_dir, token) as host:
        async with running(data_dir) as server:
            if not modern:
                await host.shake_hands()
                await host.answer("resources/subscribe", {"uri": f"potluck://tasks/{task_id}"}, modern=False)
            before = server.base
            assert "result" in await host.answer("tools/list", modern=modern)
        gone = await host.answer("tools/list", modern=modern)
        assert "no server runs on" in gone["error"]["message"]
        assert "potluck serve --data-dir" in gone["error"]["message"]
        async with running(data_dir) as server:
            assert server.base != before, "it came back on another port"
            task = await host.tool("get_task", modern=modern, task_id=task_id)
            assert task["structuredContent"]["task_id"] == task_id
            if not modern:
                caught_up = await host.hear(lambda said: said.get("method") == "notifications/resources/updated")
                assert caught_up["params"]["uri"] == f"potluck://tasks/{task_id}"
                await server.federation.tasks.control(task_id, "pause", version=None, actor="test")
                await host.hear(lambda said: said.get("method") == "notifications/resources/updated")


async def test_a_listen_stream_that_ends_with_its_server_is_an_error_of_that_request(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with running(data_dir) as first:
        token = (await first.token("operator")).secret
    async with bridged(data_dir, token) as host:
        async with running(data_dir):
            wanted = {"notifications": {"resourceSubscriptions": ["potluck://tasks"]}}
            number = host.ask("subscriptions/listen", wanted, modern=True)
            await host.hear(lambda said: said.get("method") == "notifications/subscriptions/acknowledged")
        ended = await host.hear(lambda said: said.get("id") == number)
        assert ("error" in ended) != ("result" in ended)


async def test_the_token_that_follows_from_the_data_directory_is_an_operators(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as server:
        await server.federation.tokens.issue(Role.OPERATOR, label="first", request_id=FIRST_OPERATOR, actor="server")
        async with bridged(tmp_path / "data", operator_token(tmp_path / "data")) as host:
            listed = await host.answer("tools/list", {"_meta": MODERN}, modern=True)
    assert "issue_token" in {tool["name"] for tool in listed["result"]["tools"]}


def test_every_answer_of_a_tool_that_wants_headers_is_listed_before_it_is_called() -> None:
    """A bridge learns from a tool list which arguments a tool wants repeated as headers; ours want none."""
    assert not [entry.name for entry in TOOLS if "x-mcp-header" in json.dumps(RoleTool.of(entry).parameters)]
