"""HTTP by hand, byte for byte: what no client library would send, and what it would not show."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

PATIENCE_S = 20
"""For what has to happen; nothing is slept for."""


@dataclass
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The refusal in it."""
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


class Bare:
    """One TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *pieces: bytes) -> None:
        """Bytes as they are."""
        self.writer.write(b"".join(pieces))
        await self.writer.drain()

    async def answer(self) -> Answer:
        """The next answer. Raises ConnectionError if the connection ends before it is whole."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                fields = [line.partition(":") for line in head[1:] if line]
                headers = {name.lower(): value.strip() for name, _, value in fields}
                if "content-length" in headers:
                    body = await self.reader.readexactly(int(headers["content-length"]))
                elif headers.get("transfer-encoding") == "chunked":
                    body = await self._chunks()
                else:
                    body = b""
            except asyncio.IncompleteReadError as error:
                raise ConnectionError(f"the connection ended after {error.partial[:80]!r}") from None
        return Answer(int(head[0].split()[1]), headers, body)

    async def _chunks(self) -> bytes:
        whole = b""
        while size := int(await self.reader.readline(), 16):
            whole += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readline()
        return whole

    async def ended(self) -> bytes:
        """What still comes until the server ends the connection, which it has to."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


@asynccontextmanager
async def bare(base: str, *, receive_buffer: int | None = None) -> AsyncGenerator[Bare]:
    """A connection to the server at `base`; `receive_buffer`: bytes that the kernel takes in unread."""
    host, _, port = base.removeprefix("http://").rpartition(":")
    plug = socket.socket()
    if receive_buffer is not None:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    plug.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plug, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=plug, limit=1 << 26)
    try:
        yield Bare(reader, writer)
    finally:
        writer.transport.abort()  # a client that hung up; what it has not sent is nobody's any more
        with suppress(OSError):
            await writer.wait_closed()


def head(method: str = "GET", path: str = "/healthz", *more: str, end: bool = True) -> bytes:
    """A request's head."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *more]
    return ("\r\n".join(lines) + "\r\n" + ("\r\n" if end else "")).encode("latin-1")
