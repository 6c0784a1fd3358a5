"""Centered clipping: Karimireddy, He, Jaggi 2021, "Learning from History for Byzantine Robust Optimization", ICML,
arXiv:2012.10333, Algorithm 2:

    z <- z + 1/n Σ_i (Δ_i - z) min(1, τ / |Δ_i - z|)

started at z = 0, the model that all nodes received. An update further than τ from z pulls with the force τ and no
more. Without `tau` the radius is, in each step, the median distance, so that half of the updates are clipped.
"""

from __future__ import annotations

import numpy as np

from federation.aggregation.blocks import Wide
from federation.aggregation.gram import squared_distances_to
from federation.aggregation.weighing import SHORTER, Weighing


def centered_clipping(g: Wide, *, tau: float | None = None, iterations: int = 3) -> Weighing:
    """z as weights of the updates; what is missing to 1 is the weight of the start, 0."""
    n = len(g)
    v, pulls = np.zeros(n), np.ones(n)
    distances = np.zeros(n)
    for _ in range(iterations):
        distances = np.sqrt(squared_distances_to(g, v))
        radius = float(np.median(distances)) if tau is None else tau
        pulls = np.divide(radius, distances, out=np.ones(n), where=distances > radius)
        v = v + (pulls - pulls.sum() * v) / n
    reasons = {i: f"clipped: to {pulls[i]:.3g} of its distance" for i in range(n) if pulls[i] < SHORTER}
    return Weighing(v, distances, reasons)
