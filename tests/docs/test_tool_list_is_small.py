"""A language model pays for every byte of tools/list each time that it starts."""

from __future__ import annotations

import asyncio
import json

import pytest
from mcp.server.mcpserver import MCPServer

from tools.catalogue import TOOLS
from tools.context import Access
from tools.contract import RoleTool


def listed_bytes(access: Access) -> int:
    """Bytes of the compact JSON of `tools/list`, as a caller with this role gets it."""
    server = MCPServer("tools", tools=[RoleTool.of(entry) for entry in TOOLS if entry.allows(access)])
    tools = asyncio.run(server.list_tools())
    result = {"tools": [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]}
    return len(json.dumps(result, separators=(",", ":"), ensure_ascii=False).encode())


@pytest.mark.parametrize(
    ("access", "most"),
    [
        (Access.OPERATOR, 20_000),
        (Access.OPEN, 26_000),
        (Access.VIEWER, 8_000),
        (Access.NODE, 8_000),
    ],
)
def test_the_list_of_tools_stays_small(access: Access, most: int) -> None:
    assert listed_bytes(access) <= most
