"""Rows kept in memory, for what every call asks and few calls change.

One process owns the database, so whoever changes such a row says `forget`, and the next reader asks again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class Remembered(Generic[V]):
    """The latest `most` rows that were asked for, by key."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: OrderedDict[str, V] = OrderedDict()
        self._changes = 0

    async def get(self, key: str, read: Callable[[], Awaitable[V | None]]) -> V | None:
        """The row of `key`, from memory or by `read`; that there is none is not remembered."""
        if key in self._rows:
            self._rows.move_to_end(key)
            return self._rows[key]
        before = self._changes
        row = await read()
        if row is not None and before == self._changes:  # else it may have been read just before a change
            self._rows[key] = row
            if len(self._rows) > self._most:
                self._rows.popitem(last=False)
        return row

    def forget(self, key: str) -> None:
        """The row has changed."""
        self._changes += 1
        self._rows.pop(key, None)
