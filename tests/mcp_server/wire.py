"""HTTP on a bare socket: requests that a test can break off, and answers that it need not read."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

from tests.mcp_server.rpc import META, VERSION, Rpc
from tests.mcp_server.running import Served


def tool_call(served: Served, rpc: Rpc, tool: str, arguments: dict[str, Any]) -> bytes:
    """A tools/call as it goes over the wire."""
    params = {"name": tool, "arguments": arguments, "_meta": META}
    return rpc_request(served, rpc, "tools/call", params, name=tool)


def rpc_request(served: Served, rpc: Rpc, method: str, params: dict[str, Any], *, name: str = "") -> bytes:
    """A JSON-RPC request as it goes over the wire."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    headers = rpc.headers | {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": VERSION,
        "Mcp-Method": method,
        **({"Mcp-Name": name} if name else {}),
    }
    return request(served, "POST", "/mcp", headers, body)


def request(served: Served, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {served.host}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def send_and_hang_up(served: Served, data: bytes) -> None:
    """Sends bytes, reads nothing, and breaks the connection off."""
    _, writer = await asyncio.open_connection(*served.host.split(":"))
    writer.write(data)
    await writer.drain()
    # Without lingering a close is a reset: what the server still sends meets nobody.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


async def until(condition: Any, seconds: float = 20) -> None:
    """Waits until `condition()` holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
