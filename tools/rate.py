"""A token bucket for each caller."""

from __future__ import annotations

import time
from collections.abc import Callable

from federation.errors import ErrorCode, Refused

_CALLERS = 10_000


class RateLimit:
    """Allows `burst` calls at once and `per_minute` in the long run, to each caller."""

    def __init__(self, *, per_minute: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_minute / 60
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # caller -> (tokens left, at)

    def take(self, caller: str) -> None:
        """Counts one call; refused when the caller's bucket is empty."""
        now = self._clock()
        left, at = self._buckets.pop(caller, (float(self._burst), now))
        left = min(self._burst, left + (now - at) * self._per_second)
        allowed = left >= 1
        self._buckets[caller] = (left - 1 if allowed else left, now)
        while len(self._buckets) > _CALLERS:  # the least recent goes first: dictionaries keep their order
            self._buckets.pop(next(iter(self._buckets)))
        if not allowed:
            wait = (1 - left) / self._per_second
            raise Refused(
                ErrorCode.RATE_LIMITED,
                f"more than {self._per_second * 60:g} calls a minute.",
                f"try again in {wait:.1f} seconds, or send more inputs in one call",
            )
