"""Tools for what shows on the wire: headers, capabilities, schemas, streams, changes of a list."""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolResult,
    ClientCapabilities,
    InputRequiredResult,
    MissingRequiredClientCapabilityErrorData,
    SamplingCapability,
)
from pydantic import Field

from mcp_server.conformance.input_required import ask_for_a_name
from mcp_server.conformance.samples import text

_SCHEMA_TOOL = "json_schema_2020_12_tool"
_WIDE_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def register_wire(server: MCPServer) -> None:
    """Adds the tools."""

    @server.tool(description="Wants its argument repeated as a header.", structured_output=False)
    def test_x_mcp_header(
        region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})] = "",
    ) -> CallToolResult:
        return CallToolResult(content=[text(region)])

    @server.tool(name=_SCHEMA_TOOL, description="Has a schema of many keywords.", structured_output=False)
    def wide_schema() -> CallToolResult:
        return CallToolResult(content=[text("done")])

    tool = server._tool_manager.get_tool(_SCHEMA_TOOL)
    assert tool is not None  # noqa: S101 - it was added the line before
    tool.parameters = _WIDE_SCHEMA

    @server.tool(description="Needs a client that can sample.", structured_output=False)
    def test_missing_capability(ctx: Context[Any, Any]) -> CallToolResult:
        able = ctx.client_capabilities
        if able is None or able.sampling is None:
            needed = ClientCapabilities(sampling=SamplingCapability())
            data = MissingRequiredClientCapabilityErrorData(required_capabilities=needed)
            raise MCPError(
                code=MISSING_REQUIRED_CLIENT_CAPABILITY,
                message="this tool needs a client that can sample",
                data=data.model_dump(by_alias=True, mode="json", exclude_none=True),
            )
        return CallToolResult(content=[text("done")])

    @server.tool(description="Tells of its progress, then asks.", structured_output=False)
    async def test_streaming_elicitation(ctx: Context[Any, Any]) -> CallToolResult | InputRequiredResult:
        await ctx.report_progress(1, 2)
        return ask_for_a_name(ctx)

    @server.tool(description="Says that the list of tools changed.", structured_output=False)
    async def test_trigger_tool_change(ctx: Context[Any, Any]) -> CallToolResult:
        await ctx.notify_tools_changed()
        return CallToolResult(content=[text("done")])

    @server.tool(description="Says that the list of prompts changed.", structured_output=False)
    async def test_trigger_prompt_change(ctx: Context[Any, Any]) -> CallToolResult:
        await ctx.notify_prompts_changed()
        return CallToolResult(content=[text("done")])
