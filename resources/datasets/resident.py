"""Test sets kept in memory between scorings: a federation scores every round on the same one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from federation.examples import Examples
from federation.hub_data import DataPin
from federation.spec import TaskSpec
from resources.datasets import named

_Key = tuple[str, tuple[int, int] | None, DataPin | None]


class TestSets:
    """The `size` test splits used last; threads may ask at once, and each split is loaded once."""

    __test__ = False  # pytest: not a class of tests

    def __init__(self, folder: Path | None = None, size: int = 2) -> None:
        self._folder = folder
        self._size = size
        self._held: OrderedDict[_Key, Examples] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, spec: TaskSpec) -> Examples:
        """The test split of the task's data; refusals as for `named.load`."""
        key = (spec.data.id, spec.data.image_size, spec.data.pin)
        with self._lock:
            if key not in self._held:
                self._held[key] = named.load(spec, "test", folder=self._folder)
                while len(self._held) > self._size:
                    self._held.popitem(last=False)
            self._held.move_to_end(key)
            return self._held[key]
