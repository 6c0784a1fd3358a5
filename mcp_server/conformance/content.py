"""Tools that answer each kind of content, tell of their progress, log, and fail."""

from __future__ import annotations

import asyncio
import json
import warnings
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult

from mcp_server.conformance.samples import audio, image, resource, text

_PAUSE_S = 0.05


def register_content(server: MCPServer) -> None:
    """Adds the tools. What each answers is fixed by the suites."""

    @server.tool(description="Answers a text.", structured_output=False)
    def test_simple_text() -> CallToolResult:
        return CallToolResult(content=[text("This is a simple text response for testing.")])

    @server.tool(description="Answers an image.", structured_output=False)
    def test_image_content() -> CallToolResult:
        return CallToolResult(content=[image()])

    @server.tool(description="Answers a sound.", structured_output=False)
    def test_audio_content() -> CallToolResult:
        return CallToolResult(content=[audio()])

    @server.tool(description="Answers a resource.", structured_output=False)
    def test_embedded_resource() -> CallToolResult:
        words = "This is an embedded resource content."
        return CallToolResult(content=[resource("test://embedded-resource", "text/plain", words)])

    @server.tool(description="Answers several kinds of content.", structured_output=False)
    def test_multiple_content_types() -> CallToolResult:
        data = json.dumps({"test": "data", "value": 123})
        mixed = resource("test://mixed-content-resource", "application/json", data)
        return CallToolResult(content=[text("Multiple content types test:"), image(), mixed])

    @server.tool(description="Fails, always.", structured_output=False)
    def test_error_handling() -> CallToolResult:
        raise ToolError("This tool intentionally returns an error for testing")

    @server.tool(description="Tells of its progress.", structured_output=False)
    async def test_tool_with_progress(ctx: Context[Any, Any]) -> CallToolResult:
        for done in (0, 50, 100):
            await ctx.report_progress(done, 100)
            await asyncio.sleep(_PAUSE_S)
        return CallToolResult(content=[text("done")])

    @server.tool(description="Logs while it works.", structured_output=False)
    async def test_tool_with_logging(ctx: Context[Any, Any]) -> CallToolResult:
        for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await _log(ctx, line)
            await asyncio.sleep(_PAUSE_S)
        return CallToolResult(content=[text("done")])

    @server.tool(description="Logs, to those who asked for logs.", structured_output=False)
    async def test_logging_tool(ctx: Context[Any, Any]) -> CallToolResult:
        await _log(ctx, "a line for those who want it")
        return CallToolResult(content=[text("done")])

    @server.tool(description="Closes its response stream before it answers.", structured_output=False)
    async def test_reconnection(ctx: Context[Any, Any]) -> CallToolResult:
        await ctx.close_sse_stream()
        await asyncio.sleep(_PAUSE_S)
        return CallToolResult(content=[text("done")])


async def _log(ctx: Context[Any, Any], line: str) -> None:
    with warnings.catch_warnings(action="ignore"):  # logging is deprecated, and tested for those who still use it
        await ctx.info(line)
