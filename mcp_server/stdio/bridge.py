"""A host at this process's standard streams, served by the server that another process runs on the data directory.

Messages pass as they are. What differs between the two transports is translated: headers, sessions, and how a
request is cancelled (a message on the one, a closed response on the other).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx2
from mcp_types import CONNECTION_CLOSED, INVALID_REQUEST, PARSE_ERROR

from mcp_server.stdio.headers import PLAIN, ModernHeaders, modern_version
from mcp_server.stdio.session import SESSION_ID, Session
from mcp_server.stdio.upstream import Gone, Upstream
from mcp_server.stdio.wire import Wire

log = logging.getLogger(__name__)

_AGAIN_S = 1.0
"""Seconds between looks for a server that went away."""
_LOST = "the server's answer was lost on the way. Mend: call again; a repeated call changes nothing twice"


@dataclass(frozen=True)
class _Pending:
    task: asyncio.Task[None]
    modern: bool


class Bridge:
    """Relays between `wire` and `upstream` until the host closes its stream."""

    def __init__(self, wire: Wire, upstream: Upstream) -> None:
        self._wire = wire
        self._upstream = upstream
        self._session = Session()
        self._modern = ModernHeaders()
        self._pending: dict[Any, _Pending] = {}
        self._following: asyncio.Task[None] | None = None
        self._reviving = asyncio.Lock()
        self._revived = asyncio.Event()

    async def run(self) -> None:
        """Relays every message of the host."""
        try:
            async for line in self._wire.lines():
                await self._take(line)
        finally:
            await self._close()

    async def _take(self, line: str) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            await self._fail(None, "this line is not JSON. Mend: one message a line", PARSE_ERROR)
            return
        if not isinstance(message, dict):
            await self._fail(None, "this is no JSON-RPC message. Mend: one object a line, no batches", INVALID_REQUEST)
            return
        method, request_id = message.get("method"), message.get("id")
        if not isinstance(method, str) or request_id is None:
            await self._notify(message)
            return
        if method == "initialize":
            self._session.forget_ids()
            await self._request(message)
            return
        task = asyncio.create_task(self._request(message))
        self._pending[request_id] = pending = _Pending(task, modern_version(message) is not None)
        task.add_done_callback(lambda _: self._forget(request_id, pending))

    def _forget(self, request_id: Any, pending: _Pending) -> None:
        if self._pending.get(request_id) is pending:
            del self._pending[request_id]

    async def _notify(self, message: dict[str, Any]) -> None:
        """A notification, or an answer to a question of the server's."""
        if message.get("method") == "notifications/cancelled":
            pending = self._pending.get((message.get("params") or {}).get("requestId"))
            if pending is not None and pending.modern:
                pending.task.cancel()  # which closes the response: over HTTP, that is how one cancels
                return
        if modern_version(message) is not None or not self._session.opened:
            return  # in the modern era nothing else goes this way
        try:
            async with self._exchange(message):
                pass
        except (Gone, httpx2.TransportError) as error:
            log.warning("%s did not reach the server: %s", message.get("method", "an answer"), error)
        if message.get("method") == "notifications/initialized" and self._following is None:
            self._following = asyncio.create_task(self._follow())

    async def _request(self, message: dict[str, Any]) -> None:
        """Asks the server, and passes on whatever it says until its answer; a lost server is an error to the host."""
        request_id = message["id"]
        if modern_version(message) is None:
            self._session.note_request(message)
        try:
            async with self._exchange(message) as response:
                answered = False
                async for text in _messages(response):
                    answered = await self._pass_on(text, message, response) or answered
                if not answered:
                    await self._fail(request_id, _problem(response), CONNECTION_CLOSED)
        except Gone as gone:
            await self._fail(request_id, str(gone), CONNECTION_CLOSED)
        except httpx2.TransportError:
            await self._fail(request_id, _LOST, CONNECTION_CLOSED)

    async def _pass_on(self, text: str, request: dict[str, Any], response: httpx2.Response) -> bool:
        """Whether `text`, which the host has now, was the answer to `request`."""
        told = json.loads(text)
        if not isinstance(told, dict) or told.get("jsonrpc") != "2.0":
            return False  # an HTTP error of the server's own, which `_problem` words
        answer = "method" not in told
        if answer and request["method"] == "initialize":
            self._session.note_handshake(response.headers.get(SESSION_ID), told)
        if answer and request["method"] == "tools/list":
            self._modern.learn(told)
        if answer and told.get("id") != request["id"]:  # it was refused before its id was read
            told["id"] = request["id"]
            text = json.dumps(told)
        await self._wire.write(text if "\n" not in text else json.dumps(told))
        return answer

    @asynccontextmanager
    async def _exchange(self, message: dict[str, Any]) -> AsyncIterator[httpx2.Response]:
        """Posts a message; a session that the server does not know (any more) is opened anew first."""
        version, content = modern_version(message), json.dumps(message)
        if version is not None:
            async with self._upstream.stream(
                "POST", "/mcp", headers=self._modern.of(message, version), content=content
            ) as response:
                yield response
            return
        for final in (False, True):
            stale = self._session.id
            async with self._upstream.stream(
                "POST", "/mcp", headers=PLAIN | self._session.headers(), content=content
            ) as response:
                if final or stale is None or response.status_code != httpx2.codes.NOT_FOUND:
                    yield response
                    return
            await self._revive(stale)

    async def _revive(self, stale: str | None) -> None:
        """Opens a session like the one that went with its server, unless that has been done."""
        async with self._reviving:
            if self._session.id != stale:
                return
            log.info("the server was started anew; opening the session again")
            self._session.forget_ids()
            opening, *others = self._session.replay()
            async with self._upstream.stream("POST", "/mcp", headers=PLAIN, content=json.dumps(opening)) as response:
                async for text in _messages(response):
                    told = json.loads(text)
                    if told.get("id") == opening["id"]:
                        self._session.note_handshake(response.headers.get(SESSION_ID), told)
            for each in [{"jsonrpc": "2.0", "method": "notifications/initialized"}, *others]:
                headers = PLAIN | self._session.headers()
                async with self._upstream.stream("POST", "/mcp", headers=headers, content=json.dumps(each)) as response:
                    await response.aread()
            self._revived.set()

    async def _follow(self) -> None:
        """Passes on what the server says unasked in a session of the older era, across its restarts."""
        missed = False
        while True:
            stale = self._session.id
            self._revived.clear()
            with suppress(Gone, httpx2.TransportError):
                headers = {"accept": "text/event-stream"} | self._session.headers()
                async with self._upstream.stream("GET", "/mcp", headers=headers) as response:
                    if response.status_code == httpx2.codes.OK:
                        for notice in self._session.notices_that_may_be_lost() if missed else ():
                            await self._wire.write(notice)
                        missed = True
                        async for text in _messages(response):
                            await self._wire.write(text)
                if response.status_code == httpx2.codes.NOT_FOUND:
                    await self._revive(stale)
                    continue
            with suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_S):
                    await self._revived.wait()

    async def _fail(self, request_id: Any, problem: str, code: int) -> None:
        error = {"code": code, "message": problem}
        await self._wire.write(json.dumps({"jsonrpc": "2.0", "id": request_id, "error": error}))

    async def _close(self) -> None:
        tasks = [pending.task for pending in self._pending.values()]
        if self._following is not None:
            tasks.append(self._following)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session.id is not None:
            with suppress(Gone, httpx2.TransportError, TimeoutError):
                async with asyncio.timeout(2), self._upstream.stream("DELETE", "/mcp", headers=self._session.headers()):
                    pass
        await self._upstream.close()


async def _messages(response: httpx2.Response) -> AsyncIterator[str]:
    """The JSON texts of a response, be it one or a stream of them."""
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        async for event in httpx2.EventSource(response, max_event_size=None):
            if event.data:
                yield event.data
        return
    body = (await response.aread()).decode(errors="replace")
    with suppress(ValueError):
        json.loads(body)
        yield body


def _problem(response: httpx2.Response) -> str:
    """Why there is no answer, from an HTTP error of the server's own where there is one."""
    if response.is_success:
        return _LOST
    with suppress(ValueError, KeyError, TypeError, httpx2.StreamError):
        error = response.json()["error"]
        return f"{error['code']}: {error['problem'].rstrip('.')}. Mend: {error['mend']}"
    return f"the server answered with HTTP status {response.status_code}. Mend: look into its log"
