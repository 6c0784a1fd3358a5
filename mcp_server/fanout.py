"""Change notices to every client: listen streams (2026-07-28) and subscribed sessions of the older era.

The SDK announces on one path or the other. This is the one module that touches what 2.3 keeps private: the
low-level server, to add the two handlers that it lacks, and a session's connection, which outlives a request.
"""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
from mcp_types import EmptyResult, SubscribeRequestParams, SubscriptionsListenRequestParams, UnsubscribeRequestParams

from federation.coordinator.notices import Notices, Topic
from resources import uris

_MAX_STREAMS = 20_000
_SLOW_CLIENT_S = 5


class Fanout:
    """Turns the federation's notices into MCP notifications. Notices that come faster than they go out are merged."""

    def __init__(self) -> None:
        self.bus = InMemorySubscriptionBus()
        self._sessions: dict[Any, set[str]] = {}
        self._pending: dict[str, None] = {}
        self._work = asyncio.Event()

    def install(self, server: MCPServer) -> None:
        """Adds the subscription handlers to a server that was made with `subscriptions=self.bus`."""
        low = server._lowlevel_server
        low.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe)
        low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)
        listen = ListenHandler(self.bus, max_subscriptions=_MAX_STREAMS)
        low.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, listen)

    def follow(self, notices: Notices) -> None:
        """Announces every change that the federation tells of."""
        notices.listen(self._noticed)

    async def run(self) -> None:
        """Sends what is pending, for ever; the server's lifespan owns this."""
        while True:
            await self._work.wait()
            self._work.clear()
            pending, self._pending = list(self._pending), {}
            for uri in pending:
                await self._updated(uri)

    def _noticed(self, topic: Topic, subject: str) -> None:
        if topic == "task":
            changed = [uris.TASK.format(task_id=subject), uris.METRICS.format(task_id=subject)]
        else:
            changed = [uris.TASKS if topic == "tasks" else uris.NODES]
        self._pending.update(dict.fromkeys(changed))
        self._work.set()

    async def _updated(self, uri: str) -> None:
        await self.bus.publish(ResourceUpdated(uri=uri))
        async with anyio.create_task_group() as group:  # a slow client must not hold up the others
            for connection, subscribed in list(self._sessions.items()):
                if uri in subscribed:
                    group.start_soon(self._send, connection, uri)

    async def _send(self, connection: Any, uri: str) -> None:
        with anyio.move_on_after(_SLOW_CLIENT_S):
            await connection.send_resource_updated(uri)

    async def _subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        connection = ctx.session._connection
        if connection not in self._sessions:
            self._sessions[connection] = set()
            connection.exit_stack.callback(self._sessions.pop, connection, None)
        self._sessions[connection].add(str(params.uri))
        return EmptyResult()

    async def _unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
        self._sessions.get(ctx.session._connection, set()).discard(str(params.uri))
        return EmptyResult()
