"""When rounds end and what they cost. Used in every contender's own process: the standard library alone."""

from __future__ import annotations

import json
import os
import time
from itertools import pairwise

from benchmarks.contender import peak_rss
from benchmarks.process import cpu_seconds, family


class RoundClock:
    """Ticks at the start and at the end of each round; the first `warm_up` rounds do not count.

    CPU time is that of process `root` (default: this one) and of all that it has started, over the rounds that count.
    """

    def __init__(self, warm_up: int, rounds: int, root: int | None = None) -> None:
        self._root = root or os.getpid()
        self._warm_up = warm_up
        self._rounds = rounds
        self._ticks: list[float] = []
        self._spent: dict[int, float] = {}
        self._cpu_s = float("nan")

    def tick(self) -> None:
        """A round ends, and the next begins."""
        now = time.perf_counter()
        self._ticks.append(now)
        if len(self._ticks) == self._warm_up + 1:
            self._spent = self._family()
            self._ticks[-1] = time.perf_counter()  # looking is not the next round's time
        if len(self._ticks) == self._warm_up + self._rounds + 1:
            self._cpu_s = sum(spent - self._spent.get(pid, 0.0) for pid, spent in self._family().items())

    def outcome(self, accuracy: float) -> str:
        """Seconds of each round that counts, CPU seconds a round, this process's peak in bytes, the accuracy at the
        end: a line of JSON."""
        seconds = [later - earlier for earlier, later in pairwise(self._ticks[self._warm_up :])]
        cost = {"cpu": self._cpu_s / self._rounds, "peak": peak_rss()}
        return json.dumps({"seconds": seconds, **cost, "accuracy": accuracy})

    def _family(self) -> dict[int, float]:
        found = {}
        for pid in family(self._root):
            try:
                found[pid] = cpu_seconds(pid)
            except OSError:
                continue  # it has just ended
        return found
