"""MCP 2026-07-28 and the raw lane on bare sockets: clients so light that two thousand fit beside the server.

It speaks as much HTTP/1.1 as the servers that are measured here do, and knows nothing of retries.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "benchmark", "version": "1"},
}
_LIMIT = 8 << 20
_PIECE = 1 << 20


class Failed(Exception):
    """The server said no, or something that this client does not understand; `code` is a refusal's."""

    def __init__(self, problem: str, code: str = "") -> None:
        super().__init__(problem)
        self.code = code


class Dropped(Failed):
    """The connection was closed before an answer came."""


class Wire:
    """One connection, kept alive, for one request at a time.

    A server closes connections that rest; a request that meets this is sent once more. Every call may be repeated.
    """

    def __init__(self, host: str, port: int, token: str | None = None) -> None:
        self.host, self.port = host, port
        self.netloc = f"{host}:{port}"
        self._bearer = f"Authorization: Bearer {token}\r\n" if token else ""
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._ids = itertools.count(1)

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """A tool's structured result. Raises Failed with the code when it is a refusal."""
        result = await self.ask("tools/call", {"name": tool, "arguments": arguments}, name=tool)
        content: dict[str, Any] = result.get("structuredContent") or {}
        if result.get("isError"):
            raise Failed(json.dumps(result["content"])[:500], content.get("error", {}).get("code", ""))
        return content

    async def ask(self, method: str, params: dict[str, Any], *, name: str = "") -> dict[str, Any]:
        """The result of any request."""
        status, headers = await self._exchange(lambda: self._post(method, params, name))
        if "text/event-stream" in headers.get("content-type", ""):
            answer: dict[str, Any] = {"error": "the stream ended without an answer"}
            async for event in events(self._pieces()):
                if "id" in event:
                    answer = event
        else:
            body = await self._body(headers)
            if status != 200:
                raise Failed(f"{status} {body[:300]!r}")
            answer = json.loads(body)
        if "error" in answer:
            raise Failed(json.dumps(answer)[:300])
        result: dict[str, Any] = answer["result"]
        return result

    async def listen(self, uris: list[str]) -> AsyncIterator[dict[str, Any]]:
        """The notifications of a listen stream, the acknowledgement first."""
        params = {"notifications": {"resourceSubscriptions": uris}}
        await self._post("subscriptions/listen", params, "")
        status, _ = await self._head()
        if status != 200:
            raise Failed(f"listen: {status}")
        async for event in events(self._pieces()):
            yield event

    async def put(self, path: str, data: bytes, *, stop_after: int | None = None) -> dict[str, Any]:
        """Sends a file by the raw lane; with `stop_after`, breaks the connection after so many bytes."""

        async def send() -> None:
            writer = await self._open()
            head = f"PUT /{path} HTTP/1.1\r\nHost: {self.netloc}\r\nContent-Length: {len(data)}\r\n\r\n"
            writer.write(head.encode())
            view = memoryview(data)[:stop_after]
            for start in range(0, len(view), _PIECE):
                writer.write(view[start : start + _PIECE])
                await writer.drain()

        if stop_after is not None:
            await send()
            self.drop()
            return {}
        status, headers = await self._exchange(send)
        body: dict[str, Any] = json.loads(await self._body(headers))
        if status != 200:
            raise Failed(f"{status} {body}")
        return body

    async def get(self, path: str) -> bytes:
        """A file by the raw lane, or any other page."""

        async def send() -> None:
            head = f"GET /{path} HTTP/1.1\r\nHost: {self.netloc}\r\n{self._bearer}\r\n"
            (await self._open()).write(head.encode())

        status, headers = await self._exchange(send)
        body = await self._body(headers)
        if status != 200:
            raise Failed(f"{status} {body[:300]!r}")
        return body

    def drop(self) -> None:
        """Breaks the connection off, as a node that vanishes does; the next request opens another."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def _open(self) -> asyncio.StreamWriter:
        if self._reader is not None and self._reader.at_eof():
            self.drop()  # the server has closed a connection that was idle for long
        if self._writer is None or self._writer.is_closing():
            self._reader, self._writer = await asyncio.open_connection(self.host, self.port, limit=_LIMIT)
        return self._writer

    async def _post(self, method: str, params: dict[str, Any], name: str) -> None:
        message = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params | {"_meta": META}}
        body = json.dumps(message).encode()
        named = f"Mcp-Name: {name}\r\n" if name else ""
        head = (
            f"POST /mcp HTTP/1.1\r\nHost: {self.netloc}\r\nContent-Type: application/json\r\n"
            f"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {VERSION}\r\n"
            f"Mcp-Method: {method}\r\n{named}{self._bearer}Content-Length: {len(body)}\r\n\r\n"
        )
        (await self._open()).write(head.encode() + body)

    async def _exchange(self, send: Callable[[], Awaitable[None]]) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer to what `send` sends."""
        rested = self._writer is not None
        try:
            await send()
            return await self._head()
        except (Dropped, OSError):
            self.drop()
            if not rested:
                raise
        await send()
        return await self._head()

    async def _head(self) -> tuple[int, dict[str, str]]:
        assert self._reader is not None
        try:
            lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except (asyncio.IncompleteReadError, OSError):
            self.drop()
            raise Dropped("the connection was closed") from None
        pairs = (line.split(":", 1) for line in lines[1:] if ":" in line)
        return int(lines[0].split()[1]), {name.lower(): value.strip() for name, value in pairs}

    async def _body(self, headers: dict[str, str]) -> bytes:
        assert self._reader is not None
        if "content-length" in headers:
            return await self._reader.readexactly(int(headers["content-length"]))
        return b"".join([piece async for piece in self._pieces()])

    async def _pieces(self) -> AsyncIterator[bytes]:
        """A chunked body."""
        assert self._reader is not None
        while size := int(await self._reader.readline(), 16):
            yield await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        await self._reader.readline()


class SseWire:
    """A client of the older HTTP+SSE transport in a session of 2025-11-25; posts go over a second connection."""

    def __init__(self, host: str, port: int, token: str | None = None) -> None:
        self._stream, self._posts = Wire(host, port, token), Wire(host, port, token)
        self._messages: AsyncIterator[dict[str, Any]]
        self._path = ""

    async def connect(self, uris: list[str]) -> None:
        """Opens the stream, shakes hands as that revision does, and subscribes to `uris`."""
        writer = await self._stream._open()
        writer.write(
            f"GET /sse HTTP/1.1\r\nHost: {self._stream.netloc}\r\n{self._stream._bearer}"
            "Accept: text/event-stream\r\n\r\n".encode()
        )
        status, _ = await self._stream._head()
        if status != 200:
            raise Failed(f"/sse: {status}")
        self._messages = events(self._stream._pieces())
        self._path = (await anext(self._messages))["endpoint"]
        client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "b", "version": "1"}}
        await self.ask("initialize", client)
        await self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        for uri in uris:
            await self.ask("resources/subscribe", {"uri": uri})
        self._posts.drop()  # an idle SSE client holds one connection

    async def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The result of a request."""
        await self._send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        async for message in self._messages:
            if message.get("id") == 1:
                if "error" in message:
                    raise Failed(json.dumps(message["error"]))
                result: dict[str, Any] = message["result"]
                return result
        raise Failed("the stream ended")

    async def notifications(self) -> AsyncIterator[dict[str, Any]]:
        """What the server sends of its own accord."""
        async for message in self._messages:
            if "method" in message:
                yield message

    async def _send(self, message: dict[str, Any]) -> None:
        posts, body = self._posts, json.dumps(message).encode()
        writer = await posts._open()
        head = (
            f"POST {self._path} HTTP/1.1\r\nHost: {posts.netloc}\r\nContent-Type: application/json\r\n"
            f"{posts._bearer}Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        status, headers = await posts._head()
        await posts._body(headers)
        if status != 202:
            raise Failed(f"{self._path}: {status}")


async def events(pieces: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The JSON messages of an event stream; the first event of an SSE connection as `{"endpoint": path}`."""
    text = b""
    async for piece in pieces:
        text = (text + piece).replace(b"\r\n", b"\n")
        while b"\n\n" in text:
            event, _, text = text.partition(b"\n\n")
            lines = event.split(b"\n")
            data = b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))
            if data.startswith(b"{"):
                yield json.loads(data)
            elif b"event: endpoint" in lines:
                yield {"endpoint": data.decode()}
