"""Rows kept in memory, for what every call asks and few calls change.

One process owns the database, so whoever changes such a row says `forget`, and the next reader asks again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

V = TypeVar("V")


@dataclass
class _Read:
    """Reads of one row in progress, and how often it has changed meanwhile."""

    readers: int = 0
    changes: int = 0


class Remembered(Generic[V]):
    """The latest `most` rows that were asked for, by key."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: OrderedDict[str, V] = OrderedDict()
        self._reads: dict[str, _Read] = {}

    async def get(self, key: str, read: Callable[[], Awaitable[V | None]]) -> V | None:
        """The row of `key`, from memory or by `read`; that there is none is not remembered."""
        if key in self._rows:
            self._rows.move_to_end(key)
            return self._rows[key]
        while True:
            reading = self._reads.setdefault(key, _Read())
            before = reading.changes
            reading.readers += 1
            try:
                row = await read()
            finally:
                reading.readers -= 1
                if not reading.readers:
                    del self._reads[key]
            if before == reading.changes:
                break  # else it may have been read just before the change
        if row is not None:
            self._rows[key] = row
            if len(self._rows) > self._most:
                self._rows.popitem(last=False)
        return row

    def forget(self, key: str) -> None:
        """The row has changed."""
        if key in self._reads:
            self._reads[key].changes += 1
        self._rows.pop(key, None)
