"""One Starlette app: MCP over Streamable HTTP and SSE, the raw lane, the browser node's page, health and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from mcp.server.sse import SseServerTransport
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from federation.coordinator.federation import Federation
from federation.store.audit import Audit
from mcp_server.auth import AuthMiddleware, Callers
from mcp_server.departures import Departures
from mcp_server.edge import Edge
from mcp_server.fanout import Fanout
from mcp_server.hosts import HostGuard, accepted_hosts, host_of
from mcp_server.in_process import InProcess
from mcp_server.legacy_sse import SseStream
from mcp_server.prefix import Prefix
from mcp_server.protocol import build_protocol
from mcp_server.rates import rates_of
from mcp_server.raw_lane import RawLane
from mcp_server.settings import Settings
from mcp_server.streams import Streams
from mcp_server.telemetry import Telemetry
from mcp_server.trimmed import Trimmed
from mcp_server.visitors import Visitors
from orchestrator.llm.configured import LlmChoice, language_model
from resources.workload import Workload
from tools.context import Potluck

MAX_RPC_BYTES = 4 << 20


class Pages(Protocol):
    """What people see at `/` and below: an ASGI application that is told when the server stops."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        ...

    async def open(self) -> None:
        """The server has started."""
        ...

    async def close(self) -> None:
        """Ends what it has running."""
        ...


PagesFor = Callable[[InProcess, Visitors], Pages]
"""Makes the pages of a server. They reach it by an MCP client, like anybody, and are handed in from above."""


def build_app(
    settings: Settings, federation: Federation, workload: Workload, pages_for: PagesFor | None = None
) -> Starlette:
    """The app around an open federation. Both transports and both protocol eras share its one state."""
    hosts = accepted_hosts(settings)
    shared = federation.shared
    audit = Audit(shared.database, shared.clock, most_rows=settings.audit_rows, days=settings.audit_days)
    state = Potluck(
        federation,
        workload,
        lambda host: host_of(host) in hosts,
        audit,
        rates_of(settings),
        model=language_model(LlmChoice(settings.llm, settings.llm_model, max_tokens=settings.llm_tokens)),
        llm_tokens=settings.llm_tokens,
        check_clients=settings.check_clients,
    )
    streams = Streams()
    federation.tokens.on_end(streams.end)
    telemetry, fanout = Telemetry(federation), Fanout()
    fanout.follow(federation.shared.notices)
    protocol = build_protocol(state, telemetry, fanout, conformance=settings.conformance)
    unguarded = TransportSecuritySettings(enable_dns_rebinding_protection=False)  # HostGuard guards every route
    http = protocol.streamable_http_app(
        max_request_body_size=MAX_RPC_BYTES,
        max_sessions=settings.max_sessions,
        session_idle_timeout=settings.session_timeout_s,
        transport_security=unguarded,
    )
    sse = SseServerTransport("/messages/", security_settings=unguarded, max_request_body_size=MAX_RPC_BYTES)

    callers = Callers(settings, federation.tokens)
    visitors = Visitors(callers, state.rates, settings.operators)
    pages = None if pages_for is None else pages_for(InProcess(protocol, state), visitors)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def metrics(_: Request) -> Response:
        return Response(await telemetry.render(), media_type="text/plain; version=0.0.4")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = [asyncio.create_task(fanout.run()), asyncio.create_task(audit.run())]
        try:
            async with protocol.session_manager.run():
                if pages is not None:
                    await pages.open()
                yield
        finally:
            if pages is not None:
                await pages.close()
            for task in running:
                task.cancel()
            await asyncio.wait(running)

    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.allow_origin,
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=["*"],
        expose_headers=["Mcp-Session-Id", "WWW-Authenticate", "ETag"],
    )
    app = Starlette(
        lifespan=lifespan,
        routes=[
            *http.routes,
            Route("/sse", SseStream(sse, protocol, state), methods=["GET"]),
            Mount("/messages/", app=sse.handle_post_message),
            *RawLane(state).routes(),
            *Edge(settings).routes(),
            Route("/healthz", healthz),
            Route("/metrics", metrics),
        ],
        middleware=[
            Middleware(Trimmed),
            Middleware(Prefix, settings.base_path),
            Middleware(Departures, lambda: federation.shared.notices.stopping),
            Middleware(HostGuard, hosts, settings.allow_origin, audit),
            cors,
            Middleware(AuthMiddleware, callers, streams, state.rates, audit, pages=pages is not None),
        ],
    )
    if pages is not None:
        app.router.default = pages  # no mount at "/", which would swallow /mcp/ instead of leading it to /mcp
    app.state.protocol, app.state.potluck = protocol, state  # for a host at the standard streams
    return app
