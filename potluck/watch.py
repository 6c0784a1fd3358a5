"""`potluck watch`: a task's rounds as they happen, for whoever may look."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console

from edge_client.connection import Connection
from edge_client.endpoint import Endpoint
from potluck.client import quiet
from potluck.live_table import LiveTable

OVER = ("finished", "cancelled", "paused")
PAUSED = 3
"""Exit code of a watch that ended because the task is paused: it is not over."""
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


def watch(endpoint: Endpoint, task_id: str, *, patience_s: float = 30) -> int:
    """Show a task until it is over or paused, then its last score; the command's exit code.

    Args:
        patience_s: how long to go on trying to reach a server that is lost or not there, in seconds of pauses.
    """
    waits = False

    def lost(problem: str, pause: float) -> None:
        nonlocal waits
        if not waits:
            print(f"waiting for {endpoint.url}: {problem}", file=sys.stderr, flush=True)
        waits = True

    def back() -> None:
        nonlocal waits
        waits = False

    async def look() -> dict[str, Any]:
        async with Connection(endpoint, patience_s=patience_s, on_lost=lost, on_back=back) as server:
            return await follow(server, task_id)

    quiet()
    task = asyncio.run(look())
    said = [task["state"], _last_score(task["rounds"]), task["reason"]]
    if task["state"] == "paused":
        said.append(f"resume it: potluck call {endpoint.url} control_task task_id={task_id} action=resume")
    print("; ".join(filter(None, said)))
    return PAUSED if task["state"] == "paused" else 0


def _last_score(rounds: Sequence[Mapping[str, Any]]) -> str:
    """The latest accuracy; of a model that writes, which has none, the loss. The nodes' own, if the server has none."""
    for who, prefix in (("", ""), ("on the nodes' held-out examples: ", "node_")):
        for name, form in (("accuracy", ".3f"), ("loss", ".4f")):
            known = [each[prefix + name] for each in rounds if each.get(prefix + name) is not None]
            if known:
                return f"{who}{name} {known[-1]:{form}}"
    return ""
