"""Asks the server for work, patiently."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from edge_client.events import Tell
from edge_client.membership import Membership
from federation.errors import ErrorCode, Refused
from federation.fault_points import reach

POLL_S = 25.0
"""How long one get_assignment may take, in seconds: below what proxies allow an idle request."""
SHARE_PAUSE_S, SHARE_PATIENCE_S = 5.0, 60.0
"""How often and how long a node asks again for a share that another one holds, in seconds."""


class Asking:
    """Gets assignments.

    Args:
        member: the node's standing with the server.
        task_id: the task to work on.
        index: which part of the data to hold; None leaves it to the server.
        own_data: the node brings its own data instead.
        max_wait_s: how long the server lets a node wait in one call.
        tell: told why there is nothing to do.
    """

    def __init__(
        self,
        member: Membership,
        task_id: str,
        *,
        index: int | None,
        own_data: bool,
        max_wait_s: float,
        tell: Tell,
    ) -> None:
        self._member = member
        self._arguments: dict[str, Any] = {"task_id": task_id, "own_data": own_data}
        if index is not None:
            self._arguments["partition_index"] = index
        self._wait_s = min(POLL_S, max_wait_s)
        self._tell = tell

    async def first(self) -> dict[str, Any]:
        """Joins the task. A share whose node was heard of lately may be free again soon, so that is waited for."""
        patience = SHARE_PATIENCE_S
        while True:
            try:
                return await self._ask(0)  # at once, so that people see why there is nothing to do
            except Refused as refused:
                if refused.code is not ErrorCode.PARTITION_TAKEN or patience <= 0:
                    raise
                self._tell("waiting", f"{refused.problem} Again in {SHARE_PAUSE_S:.1f} s.")
            await asyncio.sleep(SHARE_PAUSE_S)
            patience -= SHARE_PAUSE_S

    async def next(self) -> dict[str, Any]:
        """The next assignment, waited for as long as one call may last."""
        return await self._ask(self._wait_s)

    async def _ask(self, wait_s: float) -> dict[str, Any]:
        asked = time.monotonic()
        arguments = self._arguments | {"wait_s": wait_s}
        assignment = await self._member.call("get_assignment", arguments, timeout=wait_s + 30)
        if assignment["action"] == "wait":
            self._tell("waiting", str(assignment.get("reason") or "nothing to do yet"))
            waited = time.monotonic() - asked
            pause = float(assignment.get("retry_after_s") or 0) if wait_s else 0.0
            await asyncio.sleep(max(0.0, pause - waited))
        else:
            reach("node_assignment_received")
        return assignment
