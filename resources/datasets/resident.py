"""Test sets kept in memory between scorings: a federation scores every round on the same one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from federation.examples import Examples
from resources.datasets import catalogue


class TestSets:
    """The `size` test splits used last; threads may ask at once, and each split is loaded once."""

    __test__ = False  # pytest: not a class of tests

    def __init__(self, folder: Path | None = None, size: int = 2) -> None:
        self._folder = folder
        self._size = size
        self._held: OrderedDict[str, Examples] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, data_id: str) -> Examples:
        """The test split of `data_id`; refusals as for `catalogue.load`."""
        with self._lock:
            if data_id not in self._held:
                self._held[data_id] = catalogue.load(data_id, "test", folder=self._folder)
                while len(self._held) > self._size:
                    self._held.popitem(last=False)
            self._held.move_to_end(data_id)
            return self._held[data_id]
