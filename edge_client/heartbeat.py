"""Tells the server that a node is at work, and the node when its work is no longer wanted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Self, TypeVar

from edge_client.answers import Lost
from federation.errors import ErrorCode, Refused
from federation.training import Progress

LAST_BEAT_S = 2.0
"""How long the end of the work waits for a report that is on its way, in seconds."""
Beat = Callable[[Progress | None], Awaitable[dict[str, Any]]]
T = TypeVar("T")


class Heartbeat:
    """Reports every `interval_s` seconds while its context lasts.

    Attributes:
        progress: where training stands; the training thread sets it.
        refusal: why the server said no, if it did.
        reason: why the server wants no more of this work, if it said so.
    """

    def __init__(self, beat: Beat, interval_s: float) -> None:
        self._beat = beat
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._over = asyncio.Event()
        self._unwanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.progress: Progress | None = None
        self.refusal: Refused | None = None
        self.reason: str | None = None

    def stopped(self) -> bool:
        """Whether work should end; asked by the training thread before every step."""
        return self._stop.is_set()

    def stop(self) -> None:
        """End the work at its next step, since the node is leaving."""
        self._stop.set()

    def verdict(self) -> Refused:
        """Why the work was stopped, as a refusal."""
        problem = f"{self.reason or 'it was stopped'}."
        return self.refusal or Refused(ErrorCode.ROUND_CLOSED, problem, "wait for work")

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` answers; it is given up when the server wants no more of it.

        Raises:
            Refused: the `verdict`, in that case.
        """
        unwanted = asyncio.create_task(self._unwanted.wait())
        working = asyncio.create_task(work)
        try:
            await asyncio.wait((working, unwanted), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise self.verdict()
            return working.result()
        finally:
            for task in (working, unwanted):
                task.cancel()
            await asyncio.wait((working, unwanted))

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._report())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._stop.set()  # a thread outlives its cancelled awaiter; this ends it at the next step
        self._over.set()
        task = self._task
        if task is None:
            return
        # A report on its way may arrive, unless the node is in a hurry.
        await asyncio.wait({task}, timeout=LAST_BEAT_S if exc_info[0] is None else 0)
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()) and exc_info[1] is None:
            raise error

    async def _report(self) -> None:
        while not self._stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), self._interval_s)
                return
            try:
                answer = await self._beat(self.progress)
            except Lost:
                continue  # the server may come back; what was trained until then is not lost
            except Refused as refused:
                self.refusal = refused
                break
            if answer.get("state") == "stop":
                self.reason = str(answer.get("reason") or "the server wants no more of this round")
                break
        self._stop.set()
        self._unwanted.set()
