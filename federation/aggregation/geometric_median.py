"""Geometric median: Pillutla, Kakade, Harchaoui 2022, "Robust Aggregation for Federated Learning", IEEE TSP,
arXiv:1912.13445, Algorithm 2 (RFA): the smoothed Weiszfeld iteration

    z = Σ v_i Δ_i,   v_i <- 1 / max(ν, |Δ_i - z|),   v <- v / Σ v.

The point of least summed distance; it withstands f < n/2. Every z is a weighted sum, so all of it happens on G.

The paper starts at the mean. Each step then takes only the factor f / (n - f) off what f far updates weigh, so that an
attacker who is far enough away outlasts any number of steps. We start at the mean of the majority around the update
that has the least distances to its nearest half: a place that no minority can choose.
"""

from __future__ import annotations

import numpy as np

from federation.aggregation.blocks import Wide
from federation.aggregation.gram import squared_distances, squared_distances_to
from federation.aggregation.weighing import Weighing

_STANDS = 1e-10  # a step that moves no weight by more


def geometric_median(g: Wide, *, iterations: int = 100, smoothing: float | None = None) -> Weighing:
    """Args: `smoothing`: ν, the distance below which updates count as one point; default: 1e-6 of the median one."""
    v = _majority(squared_distances(g))
    distances = np.sqrt(squared_distances_to(g, v))
    middle = float(np.median(distances))
    nu = 1e-6 * middle if smoothing is None else smoothing
    for _ in range(iterations if middle > 0 else 0):  # else most updates are one point, and that is the median
        last, v = v, 1.0 / np.maximum(nu, distances)
        v /= v.sum()
        distances = np.sqrt(squared_distances_to(g, v))
        if np.abs(v - last).max() <= _STANDS:
            break
    return Weighing(v, distances)


def _majority(distances: Wide) -> Wide:
    """Equal weights of the more than half that lie closest together, as seen by the one in their midst; where several
    are in their midst alike, the mean of what they see."""
    n = len(distances)
    most = n // 2 + 1
    sums = np.sqrt(np.sort(distances, axis=1)[:, :most]).sum(axis=1)
    v = np.zeros(n)
    for medoid in np.flatnonzero(sums <= sums.min() * (1 + 1e-12)):
        v[np.argsort(distances[medoid], kind="stable")[:most]] += 1.0
    return np.asarray(v / v.sum())
