"""Numbers as people read them."""

from __future__ import annotations


def count(value: float) -> str:
    """`4,810` or `135 M`."""
    for unit, size in (("B", 1e9), ("M", 1e6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:,.0f}"


def size(value: float) -> str:
    """Bytes: `19.2 kB`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value:.0f} B"


def duration(seconds: float) -> str:
    """`under a second`, `12 s`, `3 min`, `2 h`."""
    if seconds < 1:
        return "under a second"
    for unit, scale in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds:.3g} s"


def percent(share: float | None) -> str:
    """`97.5 %`, or a dash where nothing was measured."""
    return "–" if share is None else f"{100 * share:.3g} %"


def number(value: float | None) -> str:
    """Four digits, or a dash."""
    return "–" if value is None else f"{value:.4g}"
