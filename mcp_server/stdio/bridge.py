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
from mcp_types import CONNECTION_CLOSED, INTERNAL_ERROR, INVALID_REQUEST

from mcp_server.stdio.answers import LOST, TOO_LARGE, messages, problem_of, too_large
from mcp_server.stdio.headers import PLAIN, ModernHeaders, modern_version, part
from mcp_server.stdio.reading import Malformed, is_id, read_message
from mcp_server.stdio.reopening import reopen
from mcp_server.stdio.session import SESSION_ID, Session
from mcp_server.stdio.upstream import Gone, Upstream
from mcp_server.stdio.wire import Wire

log = logging.getLogger(__name__)

_AGAIN_S = 1.0
"""Seconds between looks for a server that went away."""


@dataclass(frozen=True)
class _Pending:
    task: asyncio.Task[None]
    modern: bool


class _TooLarge(Exception):
    """More than the server takes at once."""


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
            message = read_message(line)
        except Malformed as malformed:
            await self._fail(malformed.request_id, str(malformed), malformed.code)
            return
        request_id = message.get("id")
        if "method" not in message or request_id is None:
            await self._notify(message)
            return
        if message["method"] == "initialize":
            async with self._reviving:  # nobody else opens a session meanwhile
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
            cancelled = part(message, "params").get("requestId")
            pending = self._pending.get(cancelled) if is_id(cancelled) else None
            if pending is not None and pending.modern:
                pending.task.cancel()  # which closes the response: over HTTP, that is how one cancels
                return
        if modern_version(message) is not None or not self._session.opened:
            return  # in the modern era nothing else goes this way
        what = message.get("method", "an answer")
        try:
            async with self._exchange(message) as response:
                if not response.is_success:
                    await response.aread()
                    log.warning("the server did not take %s: %s", what, problem_of(response))
        except (Gone, httpx2.TransportError) as error:
            log.warning("%s did not reach the server: %s", what, error)
        except Exception:
            log.exception("%s could not be passed on", what)
        if message.get("method") == "notifications/initialized" and self._following is None:
            self._following = asyncio.create_task(self._follow())

    async def _request(self, message: dict[str, Any]) -> None:
        """Asks the server, and passes on whatever it says until its answer; the host gets exactly one."""
        answered = False
        try:
            if modern_version(message) is None:
                self._session.note_request(message)
            async with self._exchange(message) as response:
                async for text in messages(response):
                    answered = await self._pass_on(text, message, response) or answered
                problem, code = problem_of(response), CONNECTION_CLOSED
        except _TooLarge:
            problem, code = TOO_LARGE, INVALID_REQUEST
        except Gone as gone:
            problem, code = str(gone), CONNECTION_CLOSED
        except httpx2.TransportError:
            problem, code = LOST, CONNECTION_CLOSED
        except Exception as error:  # whatever it is, a host that hears nothing waits for ever
            log.exception("%s could not be passed on", message["method"])
            problem, code = f"this could not be passed on: {error!r}. Mend: look into the log", INTERNAL_ERROR
        if not answered:
            await self._fail(message["id"], problem, code)

    async def _pass_on(self, text: str, request: dict[str, Any], response: httpx2.Response) -> bool:
        """Whether `text`, which the host has now, was the answer to `request`."""
        told = json.loads(text)
        if not isinstance(told, dict) or told.get("jsonrpc") != "2.0":
            return False  # an HTTP error of the server's own, which `problem_of` words
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
        if too_large(content):
            raise _TooLarge
        if version is not None:
            async with self._upstream.stream(
                "POST", "/mcp", headers=self._modern.of(message, version), content=content
            ) as response:
                yield response
            return
        for final in (False, True):
            if self._session.lost and message.get("method") != "initialize":
                await self._revive(None)
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
            await reopen(self._session, self._upstream)
            self._revived.set()

    async def _follow(self) -> None:
        """Passes on what the server says unasked in a session of the older era, across its restarts."""
        missed = False
        while True:
            self._revived.clear()
            try:
                if self._session.lost:
                    await self._revive(None)
                stale = self._session.id
                headers = {"accept": "text/event-stream"} | self._session.headers()
                async with self._upstream.stream("GET", "/mcp", headers=headers) as response:
                    if response.status_code == httpx2.codes.OK:
                        for notice in self._session.notices_that_may_be_lost() if missed else ():
                            await self._wire.write(notice)
                        missed = True
                        async for text in messages(response):
                            await self._wire.write(text)
                if response.status_code == httpx2.codes.NOT_FOUND:
                    await self._revive(stale)
                    continue
            except (Gone, httpx2.TransportError) as error:
                log.debug("the stream of notices ended: %s", error)
            except Exception:  # notices go on, whatever came with one of them
                log.exception("the stream of notices broke")
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
