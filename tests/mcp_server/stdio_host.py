"""A host that holds the other ends of a server's standard streams, and says and hears single messages."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, PROTOCOL_VERSION_META_KEY

from mcp_server.stdio.bridge import Bridge
from mcp_server.stdio.upstream import Upstream
from mcp_server.stdio.wire import Wire

CLIENT = {"name": "a host", "version": "1"}
MODERN = {
    PROTOCOL_VERSION_META_KEY: "2026-07-28",
    CLIENT_CAPABILITIES_META_KEY: {},
    CLIENT_INFO_META_KEY: CLIENT,
}


class Host:
    """Sends to a server's standard input and keeps what comes out until a test asks for it."""

    def __init__(self, incoming: BinaryIO, reader: asyncio.StreamReader) -> None:
        self._incoming = incoming
        self._reader = reader
        self._heard: list[dict[str, Any]] = []
        self._numbers = itertools.count(1)

    def say(self, message: dict[str, Any] | str) -> None:
        """One line to the server."""
        text = message if isinstance(message, str) else json.dumps({"jsonrpc": "2.0", **message})
        self._incoming.write(text.encode() + b"\n")
        self._incoming.flush()

    def ask(self, method: str, params: dict[str, Any] | None = None, *, modern: bool) -> int:
        """A request; its id."""
        number = next(self._numbers)
        params = {**(params or {}), **({"_meta": MODERN} if modern else {})}
        self.say({"id": number, "method": method, "params": params})
        return number

    async def hear(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first message of this kind, also one that came before."""
        async with asyncio.timeout(30):
            while True:
                for message in self._heard:
                    if wanted(message):
                        self._heard.remove(message)
                        return message
                line = await self._reader.readline()
                assert line, "the server closed its standard output"
                self._heard.append(json.loads(line))

    async def answer(self, method: str, params: dict[str, Any] | None = None, *, modern: bool) -> dict[str, Any]:
        """The whole answer to a request, be it a result or an error."""
        number = self.ask(method, params, modern=modern)
        return await self.hear(lambda message: message.get("id") == number)

    async def tool(self, name: str, *, modern: bool, **arguments: Any) -> dict[str, Any]:
        """The result of a tool call."""
        answer = await self.answer("tools/call", {"name": name, "arguments": arguments}, modern=modern)
        result: dict[str, Any] = answer["result"]
        return result

    async def shake_hands(self) -> dict[str, Any]:
        """Opens a session of the older era; what the server answered."""
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT}
        answer = await self.answer("initialize", params, modern=False)
        self.say({"method": "notifications/initialized"})
        result: dict[str, Any] = answer["result"]
        return result

    def leave(self) -> None:
        """Closes the server's standard input."""
        self._incoming.close()


@asynccontextmanager
async def wired() -> AsyncGenerator[tuple[Host, Wire]]:
    """A host and the server's end of its streams."""
    to_server, from_host = os.pipe()
    to_host, from_server = os.pipe()
    reader = asyncio.StreamReader(limit=8 << 20)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(to_host, "rb")
    )
    host = Host(os.fdopen(from_host, "wb"), reader)
    outgoing = os.fdopen(from_server, "wb", buffering=0)
    try:
        yield host, Wire(os.fdopen(to_server, "rb"), outgoing)
    finally:
        host.leave()
        transport.close()
        outgoing.close()


@asynccontextmanager
async def bridged(data_dir: Path, token: str) -> AsyncGenerator[Host]:
    """A host whose server is a bridge to the one that runs on `data_dir`."""
    async with wired() as (host, wire):
        running = asyncio.create_task(Bridge(wire, Upstream(data_dir, lambda: token)).run())
        try:
            yield host
        finally:
            host.leave()
            async with asyncio.timeout(10):
                await running
