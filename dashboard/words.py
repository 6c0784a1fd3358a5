"""Numbers and strangers' texts as people read them."""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC, datetime
from html import escape

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def tame(text: object, most: int = 200) -> str:
    """A stranger's text in one line, without marks that steer how it is laid out, and no longer than `most`."""
    letters = (" " if unicodedata.category(letter) in _HIDDEN else letter for letter in str(text)[: 4 * most])
    shown = " ".join("".join(letters).split())
    return shown if len(shown) <= most else shown[: most - 1].rstrip() + "…"


def said(text: object, most: int = 200) -> str:
    """The same for HTML: escaped, and set apart, so that its writing direction is its own."""
    return f"<bdi>{escape(tame(text, most))}</bdi>"


def percent(share: float | None) -> str:
    """A share of 1."""
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.1f}\u00a0%"


def number(value: float | None, digits: int = 3) -> str:
    """A figure with so many digits that count."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "not finite"
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    return f"{value:.{digits}g}" if abs(value) < 1000 else f"{value:,.0f}"


def size(count: float | None) -> str:
    """Bytes."""
    if count is None:
        return "–"
    value, units = float(count), iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while value >= 999.5 and unit != "TB":
        value, unit = value / 1000, next(units)
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"


def duration(seconds: float | None) -> str:
    """A stretch of time."""
    if seconds is None:
        return "–"
    if seconds < 99.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 99.5 else f"{minutes / 60:.1f} h"


def moment(at: float | None) -> str:
    """A point in time, in UTC."""
    return "–" if at is None else datetime.fromtimestamp(at, UTC).strftime("%d %b %Y, %H:%M:%S UTC")


def many(count: int, one: str, more: str | None = None) -> str:
    """A count and its noun: `1 node`, `3 nodes`."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"
