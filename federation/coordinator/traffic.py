"""Bytes of models and updates, counted as they move. In memory: a restart forgets those of the round in progress."""

from __future__ import annotations

from collections import Counter
from typing import Literal

Lane = Literal["raw", "in-band"]
Direction = Literal["up", "down"]


class Traffic:
    """Totals by lane and direction, and the downloads of each task's round in progress."""

    def __init__(self) -> None:
        self.totals: Counter[tuple[Lane, Direction]] = Counter()
        self._round: Counter[str] = Counter()

    def received(self, lane: Lane, size: int) -> None:
        """`size` bytes of an update came in."""
        self.totals[lane, "up"] += size

    def sent(self, lane: Lane, task_id: str, size: int) -> None:
        """`size` bytes of a task's model went out."""
        self.totals[lane, "down"] += size
        self._round[task_id] += size

    def take_round(self, task_id: str) -> int:
        """Bytes that went out for the task since the last call."""
        return self._round.pop(task_id, 0)
