"""What visitors may send to the pages: how much at a time, and how many pictures in a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from federation.errors import ErrorCode, Refused
from mcp_server.addresses import source
from mcp_server.refusals import answer
from tools.rate import Buckets

MOST_BYTES = 1 << 20
"""Of an event: what a person types, draws or chooses."""
MOST_PICTURE = 9 << 20
"""Of an upload: a picture of 8 MiB, and what wraps it."""
_EVERYBODY = "everybody"
_SHUT = ("deep_link", "monitoring", "proxy=")
"""Gradio's own endpoints below /gradio_api that these pages do not use, and that write files or ask other hosts."""


class PageLimits:
    """Turns away what is too large, too much, or for nobody here, before Gradio looks at it.

    Args:
        mib_per_minute: pictures from one address; eight times as many from all of them together.
    """

    def __init__(
        self, app: ASGIApp, *, mib_per_minute: float = 16, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        one, all_ = mib_per_minute * (1 << 20), 8 * mib_per_minute * (1 << 20)
        self._of_one = Buckets(per_minute=one, burst=2 * one, clock=clock)
        self._of_all = Buckets(per_minute=all_, burst=all_, clock=clock)

    @property
    def router(self) -> Any:
        """The application's, whose lifespan it lives by."""
        return self._app.router  # type: ignore[attr-defined]  # a Starlette

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] == "http" and (refused := self._refused(scope)) is not None:
            status, why = refused
            await answer(why, status)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refused(self, scope: Scope) -> tuple[int, Refused] | None:
        path = str(scope["path"]).removeprefix(scope.get("root_path", ""))
        below = path.partition("/gradio_api/")[2]
        if below.startswith(_SHUT):
            return 404, Refused(ErrorCode.NOT_FOUND, "these pages have no such part.", "load the page again")
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return None
        length = dict(scope["headers"]).get(b"content-length", b"")
        if not length.isdigit():
            return 411, Refused(ErrorCode.INVALID_ARGUMENT, "the request does not say how long it is.", "say it")
        picture = below.partition("?")[0].rstrip("/") == "upload"
        most = MOST_PICTURE if picture else MOST_BYTES
        if int(length) > most:
            problem = f"{int(length):,} bytes are more than the {most:,} that this page takes at a time."
            return 413, Refused(ErrorCode.TOO_LARGE, problem, "send less")
        return self._rationed(source(scope), int(length)) if picture else None

    def _rationed(self, address: str, size: int) -> tuple[int, Refused] | None:
        wait = max(self._of_one.wait(address, size), self._of_all.wait(_EVERYBODY, size))
        if wait:
            words = "more pictures came than this server keeps for a while."
            mend = f"try again in {wait:.0f} seconds"
            return 429, Refused(ErrorCode.RATE_LIMITED, words, mend, retry_after_s=wait)
        self._of_one.take(address, size)
        self._of_all.take(_EVERYBODY, size)
        return None
