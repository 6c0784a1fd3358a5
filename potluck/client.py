"""One-off questions to a server: no patience, and no tracebacks of a connection that broke."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from mcp import Client

from edge_client.connection import Connection
from edge_client.endpoint import Endpoint

T = TypeVar("T")


def quiet() -> None:
    """Keep the SDK's log off the terminal: what it reports is handled, and httpx2 would print signed URLs."""
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    logging.getLogger("httpx2").setLevel(logging.WARNING)


def call(endpoint: Endpoint, tool: str, arguments: dict[str, Any], *, timeout: float = 300.0) -> dict[str, Any]:
    """The result of one tool call; raises `Refused` or `Lost`."""

    async def once() -> dict[str, Any]:
        async with Connection(endpoint, patience_s=0) as connection:
            return await connection.call(tool, arguments, timeout=timeout)

    quiet()
    return asyncio.run(once())


def ask(endpoint: Endpoint, question: Callable[[Client], Awaitable[T]]) -> T:
    """What `question` answers of a connected client; raises `Refused` or `Lost`."""

    async def once() -> T:
        async with Connection(endpoint, patience_s=0) as connection:
            return await connection.ask(question)

    quiet()
    return asyncio.run(once())
