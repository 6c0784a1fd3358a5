"""FedAdam: Reddi et al. 2021, arXiv:2003.00295, Algorithm 2 (see fedopt.py) with

v <- β₂ v + (1 - β₂) Δ²
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from federation.aggregation.fedopt import FedOpt


@dataclass(frozen=True, kw_only=True)
class FedAdam(FedOpt):
    """FedAdam's second moment."""

    beta2: float = 0.99

    def second_moment(self, v: torch.Tensor, delta: torch.Tensor) -> None:
        v.mul_(self.beta2).addcmul_(delta, delta, value=1 - self.beta2)
