"""The Gram matrix of the updates, from which distance rules work: G_ij = <Δ_i, Δ_j>.

Distances follow from it, |Δ_i - Δ_j|² = G_ii + G_jj - 2 G_ij, and so does the distance of an update to any weighted
sum z = Σ v_j Δ_j. On deltas in float64 this keeps about 7 digits; on whole weights in float32 the identity loses them
all: the differences between nodes are tiny beside the weights themselves.
"""

from __future__ import annotations

import math

import numpy as np

from federation.aggregation.blocks import Updates, Wide, check_finite

_ROUNDING = 1e-14  # of |Δ_i|² + |Δ_j|²: what a difference of float64 sums cannot tell from nothing


def gram(updates: Updates) -> Wide:
    """G, float64 [n, n], in one pass over the updates. Refuses (bad_update) updates that hold NaN or infinity."""
    total = np.zeros((len(updates), len(updates)))
    with np.errstate(invalid="ignore", over="ignore"):
        for block in updates.blocks(np.float64):
            total += block.values @ block.values.T
    check_finite(np.diag(total), updates.names)
    return total


def squared_distances(g: Wide) -> Wide:
    """|Δ_i - Δ_j|² for all pairs, [n, n], to the bit the same from either side.

    What rounding alone may have made is 0: equal updates, or equal mixtures of them, then tie instead of being ranked
    by chance.
    """
    norms = np.maximum(np.diag(g), 0.0)
    sums = norms[:, None] + norms[None, :]
    distances = sums - (g + g.T)
    distances[distances <= _ROUNDING * sums] = 0.0
    np.fill_diagonal(distances, 0.0)
    return distances


def squared_distances_to(g: Wide, v: Wide) -> Wide:
    """|Δ_i - z|² for z = Σ_j v_j Δ_j, [n]."""
    gv = g @ v
    return np.maximum(np.diag(g) - 2 * gv + v @ gv, 0.0)


def cosines_to(g: Wide, v: Wide) -> Wide:
    """Cosine of each update to z = Σ_j v_j Δ_j, [n]; 0 where one of the two is zero."""
    gv = g @ v
    scale = np.sqrt(np.maximum(np.diag(g), 0.0)) * math.sqrt(max(float(v @ gv), 0.0))
    return np.divide(gv, scale, out=np.zeros_like(gv), where=scale > 0)
