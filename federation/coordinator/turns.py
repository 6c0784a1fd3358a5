"""Long work in a thread of its own, one at a time: rounds are not to wait for it in the threads that all others use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from federation.errors import ErrorCode, Refused

T = TypeVar("T")


class Turns:
    """Takes turns.

    Args:
        most: jobs that may wait or be at work; whoever comes then is told to come back.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="turns")
        self._here = 0

    async def take(self, work: Callable[[], T]) -> T:
        """What `work` answers, once it is its turn. Whoever no longer waits gives up the turn, if it has not begun.

        Raises:
            Refused: BUSY, when too many wait.
        """
        if self._here >= self._most:
            problem = f"{self._here} others wait for a language model to answer."
            raise Refused(ErrorCode.BUSY, problem, "try again later, with fewer tokens", retry_after_s=5.0)
        self._here += 1
        loop = asyncio.get_running_loop()
        job = self._pool.submit(work)
        job.add_done_callback(lambda _: self._leave(loop))
        return await asyncio.wrap_future(job)

    def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """On whatever thread the job ended."""
        with suppress(RuntimeError):  # the server has stopped meanwhile
            loop.call_soon_threadsafe(self._one_less)

    def _one_less(self) -> None:
        self._here -= 1
