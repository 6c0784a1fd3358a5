"""Coordinate-wise median: Yin, Chen, Ramchandran, Bartlett 2018, "Byzantine-Robust Distributed Learning: Towards
Optimal Statistical Rates", ICML, arXiv:1803.01498, Algorithm 1, option I."""

from __future__ import annotations

from federation.aggregation.blocks import Values, Wide, row_means


def median(ordered: Values) -> Wide:
    """The middle of each row, or the mean of the middle two. Rows, [c, n], are sorted."""
    n = ordered.shape[1]
    return row_means(ordered[:, (n - 1) // 2 : n // 2 + 1])
