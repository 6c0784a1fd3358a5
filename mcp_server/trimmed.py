"""Header values without the blanks that HTTP allows around them (RFC 9110, 5.5)."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

_BLANKS = b" \t"


class Trimmed:
    """Takes them off, since the HTTP parser leaves those at the end and MCP compares headers with bodies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "headers": [(name, value.strip(_BLANKS)) for name, value in scope["headers"]]}
        await self._app(scope, receive, send)
