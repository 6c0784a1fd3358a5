"""How many connections there are, and from where; and how many there may be."""

from __future__ import annotations

import logging
import resource
from collections import Counter

log = logging.getLogger(__name__)

_OWN_FILES = 256
"""File descriptors for the database, the models and whatever else is open."""


class Doors:
    """Counts the connections of a server in all and by address."""

    def __init__(self, most: int, most_per_address: int) -> None:
        self.most = most
        self.most_per_address = most_per_address
        self.open = 0
        self.by_address: Counter[str] = Counter()

    def enter(self, address: str, *, shared: bool) -> str | None:
        """Lets a connection in, or says why not. `shared`: a proxy's, whose callers are not one party."""
        if self.open >= self.most:
            return f"this server has {self.open} connections, which is all that it takes"
        if not shared and self.by_address[address] >= self.most_per_address:
            return f"{self.by_address[address]} connections come from this address, which is all that it may have"
        self.open += 1
        self.by_address[address] += 1
        return None

    def leave(self, address: str) -> None:
        """One that was let in has ended."""
        self.open -= 1
        self.by_address[address] -= 1
        if not self.by_address[address]:
            del self.by_address[address]


def room_for(wanted: int) -> int:
    """How many of `wanted` connections the process has file descriptors for, each with a file that it moves; raises
    the process's own limit to the most that the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    except (OSError, ValueError):  # some systems call a limit infinite that they do not grant
        log.debug("the limit of %d open files cannot be raised", soft)
    if soft == resource.RLIM_INFINITY:
        return wanted
    room = max(16, (soft - _OWN_FILES) // 2)
    if room < wanted:
        log.warning("%d open files are allowed: at most %d connections instead of %d", soft, room, wanted)
    return min(wanted, room)
