"""Mixing before a robust rule, the cure for nodes with unlike data: each update is replaced by a mean of some.

Both ways are a row-stochastic matrix M, so that M Δ are the mixed updates and M G Mᵀ is their Gram matrix.
"""

from __future__ import annotations

import numpy as np

from federation.aggregation.blocks import Wide
from federation.aggregation.gram import squared_distances


def nearest_neighbours(g: Wide, f: int) -> Wide:
    """Nearest-neighbour mixing (NNM): Allouah et al. 2023, "Fixing by Mixing", AISTATS, arXiv:2302.01772, Algorithm 2.

    Each update becomes the mean of the n - f closest to it, itself among them; of equals, the first.
    """
    n = len(g)
    distances = squared_distances(g)
    np.fill_diagonal(distances, -1.0)  # each is its own nearest neighbour
    nearest = np.argsort(distances, axis=1, kind="stable")[:, : n - f]
    mixed = np.zeros((n, n))
    np.put_along_axis(mixed, nearest, 1.0 / (n - f), axis=1)
    return mixed


def bounded(g: Wide) -> Wide:
    """Factors, [n], that take updates of absurd norms to a thousand times the median norm.

    In a bucket two such updates can cancel. From G the bucket's place is then a rounding error of their size: a
    distance rule could take it for the nearest of all.
    """
    norms = np.sqrt(np.maximum(np.diag(g), 0.0))
    bound = 1000 * float(np.median(norms))
    return np.divide(bound, norms, out=np.ones(len(g)), where=(norms > bound) & (bound > 0))


def buckets(n: int, size: int, seed: int) -> Wide:
    """Bucketing: Karimireddy, He, Jaggi 2022, "Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing",
    ICLR, arXiv:2006.09365, Algorithm 1: the means of random groups of `size`, the last one smaller.

    One Byzantine update spoils one bucket, so of ⌈n / size⌉ buckets f are still bad at most.
    """
    order = np.random.default_rng(seed).permutation(n)
    groups = [order[start : start + size] for start in range(0, n, size)]
    mixed = np.zeros((len(groups), n))
    for row, group in enumerate(groups):
        mixed[row, group] = 1.0 / len(group)
    return mixed
