"""What FedAdagrad, FedAdam and FedYogi share: Reddi et al. 2021, "Adaptive Federated Optimization", ICLR,
arXiv:2003.00295, Algorithm 2. They differ in one line, the second moment v.

    m <- β₁ m + (1 - β₁) Δ,   v <- (the method's),   w <- w + η m / (√v + τ)

v starts at τ², as the paper asks; there is no correction of the bias of the first rounds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class FedOpt(ABC):
    """η and τ are the server's learning rate and its degree of adaptivity."""

    eta: float = 0.01
    beta1: float = 0.9
    tau: float = 1e-3

    slots = ("m", "v")

    @abstractmethod
    def second_moment(self, v: torch.Tensor, delta: torch.Tensor) -> None:
        """Moves v in place."""

    def start(self, slot: str) -> float:
        """Momentum at rest, v at τ²."""
        return self.tau**2 if slot == "v" else 0.0

    def step(self, delta: torch.Tensor, slots: dict[str, torch.Tensor]) -> torch.Tensor:
        """η m / (√v + τ)."""
        momentum = slots["m"].mul_(self.beta1).add_(delta, alpha=1 - self.beta1)
        self.second_moment(slots["v"], delta)
        return momentum.mul(self.eta).div_(slots["v"].sqrt().add_(self.tau))
