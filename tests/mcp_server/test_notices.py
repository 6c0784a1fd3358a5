"""Word of changes: it reaches clients of both eras over both transports, whatever becomes of other clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from mcp_types import ResourceUpdatedNotification, SubscribeRequestParams

from federation.coordinator.notices import Notices
from mcp_server.fanout import Fanout
from tests.mcp_server.raw_node import cohort, enrolled, packed
from tests.mcp_server.running import Served

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:resources/(un)?subscribe is removed"),  # in the era that has no other way
]
Heard = Callable[[], Awaitable[str]]


@asynccontextmanager
async def listening(served: Served, transport: str, mode: str, uris: list[str]) -> AsyncGenerator[Heard]:
    """Answers, one after the other, the URIs that a client is told have changed."""
    told: asyncio.Queue[str] = asyncio.Queue()

    async def on_message(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            told.put_nowait(str(message.params.uri))

    async def heard() -> str:
        with anyio.fail_after(5):
            return await told.get()

    async with served.client(transport=transport, mode=mode, message_handler=on_message) as client:
        if mode == "legacy":
            for uri in uris:
                await client.subscribe_resource(uri)
            await asyncio.sleep(0.05 if transport == "http" else 0)  # the stream of a handshake-era session opens late
            yield heard
            return
        async with client.listen(resource_subscriptions=uris) as events:

            async def next_event() -> str:
                with anyio.fail_after(5):
                    return str((await anext(aiter(events))).uri)  # type: ignore[union-attr]

            yield next_event


BOTH = pytest.mark.parametrize(
    ("transport", "mode"), [("http", "auto"), ("http", "legacy"), ("sse", "auto"), ("sse", "legacy")]
)


@BOTH
async def test_a_change_of_a_task_is_announced(served: Served, transport: str, mode: str) -> None:
    task_id = await served.task(start=False)
    uris = [f"potluck://tasks/{task_id}", "potluck://tasks"]
    async with listening(served, transport, mode, uris) as heard:
        await served.federation.tasks.control(task_id, "start", version=None, actor="test")
        assert {await heard(), await heard()} == set(uris)


@BOTH
async def test_an_accepted_update_and_its_metrics_are_announced(served: Served, transport: str, mode: str) -> None:
    node, _ = await cohort(served)
    uri = f"potluck://tasks/{node.task_id}/metrics"
    async with listening(served, transport, mode, [uri]) as heard:
        await node.submit_inline(packed(), metrics={"train_loss": 1.0})
        assert await heard() == uri
    rows = await served.rpc().read(uri)
    assert [row["name"] for row in rows] == ["train_loss"]


@BOTH
async def test_a_new_node_is_announced(served: Served, transport: str, mode: str) -> None:
    async with listening(served, transport, mode, ["potluck://nodes"]) as heard:
        await enrolled(served)
        assert await heard() == "potluck://nodes"


@BOTH
async def test_what_a_client_did_not_ask_for_is_not_announced_to_it(served: Served, transport: str, mode: str) -> None:
    mine, other = await served.task(), await served.task()
    async with listening(served, transport, mode, [f"potluck://tasks/{mine}"]) as heard:
        served.federation.shared.notices.task_changed(other)
        served.federation.shared.notices.task_changed(mine)
        assert await heard() == f"potluck://tasks/{mine}"


async def test_a_client_that_unsubscribed_hears_no_more(served: Served) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    one, other = await served.task(), await served.task()

    async def on_message(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            told.put_nowait(str(message.params.uri))

    async with served.client(transport="sse", mode="legacy", message_handler=on_message) as client:
        for task_id in (one, other):
            await client.subscribe_resource(f"potluck://tasks/{task_id}")
        await client.unsubscribe_resource(f"potluck://tasks/{one}")
        for task_id in (one, other):
            served.federation.shared.notices.task_changed(task_id)
        with anyio.fail_after(5):
            assert await told.get() == f"potluck://tasks/{other}"
    assert told.empty()


@pytest.mark.parametrize("gone", ["http", "sse"])
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_clients_that_are_gone_do_not_keep_the_others_from_hearing(served: Served, gone: str, mode: str) -> None:
    task_id = await served.task()
    uri = f"potluck://tasks/{task_id}"
    for _ in range(3):
        async with listening(served, gone, mode, [uri]):
            pass
    async with listening(served, "http", "auto", [uri]) as heard:
        served.federation.shared.notices.task_changed(task_id)
        assert await heard() == uri


def connection(send: Callable[[str], Awaitable[None]]) -> Any:
    """As the fan-out sees a handshake-era session."""
    stack = SimpleNamespace(callback=lambda *_: None)
    return SimpleNamespace(session=SimpleNamespace(_connection=_Connection(send, stack)))


class _Connection:
    def __init__(self, send: Callable[[str], Awaitable[None]], exit_stack: Any) -> None:
        self.send_resource_updated, self.exit_stack = send, exit_stack


@asynccontextmanager
async def fanning(*sends: Callable[[str], Awaitable[None]]) -> AsyncGenerator[Notices]:
    notices, fanout = Notices(), Fanout()
    fanout.follow(notices)
    for send in sends:
        await fanout._subscribe(connection(send), SubscribeRequestParams(uri="potluck://nodes"))
        await fanout._subscribe(connection(send), SubscribeRequestParams(uri="potluck://tasks"))
    running = asyncio.create_task(fanout.run())
    try:
        yield notices
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_a_session_that_hangs_does_not_delay_the_next_announcement_to_the_others() -> None:
    told: asyncio.Queue[str] = asyncio.Queue()

    async def hanging(_: str) -> None:
        await asyncio.Event().wait()

    async with fanning(hanging, told.put) as notices:
        for change in (notices.nodes_changed, notices.tasks_changed):
            change()
            with anyio.fail_after(1):
                await told.get()
