"""Who is at hand: the last word of each node, kept in memory only.

After a restart nobody has been heard of, so every lease counts from the start of the server. The clock is a monotonic
one: when the system's is set, nobody is lost and nobody comes back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from federation.clock import Clock


class Liveness:
    """Presence of nodes by task, and what they last reported."""

    def __init__(self, clock: Clock, presence_s: float) -> None:
        self._clock = clock
        self._presence_s = presence_s
        self._started = clock()
        self._seen: dict[tuple[str, str], float] = {}
        self._left: set[tuple[str, str]] = set()
        self._polling: Counter[tuple[str, str]] = Counter()
        self._reports: dict[tuple[str, str], dict[str, Any]] = {}

    def seen(self, task_id: str, node_id: str) -> None:
        """A word from the node."""
        self._seen[task_id, node_id] = self._clock()
        self._left.discard((task_id, node_id))

    def left(self, task_id: str, node_id: str) -> None:
        """The node said goodbye."""
        self._left.add((task_id, node_id))
        self._reports.pop((task_id, node_id), None)

    @contextmanager
    def polling(self, task_id: str, node_id: str) -> Iterator[None]:
        """While a node waits for work it is at hand, however long it waits."""
        self.seen(task_id, node_id)
        self._polling[task_id, node_id] += 1
        try:
            yield
        finally:
            self._polling[task_id, node_id] -= 1
            self._seen[task_id, node_id] = self._clock()

    def report(self, task_id: str, node_id: str, report: dict[str, Any]) -> None:
        """Keeps a node's latest progress, for those who watch."""
        self.seen(task_id, node_id)
        self._reports[task_id, node_id] = report | {"at": self._clock()}

    def latest_report(self, task_id: str, node_id: str) -> dict[str, Any] | None:
        """The progress that the node reported last."""
        return self._reports.get((task_id, node_id))

    def at_hand(self, task_id: str, node_id: str) -> bool:
        """Whether the node could take work now."""
        key = (task_id, node_id)
        if key in self._left:
            return False
        return self._polling[key] > 0 or self._clock() - self._seen.get(key, float("-inf")) <= self._presence_s

    def gone(self, task_id: str, node_id: str, lease_s: float) -> bool:
        """Whether the node has left, or been silent for longer than its lease and its presence."""
        silent = self.lease_left(task_id, node_id, max(lease_s, self._presence_s)) <= 0
        return silent and not self.at_hand(task_id, node_id)

    def lease_left(self, task_id: str, node_id: str, lease_s: float) -> float:
        """Seconds until the node counts as lost unless it is heard of again; just after a start nobody is."""
        if (task_id, node_id) in self._left:
            return float("-inf")
        last = max(self._started, self._seen.get((task_id, node_id), float("-inf")))
        return last + lease_s - self._clock()
