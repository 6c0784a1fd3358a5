"""Tools that ask the client while they run, as servers could until 2025-11-25."""

from __future__ import annotations

import json
import warnings
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import CallToolResult, ElicitResult, SamplingMessage, TextContent

from mcp_server.conformance.samples import text

_PERSON = {
    "type": "object",
    "properties": {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    },
    "required": ["username", "email"],
}
_DEFAULTS = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
    "required": [],
}


def _titled(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"const": value, "title": title} for value, title in pairs]


_OPTIONS = ["option1", "option2", "option3"]
_VALUES = _titled(("value1", "First Option"), ("value2", "Second Option"), ("value3", "Third Option"))
_CHOICES = _titled(("value1", "First Choice"), ("value2", "Second Choice"), ("value3", "Third Choice"))
_ENUMS = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": _OPTIONS},
        "titledSingle": {"type": "string", "oneOf": _VALUES},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": _OPTIONS}},
        "titledMulti": {"type": "array", "items": {"anyOf": _CHOICES}},
    },
    "required": [],
}


def register_asking(server: MCPServer) -> None:
    """Adds the tools."""

    @server.tool(description="Asks the client's language model.", structured_output=False)
    async def test_sampling(prompt: str, ctx: Context[Any, Any]) -> CallToolResult:
        asked = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
        with warnings.catch_warnings(action="ignore"):  # deprecated, which is why it is tested with the older era
            answer = await ctx.session.create_message([asked], max_tokens=100, related_request_id=ctx.request_id)
        said = answer.content.text if isinstance(answer.content, TextContent) else answer.content.type
        return CallToolResult(content=[text(f"LLM response: {said}")])

    @server.tool(description="Asks the user.", structured_output=False)
    async def test_elicitation(message: str, ctx: Context[Any, Any]) -> CallToolResult:
        return _told("User response", await _ask(ctx, message, _PERSON))

    @server.tool(description="Asks the user, with answers already filled in.", structured_output=False)
    async def test_elicitation_sep1034_defaults(ctx: Context[Any, Any]) -> CallToolResult:
        return _told("Elicitation completed", await _ask(ctx, "Please review the defaults", _DEFAULTS))

    @server.tool(description="Asks the user to choose, in each way there is.", structured_output=False)
    async def test_elicitation_sep1330_enums(ctx: Context[Any, Any]) -> CallToolResult:
        return _told("Elicitation completed", await _ask(ctx, "Please choose", _ENUMS))


async def _ask(ctx: Context[Any, Any], message: str, schema: dict[str, Any]) -> ElicitResult:
    answer: ElicitResult = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)
    return answer


def _told(what: str, answer: ElicitResult) -> CallToolResult:
    return CallToolResult(content=[text(f"{what}: action={answer.action}, content={json.dumps(answer.content)}")])
