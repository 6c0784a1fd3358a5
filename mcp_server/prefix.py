"""The path prefix under which a proxy serves Potluck, whether the proxy passes it on or takes it off."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class Prefix:
    """Tells the routes their prefix. A request without it is answered too: the proxy took it off, or there is none."""

    def __init__(self, app: ASGIApp, base_path: str) -> None:
        self._app = app
        self._base = base_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._base and scope["type"] == "http":
            path = str(scope["path"])
            inside = path == self._base or path.startswith(f"{self._base}/")
            scope = {**scope, "root_path": self._base, "path": path if inside else self._base + path}
        await self._app(scope, receive, send)
