"""FedAdagrad: Reddi et al. 2021, arXiv:2003.00295, Algorithm 2 (see fedopt.py) with

v <- v + Δ²
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from federation.aggregation.fedopt import FedOpt


@dataclass(frozen=True, kw_only=True)
class FedAdagrad(FedOpt):
    """FedAdagrad's second moment."""

    beta1: float = 0.0

    def second_moment(self, v: torch.Tensor, delta: torch.Tensor) -> None:
        v.addcmul_(delta, delta)
