"""Coordinate-wise trimmed mean: Yin et al. 2018 (see median.py), Algorithm 1, option II: of each coordinate the ⌊βn⌋
largest and smallest values are dropped, the others averaged. It withstands f = ⌊βn⌋ of n > 2f."""

from __future__ import annotations

import math

from federation.aggregation.blocks import Values, Wide, row_means


def trimmed(n: int, beta: float) -> int:
    """How many values are dropped at each end; fewer than half of them, whatever β is."""
    return min(math.floor(beta * n + 1e-9), (n - 1) // 2)


def trimmed_mean(ordered: Values, beta: float) -> Wide:
    """The mean of what is left of each row. Rows, [c, n], are sorted."""
    n = ordered.shape[1]
    drop = trimmed(n, beta)
    return row_means(ordered[:, drop : n - drop])
