"""How a server listens: uvicorn with bounds on connections, and an address that callers cannot choose."""

from __future__ import annotations

import uvicorn
from starlette.types import ASGIApp

from mcp_server.addresses import Proxies
from mcp_server.doors import Doors, room_for
from mcp_server.settings import Settings
from mcp_server.wire import Bounds, bounded


def listening(app: ASGIApp, settings: Settings, *, grace_s: int) -> uvicorn.Config:
    """uvicorn's configuration. Logging stays ours; there is no access log, for raw-lane URLs are leave to use them."""
    bounds = Bounds(
        doors=Doors(room_for(settings.max_connections), settings.max_connections_per_address),
        proxies=Proxies(settings.trusted_proxies),
        max_header_bytes=settings.max_header_bytes,
        header_timeout_s=settings.header_timeout_s,
        body_timeout_s=settings.body_timeout_s,
        send_timeout_s=settings.send_timeout_s,
    )
    return uvicorn.Config(
        app,
        http=bounded(bounds),
        ws="none",
        # uvicorn would believe X-Forwarded-For of whoever calls from 127.0.0.1.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        server_header=False,
        ssl_certfile=settings.ssl_certfile,
        ssl_keyfile=str(settings.ssl_keyfile) if settings.ssl_keyfile else None,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=grace_s,
    )
