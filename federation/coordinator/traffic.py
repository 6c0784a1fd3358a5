"""Bytes of model downloads by task, counted as they are sent. A restart forgets those of the round in progress."""

from __future__ import annotations

from collections import Counter


class Traffic:
    """Counts since a task's last round closed."""

    def __init__(self) -> None:
        self._down: Counter[str] = Counter()

    def sent(self, task_id: str, size: int) -> None:
        """`size` bytes of a model went out for this task."""
        self._down[task_id] += size

    def take(self, task_id: str) -> int:
        """What went out since the last call."""
        return self._down.pop(task_id, 0)
