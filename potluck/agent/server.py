"""The server as the agent meets it: its public tools and resources, and notice of what changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio
from mcp import Client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp_types import Tool

from edge_client.answers import Lost, result_of
from edge_client.connection import Connection
from federation.errors import ErrorCode, Refused
from orchestrator.diagnosis.diagnose import rounds_to_read
from orchestrator.diagnosis.training import Training

View = dict[str, Any]
LONG_S = 600.0
"""Seconds that a plan, a summary or an evaluation may take."""


class Server:
    """Calls tools and waits for changes of a task."""

    def __init__(self, connection: Connection, url: str) -> None:
        self._connection = connection
        self._over: dict[tuple[str, int], View] = {}  # rounds that no longer change
        self.url = url
        self.tools: dict[str, Tool] = {}

    async def look_around(self) -> None:
        """Learns which tools there are for this caller."""
        listing = await self._connection.ask(lambda client: client.list_tools(cache_mode="bypass"))
        self.tools = {tool.name: tool for tool in listing.tools}

    async def call(self, tool: str, **arguments: Any) -> View:
        """A tool's structured result. Raises Refused or Lost."""
        return await self._connection.call(tool, arguments, timeout=LONG_S)

    async def read(self, uri: str) -> Any:
        """A JSON resource."""
        return json.loads(await self._connection.read(uri))

    async def training(self, view: View) -> Training:
        """Everything that a diagnosis goes by. A round that is over is read once."""
        task_id, rounds = str(view["task_id"]), []
        for number in rounds_to_read(view):
            known = self._over.get((task_id, number))
            detail = known or await self.read(f"potluck://tasks/{task_id}/rounds/{number}")
            if detail["state"] in ("closed", "void"):
                self._over[task_id, number] = detail
            rounds.append(detail)
        return Training.of(view, await self.read(f"potluck://tasks/{task_id}/metrics"), rounds)

    async def once(self, task_id: str, holds: Callable[[View], bool], *, within_s: float | None = None) -> View | None:
        """The task once `holds` of it, looked at whenever the server tells of a change; None after `within_s`."""

        async def look(client: Client) -> View | None:
            try:
                with anyio.move_on_after(within_s):
                    return await _listen(client, task_id, holds)
                return None
            except ListenNotSupportedError:
                problem = "this server tells nobody of changes in the way of MCP 2026-07-28."
                raise Refused(ErrorCode.INVALID_ARGUMENT, problem, "use a newer server, or `potluck watch`") from None
            except SubscriptionLost as lost:
                raise Lost(str(lost)) from lost

        return await self._connection.ask(look)


async def _listen(client: Client, task_id: str, holds: Callable[[View], bool]) -> View:
    async with client.listen(resource_subscriptions=[f"potluck://tasks/{task_id}"]) as changes:
        while not holds(view := result_of(await client.call_tool("get_task", {"task_id": task_id}))):
            if await anext(aiter(changes), None) is None:
                raise Lost("the server ended the stream")
        return view
