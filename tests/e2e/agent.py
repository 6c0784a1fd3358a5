"""What an agent does with a server, over whatever transport and in whichever era its client speaks."""

from __future__ import annotations

import json
from typing import Any

import anyio
from machine import spec
from mcp import Client

from tools.catalogue import TOOLS
from tools.context import Access


class Heard:
    """Keeps the URIs of change notices, as a client's message handler."""

    def __init__(self) -> None:
        self.uris: list[str] = []

    async def __call__(self, message: Any) -> None:
        if getattr(message, "method", "") == "notifications/resources/updated":
            self.uris.append(str(message.params.uri))


async def use(client: Client, request_id: str, heard: Heard) -> str:
    """What a host does: lists, calls, is refused, reads, hears of a change. The id of the task that it made."""
    listed = [tool.name for tool in (await client.list_tools()).tools]
    assert listed == [each.name for each in TOOLS if each.allows(Access.OPERATOR)], "the host is an operator"
    made = await client.call_tool("create_task", {"spec": spec(), "request_id": request_id})
    assert made.structured_content is not None
    task_id = str(made.structured_content["task_id"])
    refused = await client.call_tool("aggregate_round", {"task_id": task_id, "round": 1})
    assert refused.is_error
    uri = f"potluck://tasks/{task_id}"
    read = await client.read_resource(uri, cache_mode="bypass")
    assert json.loads(read.contents[0].text)["task_id"] == task_id  # type: ignore[union-attr]
    pause = {"task_id": task_id, "action": "pause"}
    with anyio.fail_after(30):
        if client.protocol_version >= "2026-07-28":
            async with client.listen(resource_subscriptions=[uri]) as events:
                await client.call_tool("control_task", pause)
                assert (await anext(aiter(events))).uri == uri  # type: ignore[union-attr]
        else:
            await client.subscribe_resource(uri)
            await client.call_tool("control_task", pause)
            while uri not in heard.uris:
                await anyio.sleep(0.02)
    return task_id
