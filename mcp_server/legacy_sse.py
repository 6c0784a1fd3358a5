"""The older HTTP transport: one stream a client, answered with the same state as everything else."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer
from mcp.server.runner import serve_dual_era_loop
from mcp.server.sse import SseServerTransport
from starlette.types import Receive, Scope, Send

from tools.context import Potluck


class SseStream:
    """Serves one SSE connection for as long as it lasts, in the era that the client opens with.

    The SDK's own `sse_app()` would enter the lifespan again for each connection.
    """

    def __init__(self, transport: SseServerTransport, server: MCPServer, state: Potluck) -> None:
        self._transport = transport
        self._server = server._lowlevel_server
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        options = self._server.create_initialization_options()
        async with self._transport.connect_sse(scope, receive, send) as (incoming, outgoing):
            await serve_dual_era_loop(
                self._server, incoming, outgoing, lifespan_state=self._state, init_options=options
            )
