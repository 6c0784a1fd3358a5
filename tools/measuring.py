"""One measurement at a time, to its end: a caller who goes away ends it, and only then is there room for another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Event
from typing import TypeVar

from federation.errors import ErrorCode, Refused

T = TypeVar("T")


async def measured(lock: asyncio.Lock, work: Callable[[Event], T]) -> T:
    """What `work` comes to, in a thread that holds `lock` until it has ended.

    Args:
        work: ends soon after the event that it is given is set.

    Raises:
        Refused: BUSY while another one holds the lock.
    """
    if lock.locked():
        raise Refused(ErrorCode.BUSY, "another measurement is running.", "try again when it is done")
    await lock.acquire()
    stop = Event()

    async def to_its_end() -> T:
        try:
            return await asyncio.to_thread(work, stop)
        finally:
            lock.release()

    running = asyncio.create_task(to_its_end())
    running.add_done_callback(_heard)
    try:
        return await asyncio.shield(running)
    finally:
        stop.set()


def _heard(task: asyncio.Task[T]) -> None:
    """Its failure is nobody's news where nobody waits any more."""
    if not task.cancelled():
        task.exception()
