"""The host at this process's standard streams, served by the server in the same process."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import uvicorn
from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.mcpserver import MCPServer
from mcp.server.runner import serve_dual_era_loop
from mcp.server.stdio import stdio_server
from starlette.applications import Starlette

from federation.errors import ErrorCode, Refused
from mcp_server.auth import Callers, local_operator
from mcp_server.settings import Settings
from mcp_server.stdio.wire import Wire
from tools.context import Potluck

log = logging.getLogger("potluck")

Who = Callable[[], Awaitable[AccessToken | None]]


async def serve_wire(wire: Wire, server: MCPServer, state: Potluck, who: Who) -> None:
    """Serves the host until it closes its stream, in the era that it opens with.

    Args:
        who: the host's identity, asked for with every message, so that a token's end is felt at once.
    """
    low = server._lowlevel_server
    incoming, outgoing = cast(Any, _Incoming(wire, who)), cast(Any, _Outgoing(wire, who))
    async with stdio_server(incoming, outgoing) as (read, write):
        await serve_dual_era_loop(
            low, read, write, lifespan_state=state, init_options=low.create_initialization_options()
        )


async def host_identity(callers: Callers, settings: Settings, token: str | None) -> Who:
    """Who the host is: the holder of `token`, or without one, the operator that this process's owner is anyway.

    Raises:
        Refused: the token is not valid.
    """

    async def operator() -> AccessToken | None:
        return local_operator(settings)

    async def holder() -> AccessToken | None:
        known = await callers.holder(token or "", guessing=False)
        return None if known is None else known.identity

    if token is not None and await holder() is None:
        raise Refused(
            ErrorCode.FORBIDDEN,
            "the bearer token for the host at the standard streams is wrong, revoked or expired.",
            "leave out --token and POTLUCK_TOKEN to be the operator, or give a valid one",
        )
    return operator if token is None else holder


def start_host(server: uvicorn.Server, app: Starlette, wire: Wire, who: Who) -> asyncio.Task[None]:
    """Serves the host beside the network; when it leaves, the server stops."""

    def left(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the host at the standard streams was lost", exc_info=error)
        server.handle_exit(signal.SIGTERM, None)

    task = asyncio.create_task(serve_wire(wire, app.state.protocol, app.state.potluck, who))
    task.add_done_callback(left)
    return task


class _Incoming:
    """What the SDK's transport takes for standard input."""

    def __init__(self, wire: Wire, who: Who) -> None:
        self._wire = wire
        self._who = who

    async def __aiter__(self) -> AsyncIterator[str]:
        async for line in self._wire.lines():
            identity = await self._who()
            # The SDK's streams carry the sender's context along with each message, to the tool that answers it.
            auth_context_var.set(None if identity is None else AuthenticatedUser(identity))
            yield line


class _Outgoing:
    """What the SDK's transport takes for standard output."""

    def __init__(self, wire: Wire, who: Who) -> None:
        self._wire = wire
        self._who = who

    async def write(self, text: str) -> None:
        """Writes a message. One that answers nothing is for the holder of a token that lasts, as over HTTP."""
        if "method" in json.loads(text) and await self._who() is None:
            return
        await self._wire.write(text)

    async def flush(self) -> None:
        """Nothing waits here."""
