"""What a search finds, and how hits are ranked: by words, by whether a task can name them, by licence and use."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from resources.hub.entries import HubEntry

Origin = Literal["catalogue", "folder", "hub"]
_WORDS, _TRAINABLE, _LICENCE, _USE = 0.5, 0.3, 0.1, 0.1
_MUCH_USED = 6  # a million downloads a month


@dataclass(frozen=True)
class Hit:
    """One thing found.

    Attributes:
        size: `421,642 parameters` or `60,000 + 10,000 examples`, in words; None where the source does not say.
        parameters: of a model, on the data asked for.
        trainable: whether a task can name it; `reason` says how, or what prevents it.
        score: 0..1, higher is better; comparable within one answer.
    """

    id: str
    title: str
    source: Origin
    licence: str | None
    size: str | None
    parameters: int | None
    trainable: bool
    reason: str
    score: float


@dataclass(frozen=True)
class Found:
    """Hits, best first, and why the Hub is missing from them if it is."""

    hits: tuple[Hit, ...]
    hub_unavailable: str | None = None


def ranked(hits: list[Hit], limit: int) -> tuple[Hit, ...]:
    """The best `limit` of them."""
    return tuple(sorted(hits, key=lambda hit: (-hit.score, hit.source, hit.parameters or 0, hit.id))[:limit])


def score(words: float, trainable: bool, *, licence: float = 1.0, downloads: int | None = None) -> float:
    """0..1.

    Args:
        words: share of the query's words that occur.
        licence: 1 for one that permits use, less for one that restricts it or is unknown.
        downloads: in the last month; None: it needs none.
    """
    use = 1.0 if downloads is None else min(1.0, math.log10(1 + downloads) / _MUCH_USED)
    return round(_WORDS * words + _TRAINABLE * trainable + _LICENCE * licence + _USE * use, 4)


def match(query: str, name: str, text: str) -> float:
    """Share of the query's words that occur: whole in the name 1, in the text 0.6, as part of a word 0.3."""
    words = _words(query)
    if not words:
        return 0.0
    in_name, in_text, everything = _words(name), _words(text), f"{name} {text}".lower()

    def worth(word: str) -> float:
        if word in in_name:
            return 1.0
        if word in in_text:
            return 0.6
        return 0.3 if len(word) > 2 and word in everything else 0.0

    return sum(worth(word) for word in words) / len(words)


def licence_in_words(licence: str | None) -> tuple[float, str | None]:
    """How free it leaves its user, 0..1, and a warning where it does not."""
    parts = set((licence or "").split("-"))
    if licence is None or licence in ("unknown", "other"):
        return 0.3, "its licence is unknown: ask its owner before you use it"
    if "nd" in parts:
        return 0.0, f"its licence {licence} forbids derived works"
    if "nc" in parts:
        return 0.2, f"its licence {licence} forbids commercial use"
    return 1.0, None


def of_hub(entry: HubEntry, query: str, size: str | None, can: tuple[bool, str]) -> Hit:
    """A hit on the Hub.

    Args:
        can: whether a task can name it, and how or why not.
    """
    trainable, how = can
    licence, warning = licence_in_words(entry.licence)
    words = match(query, entry.id, " ".join((*entry.tags, entry.task or "")))
    said = f"on the Hub, {entry.downloads:,} downloads: {how}" + (f"; {warning}" if warning else "")
    value = score(words, trainable, licence=licence, downloads=entry.downloads)
    return Hit(entry.id, entry.id, "hub", entry.licence, size, entry.parameters, trainable, said, value)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))
