"""Bulyan: El Mhamdi, Guerraoui, Rouault 2018, "The Hidden Vulnerability of Distributed Learning in Byzantium", ICML,
arXiv:1802.07927, section 4. It withstands f Byzantine updates of n >= 4f + 3.

First θ = n - 2f updates are selected, one Krum at a time, each among those that are left. Then each coordinate is the
mean of the β = θ - 2f selected values that are closest to their median.
"""

from __future__ import annotations

import numpy as np

from federation.aggregation import krum
from federation.aggregation.blocks import Values, Wide, row_means
from federation.aggregation.gram import squared_distances
from federation.aggregation.weighing import Weighing


def select(g: Wide, f: int) -> Weighing:
    """The θ = n - 2f selected updates: weight 1/θ each, 0 to the others. Scores are those of the first Krum."""
    distances = squared_distances(g)
    left = list(range(len(g)))
    chosen: list[int] = []
    while len(chosen) < len(g) - 2 * f:
        order, _ = krum.ranking(distances[np.ix_(left, left)], f)
        chosen.append(left.pop(int(order[0])))
    weights = np.zeros(len(g))
    weights[chosen] = 1.0 / len(chosen)
    reasons = dict.fromkeys(sorted(left), "excluded: not among the selected")
    return Weighing(weights, krum.scores(distances, f), reasons)


def mean_around_median(ordered: Values, f: int) -> Wide:
    """The mean of the θ - 2f values of each row that are closest to its median. Rows, [c, θ], are sorted.

    The closest values lie side by side in a sorted row, so of all windows of that width the one whose further end is
    nearest to the median is the answer; of equals, the first.
    """
    theta = ordered.shape[1]
    width = theta - 2 * f
    middle = row_means(ordered[:, (theta - 1) // 2 : theta // 2 + 1])[:, None]
    first, last = ordered[:, : theta - width + 1], ordered[:, width - 1 :]
    start = np.argmin(np.maximum(middle - first, last - middle), axis=1)
    closest = np.take_along_axis(ordered, start[:, None] + np.arange(width), axis=1)
    return row_means(closest)
