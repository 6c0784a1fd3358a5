"""FedNova: Wang, Liu, Liang, Joshi, Poor 2020, "Tackling the Objective Inconsistency Problem in Heterogeneous Federated
Optimization", NeurIPS, arXiv:2007.07481, section 4.

Nodes that take more steps pull further, which shifts what the federation converges to. So each delta is divided by
its own length of way and the mean is stretched to the usual one:

    Δ = τ_eff Σ p_i Δ_i / a_i,   τ_eff = Σ p_i a_i,   p_i = n_i / n.

a_i is |a|_1 of the local optimiser's accumulated steps τ: τ for plain SGD; with momentum ρ,
[τ - ρ (1 - ρ^τ) / (1 - ρ)] / (1 - ρ). A proximal term (μ) changes it to [1 - (1 - ημ)^τ] / (ημ).
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def way(steps: int, *, momentum: float = 0.0, proximal: float = 0.0) -> float:
    """a_i: how far `steps` local steps carry, in steps of plain SGD.

    Args:
        momentum: ρ of SGD.
        proximal: η μ, the learning rate times FedProx's coefficient, below 1; not together with momentum.
    """
    if steps < 1 or not 0 <= momentum < 1 or not 0 <= proximal < 1 or (momentum and proximal):
        raise ValueError(f"no way of {steps} steps with momentum {momentum} and proximal term {proximal}")
    if proximal:  # as it stands above, 1 - (1 - x)^τ loses the digits of a small x
        return -math.expm1(steps * math.log1p(-proximal)) / proximal
    if momentum:
        away = (steps - momentum * (1 - momentum**steps) / (1 - momentum)) / (1 - momentum)
        return min(max(away, float(steps)), steps * (steps + 1) / 2)  # what it is between; near ρ = 1 digits cancel
    return float(steps)


def weights(shares: Sequence[float], ways: Sequence[float]) -> list[float]:
    """τ_eff p_i / a_i for each update; equal ways give p_i back."""
    effective = sum(share * a for share, a in zip(shares, ways, strict=True))
    return [effective * share / a for share, a in zip(shares, ways, strict=True)]
