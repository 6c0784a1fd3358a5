"""The Python SDK's client against a server process: both transports, both eras."""

from __future__ import annotations

import httpx2
import pytest
from agent import Heard, use
from machine import Machine
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:resources/(un)?subscribe is removed"),  # in the era that has no other way
]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_an_agent_plans_reads_and_hears_of_changes(shared: Machine, transport: str, mode: str) -> None:
    headers = {"Authorization": f"Bearer {shared.operator}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        line = (
            sse_client(f"{shared.url}/sse", headers=headers)
            if transport == "sse"
            else streamable_http_client(f"{shared.url}/mcp", http_client=http)
        )
        heard = Heard()
        async with Client(line, mode=mode, message_handler=heard) as client:
            assert client.protocol_version == ("2026-07-28" if mode == "auto" else "2025-11-25")
            await use(client, f"python-{transport}-{mode}", heard)
