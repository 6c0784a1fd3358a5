"""Where the forked processes of the tests come from: one server of forks in a test process, for servers and nodes."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext

# One list, since what the first of them asks for is what all get.
_IMPORTED = [
    "mcp_server.run",
    "potluck.serve",
    "potluck.join",
    "edge_client.node",
    # What these import when they first run.
    "anyio._backends._asyncio",
    "httpcore2",
    "jsonschema",
    "numpy.random",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "torch.utils._device",
    "uvicorn.lifespan.on",
    "uvloop",
]


def forked() -> ForkServerContext:
    """Makes processes that have imported already what takes long."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    return context
