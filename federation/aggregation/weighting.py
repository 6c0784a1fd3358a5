"""The share of each update in a mean: by examples, the same for all, or by examples up to a cap."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

from federation.aggregation import fedavg

Weighting = Literal["examples", "uniform", "capped"]


def shares(counts: Sequence[int], weighting: Weighting) -> list[float]:
    """Adding up to 1, in the order given. Refuses (bad_count) counts that are no whole number of at least 1.

    `capped` counts no more of an update's examples than the round's median update has (of two in the middle, the
    smaller): a node that claims a thousand times more than the others weighs what most of them weigh, and liars who
    are no more than half cannot lift the median above the honest.
    """
    if weighting == "capped":
        fedavg.weights(counts)  # for its refusals
        cap = statistics.median_low(counts)
        counts = [min(count, cap) for count in counts]
    return fedavg.weights(counts, uniform=weighting == "uniform")
