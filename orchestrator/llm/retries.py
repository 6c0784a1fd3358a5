"""What is tried again on the way to a language model, for how long, and what is said when it goes on failing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from federation.errors import ErrorCode, Refused

T = TypeVar("T")


class Failed(Exception):
    """A failure that may pass: a quota, a service that is down, a time-out.

    Args:
        problem: what happened, in words, without a full stop.
        retry_after_s: how long the service asks callers to wait, where it says so.
    """

    def __init__(self, problem: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Retries:
    """How stubbornly a service is asked.

    Attributes:
        attempts: the first included.
        first_wait_s: before the second one, where the service does not say; each later wait is twice as long.
        longest_wait_s: all waits together. A service that asks for more is not waited for: whoever called is told.
        sleep: for tests.
    """

    attempts: int = 4
    first_wait_s: float = 1.0
    longest_wait_s: float = 30.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` returns. Refused BUSY when it has failed too often, or wants to be waited for too long."""
        waited, usual = 0.0, self.first_wait_s
        for number in count(1):
            try:
                return await attempt()
            except Failed as failed:
                wait = usual if failed.retry_after_s is None else failed.retry_after_s
                if number == self.attempts or waited + wait > self.longest_wait_s:
                    raise _gave_up(failed, number, wait) from None
            await self.sleep(wait)
            waited, usual = waited + wait, 2 * usual
        raise AssertionError  # the count has no end


def _gave_up(failed: Failed, attempts: int, wait: float) -> Refused:
    tried = "once" if attempts == 1 else f"{attempts} times"
    mend = f"try again in {max(1, round(wait))} seconds, or go on without a language model (setting llm: none)"
    return Refused(ErrorCode.BUSY, f"{failed.problem}; asked {tried}.", mend, retry_after_s=wait)
