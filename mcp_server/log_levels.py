"""`logging/setLevel`, for hosts of the older era that call it with every server.

Nothing is sent to them: what happens to a federation is in resources and change notices, and what happens to the server
in its own log. The capability is deprecated since 2026-07-28.
"""

from __future__ import annotations

from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp_types import EmptyResult, SetLevelRequestParams


def accept_log_levels(server: MCPServer) -> None:
    """Adds the handler, which the SDK's high-level server cannot take."""
    server._lowlevel_server.add_request_handler("logging/setLevel", SetLevelRequestParams, _set_level)


async def _set_level(_: ServerRequestContext[Any, Any], __: SetLevelRequestParams) -> EmptyResult:
    return EmptyResult()
