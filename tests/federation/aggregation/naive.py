"""The robust rules as their papers state them, on whole vectors in float64, with loops; the tests' second opinion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]


def gap(a: Rows, b: Rows) -> float:
    """Euclidean distance."""
    return float(np.sqrt(((a - b) ** 2).sum()))


def krum_scores(rows: Rows, f: int) -> list[float]:
    """Sums of the n - f - 2 least squared distances to others, at least one."""
    n = len(rows)
    scores = []
    for i in range(n):
        others = sorted(gap(rows[i], rows[j]) ** 2 for j in range(n) if j != i)
        scores.append(sum(others[: max(1, n - f - 2)]))
    return scores


def krum_order(rows: Rows, f: int) -> list[int]:
    """From the best to the worst; of two that are each other's nearest, the one with less distance to all."""
    scores = krum_scores(rows, f) if len(rows) > 1 else [0.0]
    totals = [sum(gap(row, other) ** 2 for other in rows) for row in rows]
    return sorted(range(len(rows)), key=lambda i: (scores[i], totals[i]))


def krum(rows: Rows, f: int, **_: Any) -> Rows:
    return rows[krum_order(rows, f)[0]]


def multi_krum(rows: Rows, f: int, m: int | None = None, **_: Any) -> Rows:
    order = krum_order(rows, f)
    return rows[order[: len(rows) - f if m is None else m]].mean(axis=0)


def bulyan(rows: Rows, f: int, **_: Any) -> Rows:
    left, chosen = list(rows), []
    while len(chosen) < len(rows) - 2 * f:
        chosen.append(left.pop(krum_order(np.array(left), f)[0]))
    answer = []
    for column in np.array(chosen).T:
        middle = np.median(column)
        near = sorted(column, key=lambda value: abs(value - middle))[: len(chosen) - 2 * f]
        answer.append(np.mean(near))
    return np.array(answer)


def median(rows: Rows, f: int, **_: Any) -> Rows:
    return np.median(rows, axis=0)


def trimmed_mean(rows: Rows, f: int, beta: float | None = None, **_: Any) -> Rows:
    n = len(rows)
    drop = f if beta is None else int(beta * n + 1e-9)
    return np.array([np.mean(sorted(column)[drop : n - drop]) for column in rows.T])


def geometric_median(rows: Rows, f: int, **_: Any) -> Rows:
    z = np.median(rows, axis=0)
    for _step in range(20_000):
        pulls = np.array([1 / max(1e-13, gap(row, z)) for row in rows])
        before, z = z, (pulls[:, None] * rows).sum(axis=0) / pulls.sum()
        if np.array_equal(z, before):  # to the bit: every further step would be this one
            break
    return z


def centered_clipping(rows: Rows, f: int, tau: float | None = None, iterations: int = 3, **_: Any) -> Rows:
    z = np.zeros(rows.shape[1])
    for _step in range(iterations):
        radius = float(np.median([gap(row, z) for row in rows])) if tau is None else tau
        z = z + sum((row - z) * min(1.0, radius / max(gap(row, z), 1e-300)) for row in rows) / len(rows)
    return z


def norm_clipping(rows: Rows, f: int, max_norm: float | None = None, **_: Any) -> Rows:
    norms = [gap(row, 0 * row) for row in rows]
    bound = float(np.median(norms)) if max_norm is None else max_norm
    return np.mean([row / max(1.0, norm / bound) for row, norm in zip(rows, norms, strict=True)], axis=0)


NAIVE: dict[str, Callable[..., Rows]] = {
    "krum": krum,
    "multi_krum": multi_krum,
    "bulyan": bulyan,
    "median": median,
    "trimmed_mean": trimmed_mean,
    "geometric_median": geometric_median,
    "centered_clipping": centered_clipping,
    "norm_clipping": norm_clipping,
}


def nearest_neighbour_means(rows: Rows, f: int) -> Rows:
    """Each row's mean with the n - f - 1 rows nearest to it."""
    mixed = []
    for row in rows:
        nearest = sorted(range(len(rows)), key=lambda j, row=row: gap(row, rows[j]))  # type: ignore[misc]
        mixed.append(rows[nearest[: len(rows) - f]].mean(axis=0))
    return np.array(mixed)


def bucket_means(rows: Rows, size: int, seed: int) -> Rows:
    """Means of consecutive groups of a shuffle."""
    order = np.random.default_rng(seed).permutation(len(rows))
    return np.array([rows[order[start : start + size]].mean(axis=0) for start in range(0, len(rows), size)])
