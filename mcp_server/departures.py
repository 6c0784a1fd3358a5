"""Clients that leave in the middle of a request, and requests that a stop cuts short: everyday events, not errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from federation.errors import ErrorCode

log = logging.getLogger(__name__)


class Departures:
    """Ends the request of a client that is gone, or of a server that is about to be, without a traceback."""

    def __init__(self, app: ASGIApp, stopping: Callable[[], bool]) -> None:
        self._app = app
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except ClientDisconnect:
            log.debug("a client left during %s %s", scope.get("method"), scope.get("path"))
        except asyncio.CancelledError:
            if not self._stopping():
                raise
            log.info("stopped in the middle of a request; its client may repeat it")
            if not begun and scope["type"] == "http":
                await _stopped(scope, receive, send)


_STOPPED = {
    "code": ErrorCode.BUSY.value,
    "problem": "the server is being stopped.",
    "mend": "repeat the request once it is back; it is safe",
}
_stopped = JSONResponse({"error": _STOPPED}, status_code=503)
