"""The SDK's server with next to nothing in it, for comparison: `python -m benchmarks.bare_mcp FILE`.

Both transports, as `MCPServer` offers them; listen streams, whose cap of 1,024 is raised; and three tools. Nobody is
asked who they are.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
from mcp_types import EmptyResult, SubscribeRequestParams, SubscriptionsListenRequestParams
from pydantic import BaseModel
from starlette.applications import Starlette


class Nothing(BaseModel):
    """What a no-op answers."""

    done: bool


async def noop(number: int = 0) -> Nothing:
    """Do nothing."""
    return Nothing(done=True)


def build() -> Starlette:
    """The app. `wait` answers when `tell` is called, which also announces `bare://news`."""
    bus, news = InMemorySubscriptionBus(), asyncio.Event()
    sessions: list[Any] = []
    server = MCPServer("bare", subscriptions=bus, log_level="WARNING")
    server.tool()(noop)

    @server.tool()
    async def wait() -> Nothing:
        """Wait for news."""
        await news.wait()
        return Nothing(done=True)

    @server.tool()
    async def tell() -> Nothing:
        """Announce news."""
        news.set()
        await bus.publish(ResourceUpdated(uri="bare://news"))
        for connection in sessions:
            await connection.send_resource_updated("bare://news")
        return Nothing(done=True)

    async def subscribe(ctx: Any, _: SubscribeRequestParams) -> EmptyResult:
        sessions.append(ctx.session._connection)
        return EmptyResult()

    low = server._lowlevel_server
    low.add_request_handler("resources/subscribe", SubscribeRequestParams, subscribe)
    listen = ListenHandler(bus, max_subscriptions=20_000)
    low.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, listen)
    app = server.streamable_http_app()
    app.router.routes.extend(server.sse_app().routes)
    return app


class _Telling(uvicorn.Server):
    """Writes its URL to a file once it accepts connections."""

    def __init__(self, config: uvicorn.Config, file: Path) -> None:
        super().__init__(config)
        self._file = file

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        self._file.write_text(f"http://127.0.0.1:{port}")


def serve(app: Any, file: Path, **options: Any) -> None:
    """Serves an ASGI app on a free port of loopback, as `potluck serve` sets uvicorn up."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1, **options)
    _Telling(config, file).run(sockets=[listener])


if __name__ == "__main__":
    serve(build(), Path(sys.argv[1]))
