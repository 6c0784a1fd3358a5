"""What the official conformance suites call and no product has. Registered by `--conformance` only."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer

from mcp_server.conformance.asking import register_asking
from mcp_server.conformance.content import register_content
from mcp_server.conformance.input_required import register_input_required
from mcp_server.conformance.reading import register_reading
from mcp_server.conformance.wire import register_wire


def register_fixtures(server: MCPServer) -> frozenset[str]:
    """Adds the suites' tools, resources and prompts; the names of the tools."""
    before = set(_tools(server))
    for register in (register_content, register_asking, register_input_required, register_wire, register_reading):
        register(server)
    return frozenset(_tools(server)) - before


def _tools(server: MCPServer) -> list[str]:
    return [tool.name for tool in server._tool_manager.list_tools()]
