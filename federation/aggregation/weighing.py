"""What distance rules answer: a weight for each update, and why."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from federation.aggregation.blocks import Wide
from federation.errors import ErrorCode, Refused

SHORTER = 0.9995
"""A factor below which an update counts as clipped: the median itself, and rounding, is not worth a word."""


@dataclass(frozen=True)
class Weighing:
    """The new direction is Σ_i weights_i Δ_i.

    Attributes:
        weights: float64 [n].
        scores: the rule's own number for each update, larger meaning stranger, [n]; None where it has none.
        reasons: why an update counts for less, by its index: "excluded: …" or "clipped: …".
    """

    weights: Wide
    scores: Wide | None = None
    reasons: dict[int, str] = field(default_factory=dict)


def uniform(n: int) -> Wide:
    """1/n for each of n."""
    return np.full(n, 1.0 / n)


def tolerated(rule: str, n: int, f: int | None, most: int, *, of: int) -> int:
    """How many of n updates may be Byzantine: `f` as asked, by default a fifth and at least one, if the rule can.

    Where the n are buckets of updates, the fifth is one `of` these: each may spoil a bucket of its own.

    Refuses (quorum_missed) an f above what the rule tolerates among n updates, and an n that tolerates nothing.
    """
    if most < 0:
        raise Refused(
            ErrorCode.QUORUM_MISSED, f"{rule} has no answer for {n} updates.", "raise cohort.quorum, or change the rule"
        )
    if f is None:
        return min(max(1, of // 5), most)
    if f > most:
        raise Refused(
            ErrorCode.QUORUM_MISSED,
            f"{rule} cannot withstand f = {f} among {n} updates, at most {most}.",
            "lower aggregation.options.f, or raise cohort.quorum",
        )
    return f
