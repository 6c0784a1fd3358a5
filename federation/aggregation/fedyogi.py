"""FedYogi: Reddi et al. 2021, arXiv:2003.00295, Algorithm 2 (see fedopt.py) with

v <- v - (1 - β₂) Δ² sign(v - Δ²)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from federation.aggregation.fedopt import FedOpt


@dataclass(frozen=True, kw_only=True)
class FedYogi(FedOpt):
    """FedYogi's second moment."""

    beta2: float = 0.99

    def second_moment(self, v: torch.Tensor, delta: torch.Tensor) -> None:
        square = delta * delta
        v.sub_((v - square).sign_().mul_(square), alpha=1 - self.beta2)
