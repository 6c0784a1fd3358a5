"""Krum: Blanchard, El Mhamdi, Guerraoui, Stainer 2017, "Machine Learning with Adversaries: Byzantine Tolerant Gradient
Descent", NeurIPS, section 4.

    s(i) = sum over the n - f - 2 updates closest to Δ_i of |Δ_i - Δ_j|²;   the update of the least s is the answer.

It withstands f Byzantine updates of n >= 2f + 3. One update speaks for all: honest nodes with unlike data go unheard.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from federation.aggregation.blocks import Wide
from federation.aggregation.gram import squared_distances
from federation.aggregation.weighing import Weighing


def scores(distances: Wide, f: int) -> Wide:
    """s(i) from squared distances [n, n]: over the n - f - 2 nearest others, at least one."""
    n = len(distances)
    others = np.sort(distances + np.diag(np.full(n, np.inf)), axis=1)
    return np.asarray(others[:, : max(1, n - f - 2)].sum(axis=1))


def ranking(distances: Wide, f: int) -> tuple[NDArray[np.int64], Wide]:
    """Indices from the best score to the worst, and the scores.

    With a single neighbour in the score, two updates that are each other's nearest always tie; of such, the one with
    the smaller sum of distances to all goes first, so that the updates decide and not the ids of their nodes.
    """
    s = scores(distances, f)
    return np.lexsort((distances.sum(axis=1), s)), s


def krum(g: Wide, f: int) -> Weighing:
    """All the weight to the update of the least score."""
    order, s = ranking(squared_distances(g), f)
    chosen = int(order[0])
    weights = np.zeros(len(s))
    weights[chosen] = 1.0
    reasons = {
        i: f"excluded: score {s[i]:.4g}, the chosen one has {s[chosen]:.4g}" for i in range(len(s)) if i != chosen
    }
    return Weighing(weights, s, reasons)
