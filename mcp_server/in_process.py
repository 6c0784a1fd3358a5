"""An MCP client inside the server's own process: no socket, no JSON, and each message as whom the client says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import anyio
from mcp import Client
from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.mcpserver import MCPServer
from mcp.server.runner import serve_dual_era_loop
from mcp.shared.memory import create_client_server_memory_streams
from mcp_types import JSONRPCNotification

from tools.context import Potluck, caller_address

Who = Callable[[], Awaitable[AccessToken | None]]
"""A client's identity, asked for with every message, so that a token's end is felt at once; None: nobody."""

_LEAVE_S = 2.0


class InProcess:
    """Where clients inside this process come from."""

    def __init__(self, protocol: MCPServer, state: Potluck) -> None:
        self._protocol = protocol
        self._state = state

    @asynccontextmanager
    async def connect(self, who: Who, address: str = "") -> AsyncGenerator[Client]:
        """A connected client, for as long as the context lasts.

        Args:
            who: as whom it calls.
            address: where the person behind it is, by which limits count.
        """
        async with Client(cast(Any, self._streams(who, address))) as client:
            yield client

    @asynccontextmanager
    async def _streams(self, who: Who, address: str) -> AsyncGenerator[tuple[Any, Any]]:
        low = self._protocol._lowlevel_server
        async with create_client_server_memory_streams() as ((reading, writing), (server_reads, server_writes)):
            serving = asyncio.create_task(
                serve_dual_era_loop(
                    low,
                    server_reads,
                    cast(Any, _Announcing(server_writes, who)),
                    lifespan_state=self._state,
                    init_options=low.create_initialization_options(),
                )
            )
            try:
                yield reading, _Signing(writing, who, address)
            finally:
                with anyio.CancelScope(shield=True):
                    await writing.aclose()
                    _, slow = await asyncio.wait({serving}, timeout=_LEAVE_S)
                    for task in slow:
                        task.cancel()
                    with suppress(asyncio.CancelledError):
                        await serving


class _Stream:
    """The part of the SDK's stream that a wrapper leaves as it is."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()


class _Signing(_Stream):
    """The client's end: what it sends carries who it is, to the tool that answers it."""

    def __init__(self, inner: Any, who: Who, address: str) -> None:
        super().__init__(inner)
        self._who = who
        self._address = address

    async def send(self, item: Any) -> None:
        """Sends a message. The SDK's streams take the sender's context along with it."""
        identity = await self._who()
        user = auth_context_var.set(None if identity is None else AuthenticatedUser(identity))
        address = caller_address.set(self._address)
        try:
            await self._inner.send(item)
        finally:
            caller_address.reset(address)
            auth_context_var.reset(user)


class _Announcing(_Stream):
    """The server's end: what answers nothing is for those who are somebody, as over HTTP."""

    def __init__(self, inner: Any, who: Who) -> None:
        super().__init__(inner)
        self._who = who

    async def send(self, item: Any) -> None:
        """Sends a message, or keeps a notice from a client whose token has ended."""
        if isinstance(item.message, JSONRPCNotification) and await self._who() is None:
            return
        await self._inner.send(item)
