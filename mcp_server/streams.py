"""Requests in progress by token, so that a token's end is the end of its streams too."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Streams:
    """Lets requests run for as long as their token lasts."""

    def __init__(self) -> None:
        self._ends: dict[str, set[Callable[[], None]]] = defaultdict(set)

    def end(self, token_id: str) -> None:
        """Ends every request of a token: it was revoked."""
        for end in list(self._ends.get(token_id, ())):
            end()

    async def run(
        self,
        app: ASGIApp,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        token_id: str,
        left_s: float | None,
        gently: bool,
    ) -> bool:
        """Answers a request; False when the token ended before the answer began.

        Args:
            left_s: what is left of the token's life; None: for ever.
            gently: tell the application that the client is gone instead of cancelling it.
        """
        answer = _Answer(send)
        ended = asyncio.Event()
        with anyio.CancelScope() as until:
            end = ended.set if gently else until.cancel
            self._ends[token_id].add(end)
            timer = None if left_s is None else asyncio.get_running_loop().call_later(left_s, end)
            try:
                await app(scope, _until(ended, receive) if gently else receive, answer.send)
            finally:
                if timer is not None:
                    timer.cancel()
                self._ends[token_id].discard(end)
                if not self._ends[token_id]:
                    del self._ends[token_id]
        over = until.cancelled_caught or ended.is_set()
        if over and answer.started:
            await answer.complete()
        return answer.started or not over


class _Answer:
    """How far an answer has come."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._finished = self._measured = False
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self._measured = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
        else:
            self._finished = not message.get("more_body", False)
        await self._send(message)

    async def complete(self) -> None:
        """Ends a stream in order. A file that stops early cannot be: there the connection breaks."""
        if not self._finished and not self._measured:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _until(ended: asyncio.Event, receive: Receive) -> Receive:
    """`receive`, which tells of a client that leaves also when the token has ended."""

    async def receiving() -> Message:
        message = asyncio.ensure_future(receive())
        end = asyncio.create_task(ended.wait())
        try:
            await asyncio.wait([message, end], return_when=asyncio.FIRST_COMPLETED)
            return message.result() if message.done() else {"type": "http.disconnect"}
        finally:
            message.cancel()
            end.cancel()

    return receiving
