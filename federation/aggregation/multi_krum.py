"""Multi-Krum: Blanchard et al. 2017 (see krum.py), section 5: the mean of the m updates of the least Krum score.

m = n - f by default, and never more: so many are honest at least; m = 1 is Krum.
"""

from __future__ import annotations

import numpy as np

from federation.aggregation import krum
from federation.aggregation.blocks import Wide
from federation.aggregation.gram import squared_distances
from federation.aggregation.weighing import Weighing


def multi_krum(g: Wide, f: int, m: int | None = None) -> Weighing:
    """1/m to each of the m best."""
    order, s = krum.ranking(squared_distances(g), f)
    n = len(s)
    m = n - f if m is None else min(m, n - f)
    best = order[:m]
    weights = np.zeros(n)
    weights[best] = 1.0 / m
    worst = s[best[-1]]
    reasons = {i: f"excluded: score {s[i]:.4g} above {worst:.4g}" for i in range(n) if weights[i] == 0}
    return Weighing(weights, s, reasons)
