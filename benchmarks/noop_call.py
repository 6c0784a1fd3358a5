"""What a tool call costs above the bare SDK: the same no-op on Potluck's server and on an empty `MCPServer`.

    python -m benchmarks.noop_call [--quick] [--calls 50] [--batches 80] [--json FILE]

Both servers run at the same time; one SDK client calls them in turn, a batch on one, a batch on the other. Potluck is
called with an issued bearer token, which it looks up at every request, and guards host and origin, checks the role,
counts and times the call. A figure is the server's CPU time over a batch, divided by its calls.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from benchmarks.process import cpu_seconds
from benchmarks.report import Report, command
from benchmarks.serving import OPERATOR, Serving, bare, potluck
from edge_client.connection import Connection
from edge_client.endpoint import Endpoint


async def client(stack: AsyncExitStack, serving: Serving, token: str | None) -> Client:
    """The SDK's client, as any host would use it."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=30))
    return await stack.enter_async_context(Client(streamable_http_client(f"{serving.url}/mcp", http_client=http)))


async def batch(line: Client, pid: int, calls: int, tool: str, arguments: dict[str, Any]) -> tuple[float, float]:
    """The server's CPU time and the time that passed, milliseconds a call."""
    began, spent = time.perf_counter(), cpu_seconds(pid)
    for _ in range(calls):
        result = await line.call_tool(tool, arguments)
        assert not result.is_error, result
    return (cpu_seconds(pid) - spent) / calls * 1e3, (time.perf_counter() - began) / calls * 1e3


async def measure(ours: Serving, theirs: Serving, calls: int, batches: int, warm_up: int) -> Report:
    """A batch here, a batch there."""
    async with Connection(Endpoint(ours.url, token=OPERATOR)) as server:
        token = (await server.call("issue_token", {"role": "operator", "request_id": "noop-call"}))["token"]
    report = Report("no-op call")
    async with AsyncExitStack() as stack:
        lines = {
            "Potluck, issued token": (await client(stack, ours, token), ours.pid, "noop"),
            "bare SDK": (await client(stack, theirs, None), theirs.pid, "noop"),
            "Potluck, no token": (await client(stack, ours, None), ours.pid, "noop"),
            "Potluck, issued token, list_tasks": (await client(stack, ours, token), ours.pid, "list_tasks"),
        }
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in lines}
        for line, pid, tool in lines.values():
            await batch(line, pid, warm_up, tool, {})
        for _ in range(batches):
            for name, (line, pid, tool) in lines.items():
                spent[name].append(await batch(line, pid, calls, tool, {}))
    for name, several in spent.items():
        report.add(f"{name}: server CPU a call", [cpu for cpu, _ in several], "ms")
    for name, several in spent.items():
        report.add(f"{name}: answer", [wall for _, wall in several], "ms")
    pairs = zip(spent["Potluck, issued token"], spent["bare SDK"], strict=True)
    ratio = report.add("Potluck, issued token / bare SDK, CPU", [one[0] / other[0] for one, other in pairs], "ratio")
    report.judge("noop", ratio)
    return report


def run(arguments: argparse.Namespace) -> Report:
    """Starts both servers and measures."""
    with potluck(module="benchmarks.noop_server") as ours, bare("benchmarks.bare_mcp") as theirs:
        return asyncio.run(measure(ours, theirs, arguments.calls, arguments.batches, arguments.warm_up))


if __name__ == "__main__":
    command(
        run,
        __doc__ or "",
        calls=(50, 25, "calls in a batch"),
        batches=(80, 8, "batches on each server"),
        warm_up=(100, 100, "calls of each kind before the first that counts"),
    )
