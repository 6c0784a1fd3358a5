"""Which host names and web origins are answered: the guard against DNS rebinding and foreign pages."""

from __future__ import annotations

import re
import socket

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from federation.errors import ErrorCode, Refused
from federation.store.audit import Audit, Call
from mcp_server.addresses import source
from mcp_server.refusals import answer, route_of
from mcp_server.settings import Settings

_NETLOC = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


def accepted_hosts(settings: Settings) -> list[str]:
    """Host names, without ports, that requests may carry."""
    hosts = [*_LOOPBACK]
    if settings.host in _WILDCARDS:
        hosts += [socket.gethostname(), *_own_addresses()]
    else:
        hosts.append(f"[{settings.host}]" if ":" in settings.host else settings.host)
    return list(dict.fromkeys(host.lower() for host in [*hosts, *settings.allow_host]))


class HostGuard:
    """Answers 421 to a foreign Host and 403 to a foreign Origin, before anything else looks at the request."""

    def __init__(self, app: ASGIApp, hosts: list[str], origins: list[str], audit: Audit) -> None:
        self._app = app
        self._audit = audit
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host, origin = headers.get("host", ""), headers.get("origin")
            if host_of(host) not in self._hosts:
                self._note(scope)
                await _refuse(421, f"this server is not called {host!r}", "--allow-host NAME")(scope, receive, send)
                return
            if origin is not None and not self._accepts(origin):
                self._note(scope)
                await _refuse(403, f"pages of {origin!r} may not call", "--allow-origin ORIGIN")(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _note(self, scope: Scope) -> None:
        self._audit.note(Call("nobody", "", source(scope), route_of(scope), ErrorCode.FORBIDDEN.value))

    def _accepts(self, origin: str) -> bool:
        scheme, _, netloc = origin.lower().partition("://")
        return origin.lower() in self._origins or (scheme in ("http", "https") and host_of(netloc) in self._hosts)


def host_of(netloc: str) -> str | None:
    """The host of `host:port`, IPv6 in its brackets; None for what is not of that form, user names included."""
    match = _NETLOC.fullmatch(netloc.lower())
    return match[1] if match else None


def _own_addresses() -> list[str]:
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [f"[{address[4][0]}]" if ":" in str(address[4][0]) else str(address[4][0]) for address in found]


def _refuse(status: int, problem: str, flag: str) -> JSONResponse:
    return answer(Refused(ErrorCode.FORBIDDEN, f"{problem}.", f"start the server with {flag}"), status)
