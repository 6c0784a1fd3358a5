"""Geometric median: Pillutla, Kakade, Harchaoui 2022, "Robust Aggregation for Federated Learning", IEEE TSP,
arXiv:1912.13445, Algorithm 2 (RFA): the smoothed Weiszfeld iteration

    z = Σ v_i Δ_i,   v_i <- 1 / max(ν, |Δ_i - z|),   v <- v / Σ v.

The point of least summed distance; it withstands f < n/2. Every z is a weighted sum, so all of it happens on G.
"""

from __future__ import annotations

import numpy as np

from federation.aggregation.blocks import Wide
from federation.aggregation.gram import squared_distances_to
from federation.aggregation.weighing import Weighing, uniform


def geometric_median(g: Wide, *, iterations: int = 32, smoothing: float = 1e-6) -> Weighing:
    """Args: `smoothing`: ν, the distance below which updates count as one point."""
    v = uniform(len(g))
    for _ in range(iterations):
        v = 1.0 / np.maximum(smoothing, np.sqrt(squared_distances_to(g, v)))
        v /= v.sum()
    return Weighing(v, np.sqrt(squared_distances_to(g, v)))
