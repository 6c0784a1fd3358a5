"""What nodes are called: in full, and no longer than a table or a chart has room for."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from dashboard.watch.reading import Picture
from dashboard.words import said, tame

_ROOM, _TAIL = 15, 4
"""Characters of a name that is cut, and how many of them are its last."""


def name_of(node_id: str, seen: Picture) -> str:
    """What people call a node; a simulated client has only its number."""
    return seen.names.get(node_id) or node_id


def shortened(names: Iterable[str]) -> dict[str, str]:
    """Each name with its middle left out where it is long, but only as far as it still differs from the others."""
    every = {name: tame(name) for name in names}
    for room in range(_ROOM, max(map(len, every.values()), default=0)):
        found = {name: _cut(shown, room) for name, shown in every.items()}
        if len(set(found.values())) == len(set(every.values())):
            return found
    return every


def short(name: str, known: dict[str, str]) -> str:
    """A name as a table's cell: cut, with all of it at hand for a pointer."""
    return f'<span class="cut" title="{escape(tame(name), quote=True)}">{said(known[name])}</span>'


def _cut(name: str, room: int) -> str:
    return name if len(name) <= room else f"{name[: room - _TAIL - 1]}…{name[-_TAIL:]}"
