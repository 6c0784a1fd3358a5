"""Requests in progress by token, so that a token's end is the end of its streams too."""

from __future__ import annotations

import math
from collections import defaultdict

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Streams:
    """Lets requests run for as long as their token lasts."""

    def __init__(self) -> None:
        self._running: dict[str, set[anyio.CancelScope]] = defaultdict(set)

    def end(self, token_id: str) -> None:
        """Ends every request of a token: it was revoked."""
        for scope in list(self._running.get(token_id, ())):
            scope.cancel()

    async def run(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, *, token_id: str, left_s: float | None
    ) -> bool:
        """Answers a request; False when the token ended before the answer began. `left_s`: what is left of its life."""
        started = finished = measured = False

        async def watching(message: Message) -> None:
            nonlocal started, finished, measured
            if message["type"] == "http.response.start":
                started = True
                measured = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
            else:
                finished = not message.get("more_body", False)
            await send(message)

        deadline = math.inf if left_s is None else anyio.current_time() + left_s
        with anyio.CancelScope(deadline=deadline) as until:
            self._running[token_id].add(until)
            try:
                await app(scope, receive, watching)
            finally:
                self._running[token_id].discard(until)
                if not self._running[token_id]:
                    del self._running[token_id]
        if until.cancelled_caught and started and not finished and not measured:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        return started or not until.cancelled_caught
