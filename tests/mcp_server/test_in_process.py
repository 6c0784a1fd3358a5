"""Clients inside the server's process call as whom they say, with every message anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from mcp_server.app import Pages, PagesFor
from mcp_server.in_process import InProcess, Who
from mcp_server.visitors import Visitors
from tests.mcp_server.running import Served, serving

pytestmark = pytest.mark.anyio
OPERATORS_OWN = {"create_task", "control_task", "issue_token"}


@dataclass
class Inside:
    """A server, and the way in for what runs in its process."""

    served: Served
    clients: InProcess
    visitors: Visitors


class _NoPages:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("nobody looks")

    async def open(self) -> None:
        self.opened = True

    async def close(self) -> None:
        self.closed = True


@pytest.fixture(scope="module")
async def inside(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Inside]:
    ways: list[tuple[InProcess, Visitors]] = []

    def pages(clients: InProcess, visitors: Visitors) -> Pages:
        ways.append((clients, visitors))
        return _NoPages()

    make: PagesFor = pages
    folder: Path = tmp_path_factory.mktemp("inside")
    async with serving(folder, pages_for=make, operators=["Ada"], failures_per_minute=2) as served:
        yield Inside(served, *ways[0])


async def tools_of(client: Client) -> set[str]:
    return {tool.name for tool in (await client.list_tools(cache_mode="bypass")).tools}


async def a_viewer(inside: Inside) -> Who:
    return inside.visitors.holder((await inside.served.token("viewer")).secret, "10.0.0.1")


async def an_operator(inside: Inside) -> Who:
    return inside.visitors.holder((await inside.served.token("operator")).secret, "10.0.0.2")


async def test_two_visitors_at_once_each_see_their_own_tools(inside: Inside) -> None:
    viewer, operator = await a_viewer(inside), await an_operator(inside)
    async with inside.clients.connect(viewer) as one, inside.clients.connect(operator) as other:
        for _ in range(20):
            seen, steered = await asyncio.gather(tools_of(one), tools_of(other))
            assert not seen & OPERATORS_OWN
            assert seen | OPERATORS_OWN <= steered


async def test_a_viewer_who_names_an_operators_tool_is_refused_and_nothing_is_made(inside: Inside) -> None:
    before = await inside.served.snapshot()
    async with inside.clients.connect(await a_viewer(inside)) as client:
        answer = await client.call_tool("create_task", {"spec": {"name": "x"}, "request_id": "a-viewers-wish"})
    assert answer.is_error
    assert (answer.structured_content or {})["error"]["code"] == "forbidden"
    assert (await inside.served.snapshot()).tables["tasks"] == before.tables["tasks"]


async def test_a_token_that_is_revoked_is_worth_nothing_from_the_next_message_on(inside: Inside) -> None:
    token = await inside.served.token("operator")
    async with inside.clients.connect(inside.visitors.holder(token.secret, "10.0.0.3")) as client:
        assert await tools_of(client) >= OPERATORS_OWN
        await inside.served.federation.tokens.revoke(token.token_id, actor="test")
        assert await tools_of(client) == set()
        answer = await client.call_tool("list_tasks", {})
        assert (answer.structured_content or {})["error"]["code"] == "forbidden"


async def test_a_listener_whose_token_has_ended_hears_nothing_more(inside: Inside) -> None:
    token = await inside.served.token("viewer")
    async with (
        inside.clients.connect(inside.visitors.holder(token.secret, "10.0.0.4")) as client,
        inside.clients.connect(inside.visitors.watcher()) as watcher,
        client.listen(resource_subscriptions=["potluck://tasks"]) as heard,
        watcher.listen(resource_subscriptions=["potluck://tasks"]) as watched,
    ):
        first = asyncio.ensure_future(anext(aiter(heard)))
        await inside.served.task()
        assert str((await asyncio.wait_for(first, 10)).uri) == "potluck://tasks"  # type: ignore[union-attr]
        await asyncio.wait_for(anext(aiter(watched)), 10)
        await inside.served.federation.tokens.revoke(token.token_id, actor="test")
        second = asyncio.ensure_future(anext(aiter(heard)))
        await inside.served.task()
        await asyncio.wait_for(anext(aiter(watched)), 10)  # by now it would have come
        assert not second.done()
        second.cancel()
        await asyncio.wait([second])


async def test_a_name_at_hugging_face_makes_an_operator_only_of_those_who_are_named(inside: Inside) -> None:
    async with inside.clients.connect(inside.visitors.named("ada")) as ada:
        assert await tools_of(ada) >= OPERATORS_OWN
    async with inside.clients.connect(inside.visitors.named("mallory")) as mallory:
        assert not await tools_of(mallory) & OPERATORS_OWN


async def test_the_watcher_may_only_look(inside: Inside) -> None:
    async with inside.clients.connect(inside.visitors.watcher()) as watcher:
        assert not await tools_of(watcher) & OPERATORS_OWN


async def test_wrong_tokens_from_one_address_are_slowed_down_and_do_not_lock_out_those_who_hold_one(
    inside: Inside,
) -> None:
    for number in range(4):
        assert await inside.visitors.holder(f"a-guess-{number:08d}", "10.9.9.9")() is None
    assert inside.visitors._rates.failures.wait("10.9.9.9") > 0
    good = await inside.served.token("viewer")
    assert await inside.visitors.holder(good.secret, "10.9.9.9")() is not None


async def test_closing_a_client_leaves_nothing_running(inside: Inside) -> None:
    before = len(asyncio.all_tasks())
    for _ in range(5):
        async with inside.clients.connect(inside.visitors.anonymous()) as client:
            await client.list_tools()
    assert len(asyncio.all_tasks()) == before


@pytest.mark.parametrize("path", ["/mcp", "/sse", "/healthz"])
async def test_an_address_with_a_slash_too_many_leads_to_the_right_one_beside_pages_too(
    inside: Inside, path: str
) -> None:
    secret = (await inside.served.token("operator")).secret
    answer = await inside.served.http.get(f"{path}/", headers={"Authorization": f"Bearer {secret}"})
    assert (answer.status_code, answer.headers["location"]) == (307, inside.served.base + path)
