"""Time, handed in so that tests can move it."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Answers the time in Unix seconds."""

wall_clock: Clock = time.time
