"""Small simulations, and how a test waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.mcp_server.rpc import Rpc
from tests.mcp_server.running import Served

SMALL: dict[str, Any] = {
    "name": "a simulation",
    "model": {"id": "logistic"},
    "data": {"id": "digits", "partition": {"kind": "iid", "parts": 10}},
    "cohort": {"fraction": 1.0},
    "training": {"learning_rate": 0.2},
    "aggregation": {"rule": "multi_krum", "options": {"f": 2}},
    "rounds": 3,
}
ENDLESS = SMALL | {"rounds": 100_000, "evaluation": {"every": 100_000}}
ATTACKED = {"attack": "gaussian", "attackers": 0.2}


async def begun(served: Served, spec: dict[str, Any], **arguments: Any) -> tuple[Rpc, str]:
    """An operator's line, and the id of a new simulated task."""
    operator = await served.operator()
    made = await operator.call("run_simulation", spec=spec, request_id=served.fresh(), **arguments)
    assert made["new"] is True
    return operator, str(made["task_id"])


async def until(served: Served, task_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The task, as an operator sees it, once `holds(task)`; looks at every word of change."""
    changed = asyncio.Event()
    served.federation.shared.notices.listen(lambda topic, subject: changed.set())
    async with asyncio.timeout(60):
        while True:
            changed.clear()
            task = await served.state_of(task_id)
            if holds(task):
                return task
            await changed.wait()


def ended(task: dict[str, Any]) -> bool:
    """Whether nothing more happens to it by itself."""
    return task["state"] in ("finished", "cancelled", "paused")
