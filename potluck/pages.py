"""The pages for people: the dashboard, handed its clients, and started when somebody first looks at it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mcp import Client
from starlette.responses import HTMLResponse, JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.principal import Connect, Principal
from mcp_server.addresses import source_of
from mcp_server.app import Pages, PagesFor
from mcp_server.edge_policy import framers
from mcp_server.in_process import InProcess, Who
from mcp_server.plain_page import plain_page
from mcp_server.settings import Settings
from mcp_server.visitors import Visitors
from potluck.page_limits import PageLimits

log = logging.getLogger(__name__)

Headers = Sequence[tuple[bytes, bytes]]

_POLICY = "; ".join(
    (
        "default-src 'self'",
        # Gradio writes its settings into the page as a script, and compiles the templates of gr.HTML, not their values.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",  # Gradio and Plotly set styles on elements
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "media-src 'self' blob: data:",
        "worker-src 'self' blob:",
        "connect-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    )
)
"""What the pages may do: everything is the server's own, so a stranger's text could load nothing, even if it were read
as markup."""

_WRONG = (
    "This token is wrong, revoked or expired. Mend: paste the operator's token as `potluck serve` printed it "
    "(`potluck token --data-dir DIR` prints it again), or one that issue_token made"
)
_TOO_MANY = (
    "Too many wrong tokens came from your address, so none is looked at there. Mend: try again in {wait:.0f} seconds, "
    "with the right one"
)
_MISSING = Path(__file__).with_name("no_dashboard.html")


def pages_for(settings: Settings, *, hub_sign_in: bool = False, at_once: bool = False) -> PagesFor:
    """The pages of a server with these settings, made on the first visit: one that nobody looks at pays nothing.

    Args:
        hub_sign_in: whether visitors may sign in at Hugging Face; only inside a Space.
        at_once: make them when the server starts, so that the first visitor need not wait.
    """
    policy = f"{_POLICY}; frame-ancestors {' '.join(framers(settings))}"
    headers = [
        (b"content-security-policy", policy.encode()),
        (b"referrer-policy", b"same-origin"),
        (b"x-content-type-options", b"nosniff"),
    ]

    def build(clients: InProcess, visitors: Visitors) -> Pages:
        connect = _connect(clients, visitors)

        def make() -> ASGIApp:
            from dashboard.application import Options, application

            return PageLimits(application(connect, Options(hub_sign_in=hub_sign_in)))

        return Lazy(make, headers, at_once=at_once) if find_spec("gradio") else _Missing()

    return build


def _connect(clients: InProcess, visitors: Visitors) -> Connect:
    def who(principal: Principal) -> Who:
        if principal.watcher:
            return visitors.watcher()
        if principal.token is not None:
            return visitors.holder(principal.token, source_of(principal.address))
        return visitors.anonymous() if principal.hub_user is None else visitors.named(principal.hub_user)

    @asynccontextmanager
    async def connect(principal: Principal) -> AsyncGenerator[Client]:
        calls_as = who(principal)
        if principal.token is not None and await calls_as() is None:
            wait = visitors.wait(source_of(principal.address))
            raise PermissionError(_TOO_MANY.format(wait=wait) if wait else _WRONG)
        async with clients.connect(calls_as, source_of(principal.address)) as client:
            yield client

    return connect


class Lazy:
    """An ASGI application that is made at the first request, off the event loop, and lives until it is closed.

    Args:
        headers: what every answer carries besides its own.
        at_once: make it when the server starts.
    """

    def __init__(self, make: Callable[[], ASGIApp], headers: Headers = (), *, at_once: bool = False) -> None:
        self._make = make
        self._headers = list(headers)
        self._at_once = at_once
        self._living: asyncio.Task[None] | None = None
        self._made: asyncio.Future[ASGIApp] | None = None
        self._over = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request; the first ones wait until there is something to answer it."""
        app = await self.ready()

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
            await send(message)

        await app(scope, receive, with_headers)

    async def open(self) -> None:
        """The server has started."""
        if self._at_once:
            self._begin()

    async def ready(self) -> ASGIApp:
        """The application, started. An attempt that failed is made again by whoever asks next."""
        return await asyncio.shield(self._begin())

    def _begin(self) -> asyncio.Future[ASGIApp]:
        if self._made is None or (self._made.done() and self._made.exception() is not None):
            self._made = asyncio.get_running_loop().create_future()
            self._made.add_done_callback(lambda made: made.cancelled() or made.exception())  # it may have no visitor
            self._living = asyncio.create_task(self._live(self._made))
        return self._made

    async def close(self) -> None:
        """Ends the application, if it ever began."""
        self._over.set()
        if self._living is not None:
            await asyncio.wait({self._living}, timeout=5)

    async def _live(self, made: asyncio.Future[ASGIApp]) -> None:
        try:
            app: Any = await asyncio.to_thread(self._make)
            async with app.router.lifespan_context(app):
                made.set_result(app)
                await self._over.wait()
        except Exception as error:
            log.exception("the dashboard failed")
            if not made.done():
                made.set_exception(error)


class _Missing:
    """Says how to install the dashboard, to those who look for it."""

    def __init__(self) -> None:
        self._page = HTMLResponse(plain_page(_MISSING), status_code=503)
        refused = {"code": "not_found", "problem": "there is no such page.", "mend": "the protocol is served at /mcp"}
        self._nothing = JSONResponse({"error": refused}, status_code=404)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        await (self._page if path in ("", "/") else self._nothing)(scope, receive, send)

    async def open(self) -> None:
        """There is nothing to prepare."""

    async def close(self) -> None:
        """Nothing is running."""
