"""From the Gram matrix of a round's updates to the weight of each, by a distance rule, mixing first where asked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from federation.aggregation import krum, mixing
from federation.aggregation.blocks import Wide
from federation.aggregation.centered_clipping import centered_clipping
from federation.aggregation.fold import Alignment
from federation.aggregation.geometric_median import geometric_median
from federation.aggregation.gram import cosines_to
from federation.aggregation.methods import METHODS, Method, options_of
from federation.aggregation.multi_krum import multi_krum
from federation.aggregation.norm_clipping import norm_clipping
from federation.aggregation.weighing import Weighing, tolerated
from federation.spec import AggregationSpec


def by_distance(g: Wide, spec: AggregationSpec, seed: int, parts: Wide) -> Weighing:
    """The weights of the updates themselves, after mixing too; scores and reasons are then left out, but for who is in
    no mixture that counts.

    Args:
        g: float64 [n, n].
        seed: of bucketing's groups.
        parts: each update's share by the task's weighting, [n].
    """
    method, options = METHODS[spec.rule], options_of(spec.rule, spec.options)
    matrix, f = mixture(method, options, len(g), spec, seed, g)
    if matrix is None:
        return _weigh(method.name, g, f, options, parts)
    v = _weigh(method.name, matrix @ g @ matrix.T, f, options, None).weights @ matrix
    return Weighing(v, reasons=unheard(v != 0))


def alignments(g: Wide, v: Wide) -> list[Alignment]:
    """Every update beside Σ_j v_j Δ_j."""
    norms = np.sqrt(np.maximum(np.diag(g), 0.0))
    return [Alignment(float(norm), float(cosine)) for norm, cosine in zip(norms, cosines_to(g, v), strict=True)]


def unheard(heard: NDArray[np.bool_]) -> dict[int, str]:
    """Scores and reasons of mixtures are no single update's; but who is in none that counts can be told."""
    return {int(row): "excluded: in no mixture that counts" for row in np.flatnonzero(~heard)}


def mixture(
    method: Method, options: Any, n: int, spec: AggregationSpec, seed: int, g: Wide | None
) -> tuple[Wide | None, int]:
    """The mixing matrix, if there is to be one, and how many Byzantine updates the rule is to withstand."""
    matrix = mixing.buckets(n, spec.bucket_size, seed) if spec.mixing == "bucketing" else None
    count = n if matrix is None else len(matrix)
    f = tolerated(method.name, count, options.f, method.most_byzantine(count), of=n)
    if matrix is not None and g is not None:  # distances between buckets are to be taken
        matrix = matrix * mixing.bounded(g)
    if spec.mixing == "nnm":
        assert g is not None  # noqa: S101 - whoever mixes neighbours has measured distances
        matrix = mixing.nearest_neighbours(g, f)
    return matrix, f


def _weigh(name: str, g: Wide, f: int, options: Any, parts: Wide | None) -> Weighing:
    match name:
        case "krum":
            return krum.krum(g, f)
        case "multi_krum":
            return multi_krum(g, f, options.m)
        case "geometric_median":
            return geometric_median(g, iterations=options.iterations, smoothing=options.smoothing)
        case "centered_clipping":
            return centered_clipping(g, tau=options.tau, iterations=options.iterations)
        case _:
            return norm_clipping(g, max_norm=options.max_norm, weights=parts)
