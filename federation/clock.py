"""Time, handed in so that tests can move it."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Answers the time in seconds: Unix time, but for the monotonic one."""


class SteadyClock:
    """Unix seconds that never jump: the system's time when this was made, and what has passed since.

    Whoever sets the system's clock neither ends a round early nor prolongs it. The time in which the machine slept
    counts, where the system can tell.
    """

    def __init__(self) -> None:
        self._began = time.time() - _passing()

    def __call__(self) -> float:
        return self._began + _passing()


def _passing() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


monotonic_clock: Clock = time.monotonic
"""Seconds that only ever go forward, from some moment that means nothing."""
