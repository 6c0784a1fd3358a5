"""Time, handed in so that tests can move it."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Answers the time in seconds: Unix time, but for the monotonic one."""

wall_clock: Clock = time.time

monotonic_clock: Clock = time.monotonic
"""Seconds that only ever go forward, from some moment that means nothing."""
