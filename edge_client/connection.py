"""An MCP client that outlives its connection: every tool may be repeated, so a lost answer is asked for again."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Protocol, Self, TypeVar

from mcp import Client
from mcp_types import BlobResourceContents, CallToolResult

from edge_client.answers import Lost, meaning, result_of

T = TypeVar("T")
CONNECT_S = 30.0
"""Seconds in which a server must accept a connection and agree on a protocol version."""


class Door(Protocol):
    """Where a `Connection` gets its MCP client from: an `Endpoint`, or a test's in-process server."""

    status: int | None
    """The last HTTP error status, 400 or above, since this was last set to None."""

    def connect(self) -> AbstractAsyncContextManager[Client]:
        """A connected client, for as long as the context lasts."""
        ...


def delays(first_s: float = 0.25, cap_s: float = 30.0, jitter: Callable[[], float] = random.random) -> Iterator[float]:
    """Seconds to wait before each new attempt: doubling up to `cap_s`, of which a random half is taken off,
    so that nodes which lost the same server do not return in step."""
    delay = first_s
    while True:
        yield delay * (1 - jitter() / 2)
        delay = min(delay * 2, cap_s)


class _Line:
    """One live client, owned by one task: the SDK's task groups must be left by the task that entered them."""

    def __init__(self, door: Door) -> None:
        self._closing = asyncio.Event()
        self.ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._own(door))

    async def _own(self, door: Door) -> BaseException | None:
        try:
            async with door.connect() as client:
                self.ready.set_result(client)
                await self._closing.wait()
        except Exception as error:
            return error
        return None

    async def client(self) -> Client:
        first: list[asyncio.Future[Any]] = [self.ready, self.task]
        await asyncio.wait(first, timeout=CONNECT_S, return_when=asyncio.FIRST_COMPLETED)
        if not self.ready.done():
            raise self.failure()
        return self.ready.result()

    def failure(self) -> BaseException:
        """Why there is no client, or no longer one."""
        if not self.task.done():
            return Lost(f"no answer within {CONNECT_S:.0f} s")
        return (None if self.task.cancelled() else self.task.result()) or Lost("the connection closed")

    async def close(self) -> None:
        self._closing.set()
        _, slow = await asyncio.wait({self.task}, timeout=2)
        for task in slow:
            task.cancel()
            await asyncio.wait({task}, timeout=2)


class Connection:
    """Calls tools and reads resources, reconnecting with growing pauses until the server answers.

    Args:
        door: where clients come from, e.g. an `Endpoint`.
        patience_s: how long to go on trying, in seconds of pauses; None means for ever, 0 means not at all.
        on_lost: told the problem and the pause in seconds before each new attempt.
        on_back: told when an answer came after that.
        pauses, sleep: replaced in tests.

    Raises (all calls):
        Refused: the server said no; code, problem and mend are the server's.
        Lost: it was out of reach for longer than `patience_s`.
    """

    def __init__(
        self,
        door: Door,
        *,
        patience_s: float | None = None,
        on_lost: Callable[[str, float], None] | None = None,
        on_back: Callable[[], None] | None = None,
        pauses: Callable[[], Iterator[float]] = delays,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._door = door
        self.patience_s = patience_s
        self._on_lost = on_lost
        self._on_back = on_back
        self._pauses = pauses
        self._sleep = sleep
        self._line: _Line | None = None
        self._known = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._line:
            await self._line.close()

    async def call(
        self, tool: str, arguments: dict[str, Any], *, timeout: float = 60.0, once: bool = False
    ) -> dict[str, Any]:
        """The structured result of a tool; `timeout` bounds one attempt, in seconds; `once`: there is but one."""

        async def question(client: Client) -> CallToolResult:
            return await client.call_tool(tool, arguments, read_timeout_seconds=timeout)

        return result_of(await (self._once(question) if once else self.ask(question)))

    async def read(self, uri: str) -> bytes:
        """The bytes of a resource."""
        result = await self.ask(lambda client: client.read_resource(uri, cache_mode="bypass"))
        content = result.contents[0]
        return base64.b64decode(content.blob) if isinstance(content, BlobResourceContents) else content.text.encode()

    async def ask(self, question: Callable[[Client], Awaitable[T]]) -> T:
        """What `question` answers, asked again on a new connection whenever the old one is lost."""
        paused = 0.0
        for pause in self._pauses():
            try:
                answer = await self._once(question)
            except Lost as lost:
                if self.patience_s is not None and paused + pause > self.patience_s:
                    raise
                if self._on_lost:
                    self._on_lost(str(lost), pause)
                await self._sleep(pause)
                paused += pause
            else:
                if paused and self._on_back:
                    self._on_back()
                return answer
        raise AssertionError("pauses are endless")

    async def _once(self, question: Callable[[Client], Awaitable[T]]) -> T:
        if self._line is None or self._line.task.done():
            self._line = _Line(self._door)
        line = self._line
        self._door.status = None
        asked: asyncio.Future[T] | None = None
        try:
            client = await line.client()
            self._known = True
            asked = asyncio.ensure_future(question(client))
            first: list[asyncio.Future[Any]] = [asked, line.task]
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                raise line.failure()
            return asked.result()
        except Exception as error:
            verdict = meaning(error, status=self._door.status, known=self._known)
            if isinstance(verdict, Lost):
                if self._line is line:
                    self._line = None
                await line.close()
            if verdict is error:
                raise
            raise verdict from error
        finally:
            if asked is not None and not asked.done():
                asked.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await asked
