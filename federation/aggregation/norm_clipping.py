"""Norm clipping: Sun, Kairouz, Suresh, McMahan 2019, "Can You Really Backdoor Federated Learning?",
arXiv:1911.07963, section 4: Δ_i / max(1, |Δ_i| / C), then the mean.

Without `max_norm` C is the median norm of the round. It bounds what one update can do; it excludes nobody.
"""

from __future__ import annotations

import numpy as np

from federation.aggregation.blocks import Wide
from federation.aggregation.weighing import SHORTER, Weighing, uniform


def norm_clipping(g: Wide, *, max_norm: float | None = None, weights: Wide | None = None) -> Weighing:
    """Args: `weights`: of the mean, adding up to 1; default: uniform."""
    norms = np.sqrt(np.maximum(np.diag(g), 0.0))
    bound = float(np.median(norms)) if max_norm is None else max_norm
    factors = np.divide(bound, norms, out=np.ones(len(g)), where=norms > bound)
    reasons = {
        i: f"clipped: to {factors[i]:.3g} of its norm {norms[i]:.4g}" for i in range(len(g)) if factors[i] < SHORTER
    }
    return Weighing(factors * (uniform(len(g)) if weights is None else weights), norms, reasons)
