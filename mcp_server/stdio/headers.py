"""The headers with which 2026-07-28 repeats part of a message, so that gateways need not read it."""

from __future__ import annotations

from typing import Any

from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    NAME_BEARING_METHODS,
    encode_header_value,
    mcp_param_headers,
    x_mcp_header_map,
)
from mcp_types import PROTOCOL_VERSION_META_KEY

PLAIN = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


def modern_version(message: dict[str, Any]) -> str | None:
    """The revision that a message of the modern era names; None for the older era."""
    meta = part(part(message, "params"), "_meta")
    version = meta.get(PROTOCOL_VERSION_META_KEY)
    return version if isinstance(version, str) else None


class ModernHeaders:
    """Writes those headers. Which arguments a tool wants repeated is learnt from the tool lists that pass by."""

    def __init__(self) -> None:
        self._repeated: dict[str, dict[tuple[str, ...], str]] = {}

    def learn(self, answer: dict[str, Any]) -> None:
        """Looks at an answer to `tools/list`."""
        for tool in part(answer, "result").get("tools") or []:
            if repeated := x_mcp_header_map(tool.get("inputSchema")):
                self._repeated[str(tool.get("name"))] = repeated

    def of(self, message: dict[str, Any], version: str) -> dict[str, str]:
        """The headers of one request."""
        method, params = str(message["method"]), part(message, "params")
        headers = PLAIN | {MCP_PROTOCOL_VERSION_HEADER: version, MCP_METHOD_HEADER: method}
        name = params.get(NAME_BEARING_METHODS.get(method, ""))
        if isinstance(name, str):
            headers[MCP_NAME_HEADER] = encode_header_value(name)
        if method == "tools/call" and (repeated := self._repeated.get(str(name))):
            headers |= mcp_param_headers(repeated, part(params, "arguments"))
        return headers


def part(message: dict[str, Any], key: str) -> dict[str, Any]:
    """The object under `key`; an empty one where there is none."""
    found = message.get(key)
    return found if isinstance(found, dict) else {}
