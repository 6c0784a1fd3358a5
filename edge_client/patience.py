"""Waiting for a server that is there and says "later"."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from edge_client.connection import delays
from federation.errors import Refused

LONGEST_S = 60.0
"""How long a server's word on when to come again is heeded, in seconds; then it is asked whether that still holds."""


class Patience:
    """The pauses of one piece of work.

    Args:
        limit_s: how long to wait in all, in seconds of pauses; None: for ever.
        on_wait: told the server's reason and the pause in seconds.
        sleep: replaced in tests.
    """

    def __init__(
        self,
        limit_s: float | None,
        on_wait: Callable[[str, float], None] = lambda why, pause: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._left_s = limit_s
        self._on_wait = on_wait
        self._sleep = sleep
        self._pauses = delays(first_s=1.0)

    async def wait(self, refused: Refused) -> None:
        """Wait as long as the refusal says, and a growing bit more, so that not all who were told so come back at once.

        Raises:
            Refused: the same, where that would take longer than is left.
        """
        pause = min(refused.retry_after_s or 0.0, LONGEST_S) + next(self._pauses)
        if self._left_s is not None:
            if pause > self._left_s:
                raise refused
            self._left_s -= pause
        self._on_wait(refused.problem, pause)
        await self._sleep(pause)
