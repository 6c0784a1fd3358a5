"""Where a server is, and how to talk to it: Streamable HTTP or SSE, with a token, trusting a given CA."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import httpx2
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from federation.errors import ErrorCode, Refused
from federation.fault_points import reach

Transport = Literal["http", "sse"]


@dataclass
class Endpoint:
    """A Potluck server: `url` is its base (a trailing /mcp or /sse is dropped), `token` a bearer token."""

    url: str
    transport: Transport = "http"
    token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    status: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        base = self.url.rstrip("/")
        for tail in ("/mcp", "/sse"):
            base = base.removesuffix(tail)
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            problem = f"{self.url!r} is not the address of a server."
            raise Refused(ErrorCode.INVALID_ARGUMENT, problem, "write it like http://127.0.0.1:7860")
        self.url = base

    @property
    def host(self) -> str:
        """The server's host and port, as dialled."""
        return urlsplit(self.url).netloc

    def http(
        self,
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
    ) -> httpx2.AsyncClient:
        """An HTTP client that carries the token, trusts `ca_file`, and notes error statuses."""
        bearer = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return httpx2.AsyncClient(
            headers={**bearer, **(headers or {})},
            timeout=timeout or httpx2.Timeout(30, read=120, write=120),
            auth=auth,
            verify=ssl.create_default_context(cafile=self.ca_file) if self.ca_file else _public_authorities(),
            event_hooks={"response": [self._note]},
        )

    async def _note(self, response: httpx2.Response) -> None:
        if response.request.headers.get("mcp-name") == "submit_update":
            reach("node_update_sent")
        if response.status_code >= 400:
            self.status = response.status_code

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Client]:
        """A client over the chosen transport."""
        if self.transport == "sse":
            # The server pings idle streams every 15 s, so a minute and a half of silence is a dead line.
            line = sse_client(f"{self.url}/sse", timeout=30, sse_read_timeout=90, httpx_client_factory=self.http)
            async with Client(line) as client:
                yield client
        else:
            async with self.http() as http:
                line = streamable_http_client(f"{self.url}/mcp", http_client=http, max_sse_event_size=None)
                async with Client(line) as client:
                    yield client


@cache
def _public_authorities() -> ssl.SSLContext:
    """Read once: it takes longer than a call, and every new connection asks for it."""
    return httpx2.create_ssl_context()
