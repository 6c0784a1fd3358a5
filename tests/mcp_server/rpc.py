"""MCP 2026-07-28 by hand: one POST a request. It sends what it is given, and reads strictly."""

from __future__ import annotations

import json
from typing import Any

import httpx2

VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
}
_NAMED = {"tools/call": "name", "resources/read": "uri", "prompts/get": "name"}


class Refusal(Exception):
    """The server said no, by a tool's error result or on the raw lane."""

    def __init__(self, error: dict[str, str], status: int = 200) -> None:
        super().__init__(f"{error['code']}: {error['problem']} Mend: {error['mend']}")
        self.code, self.problem, self.mend = error["code"], error["problem"], error["mend"]
        self.status = status


class ProtocolError(Exception):
    """A JSON-RPC error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.code = int(error["code"])


class Rpc:
    """One caller's line to /mcp."""

    def __init__(self, http: httpx2.AsyncClient, token: str | None) -> None:
        self._http = http
        self.headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    async def post(self, method: str, params: dict[str, Any] | None = None, **headers: str) -> httpx2.Response:
        """The bare response to a request; `params` may hold numbers that are no JSON."""
        params = params or {}
        known = {"MCP-Protocol-Version": VERSION, "Mcp-Method": method}
        known |= {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if method in _NAMED:
            known["Mcp-Name"] = str(params[_NAMED[method]])
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params | {"_meta": META}}
        return await self._http.post("/mcp", content=json.dumps(message), headers=known | self.headers | headers)

    async def ask(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of a request. Raises ProtocolError."""
        response = await self.post(method, params)
        text = response.text
        if response.headers["content-type"].startswith("text/event-stream"):
            text = [line for line in text.splitlines() if line.startswith("data: {")][-1].removeprefix("data: ")
        answer = strict_json(text)
        if "error" in answer:
            raise ProtocolError(answer["error"])
        result: dict[str, Any] = answer["result"]
        return result

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """A tool's structured result. Raises Refusal."""
        result = await self.ask("tools/call", {"name": tool, "arguments": arguments})
        content: dict[str, Any] = result.get("structuredContent", {})
        if result.get("isError"):
            assert "error" in content, f"an error without a code and a mend: {result['content']}"
            raise Refusal(content["error"])
        assert strict_json(result["content"][0]["text"]) == content
        return content

    async def read(self, uri: str) -> Any:
        """A JSON resource."""
        result = await self.ask("resources/read", {"uri": uri})
        return strict_json(result["contents"][0]["text"])


def strict_json(text: str) -> Any:
    """JSON as browsers read it: NaN and Infinity, which Python would let pass, are errors."""

    def no_constant(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=no_constant)
