"""Change notices to every client: listen streams (2026-07-28) and subscribed sessions of the older era.

The SDK announces on one path or the other. This module touches what 2.3 keeps private: the low-level server, to add the
two handlers that it lacks, and a session's connection, which outlives a request.
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
        self._sessions: dict[Any, _Session] = {}
        self._pending: dict[str, None] = {}
        self._work = asyncio.Event()
        self._listen = ListenHandler(self.bus, max_subscriptions=_MAX_STREAMS)

    def install(self, server: MCPServer) -> None:
        """Adds the subscription handlers to a server that was made with `subscriptions=self.bus`."""
        low = server._lowlevel_server
        low.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe)
        low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)
        low.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, self._listen)

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
        if topic == "stop":
            self._listen.close()  # each stream ends with its result: the client knows that it was meant
            return
        if topic == "task":
            changed = [uris.TASK.format(task_id=subject), uris.METRICS.format(task_id=subject)]
        elif topic == "progress":
            changed = [uris.TASK.format(task_id=subject)]
        else:
            changed = [uris.TASKS if topic == "tasks" else uris.NODES]
        self._pending.update(dict.fromkeys(changed))
        self._work.set()

    async def _updated(self, uri: str) -> None:
        await self.bus.publish(ResourceUpdated(uri=uri))
        for session in self._sessions.values():
            session.tell(uri)

    async def _subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        connection = ctx.session._connection
        if connection not in self._sessions:
            session = self._sessions[connection] = _Session(connection)
            connection.exit_stack.callback(self._sessions.pop, connection, None)
            connection.exit_stack.callback(session.close)
        self._sessions[connection].uris.add(str(params.uri))
        return EmptyResult()

    async def _unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
        session = self._sessions.get(ctx.session._connection)
        if session is not None:
            session.uris.discard(str(params.uri))
        return EmptyResult()


class _Session:
    """A session of the older era. It is told at its own pace; what it has not been told yet is merged."""

    def __init__(self, connection: Any) -> None:
        self.uris: set[str] = set()
        self._connection = connection
        self._pending: dict[str, None] = {}
        self._telling: asyncio.Task[None] | None = None

    def tell(self, uri: str) -> None:
        if uri not in self.uris:
            return
        self._pending[uri] = None
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell())

    def close(self) -> None:
        if self._telling is not None:
            self._telling.cancel()

    async def _tell(self) -> None:
        while self._pending:
            uri = next(iter(self._pending))
            del self._pending[uri]
            with anyio.move_on_after(_SLOW_CLIENT_S):
                await self._connection.send_resource_updated(uri)
