"""FedAvgM: Hsu, Qi, Brown 2019, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
Classification", arXiv:1909.06335, section 4.3: momentum on the server.

    v <- β v + Δ,   w <- w + η v
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class FedAvgM:
    """β = 0, η = 1 is FedAvg."""

    eta: float = 1.0
    beta: float = 0.9

    slots = ("v",)

    def start(self, slot: str) -> float:
        """At rest."""
        return 0.0

    def step(self, delta: torch.Tensor, slots: dict[str, torch.Tensor]) -> torch.Tensor:
        """η v."""
        return slots["v"].mul_(self.beta).add_(delta).mul(self.eta)
