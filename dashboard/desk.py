"""Tools and resources for the pages: plain results, and refusals in the server's own words."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import TextContent, TextResourceContents

from dashboard.principal import Connect, Principal


class Refusal(Exception):
    """The server said no: what is wrong, and how to mend it."""

    def __init__(self, code: str, problem: str, mend: str) -> None:
        super().__init__(f"{problem} Mend: {mend}" if mend else problem)
        self.code = code
        self.problem = problem
        self.mend = mend


class Line:
    """One visitor's client."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """The structured result of a tool; arguments that are None are left out.

        Raises:
            Refusal: the server's.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            result = await self.client.call_tool(tool, given)
        except MCPError as error:
            raise _refusal(error.error.data, error.error.message) from None
        if result.is_error:
            words = " ".join(block.text for block in result.content if isinstance(block, TextContent))
            raise _refusal(result.structured_content, words)
        return result.structured_content or {}

    async def read(self, uri: str) -> Any:
        """What a resource says now, parsed.

        Raises:
            Refusal: the server's.
        """
        try:
            result = await self.client.read_resource(uri, cache_mode="bypass")
        except MCPError as error:
            raise _refusal(error.error.data, error.error.message) from None
        return json.loads("".join(part.text for part in result.contents if isinstance(part, TextResourceContents)))

    async def tools(self) -> frozenset[str]:
        """Names of the tools that this visitor may use."""
        names: set[str] = set()
        cursor = None
        while True:
            page = await self.client.list_tools(cursor=cursor, cache_mode="bypass")
            names |= {tool.name for tool in page.tools}
            cursor = page.next_cursor
            if cursor is None:
                return frozenset(names)


class Desk:
    """Where the pages get their lines from."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    @asynccontextmanager
    async def line(self, principal: Principal) -> AsyncGenerator[Line]:
        """A line that calls as `principal`.

        Raises:
            Refusal: its token is not valid.
        """
        try:
            connecting = self._connect(principal)
            client = await connecting.__aenter__()
        except PermissionError as error:
            problem, _, mend = str(error).partition(" Mend: ")
            raise Refusal("unauthorized", problem, mend) from None
        try:
            yield Line(client)
        finally:
            await connecting.__aexit__(None, None, None)

    async def call(self, principal: Principal, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """One call on a line of its own; see `Line.call`."""
        async with self.line(principal) as line:
            return await line.call(tool, **arguments)

    async def read(self, principal: Principal, uri: str) -> Any:
        """One reading on a line of its own; see `Line.read`."""
        async with self.line(principal) as line:
            return await line.read(uri)


def _refusal(data: object, words: str) -> Refusal:
    error = data.get("error") if isinstance(data, Mapping) else None
    if isinstance(error, Mapping):
        return Refusal(str(error.get("code")), str(error.get("problem")), str(error.get("mend")))
    return Refusal("internal", words or "the server failed at this call.", "its log says why")
