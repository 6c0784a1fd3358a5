"""`potluck watch`: a task's rounds as they happen, for whoever may look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from rich.console import Console

from edge_client.connection import Connection
from edge_client.endpoint import Endpoint
from potluck.client import quiet
from potluck.live_table import LiveTable

OVER = ("finished", "cancelled", "paused")
LOOK_S = 0.25
"""Seconds between two looks; a round takes about that long when nobody trains."""


async def follow(server: Connection, task_id: str, on_look: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Show a task until nothing more happens by itself; the task as it then is. `on_look` is called at every look."""
    with LiveTable(Console(highlight=False)) as table:
        while True:
            on_look()
            task = await server.call("get_task", {"task_id": task_id})
            table.show(task)
            if task["state"] in OVER:
                return task
            await asyncio.sleep(LOOK_S)


def watch(endpoint: Endpoint, task_id: str) -> None:
    """Show a task until it is over or paused, then its last accuracy."""

    async def look() -> dict[str, Any]:
        async with Connection(endpoint, patience_s=30) as server:
            return await follow(server, task_id)

    quiet()
    task = asyncio.run(look())
    scores = [each["accuracy"] for each in task["rounds"] if each["accuracy"] is not None]
    said = [task["state"], f"accuracy {scores[-1]:.3f}" if scores else "", task["reason"]]
    print("; ".join(filter(None, said)))
