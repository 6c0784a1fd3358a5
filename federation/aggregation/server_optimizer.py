"""What the server optimisers have in common: the mean delta of a round is a step's direction, and state goes along.

Reddi et al. 2021, "Adaptive Federated Optimization", ICLR, arXiv:2003.00295, Algorithm 2. The state is kept with the
model version, so a task that is rolled back, or resumed after a crash, goes on from the state of its model.
"""

from __future__ import annotations

from typing import Protocol

import torch

State = dict[str, torch.Tensor]
"""Tensors by `<slot>/<name>`: float32, in the shapes of the model's; empty before the first round."""


class ServerOptimizer(Protocol):
    """One step of one tensor."""

    @property
    def slots(self) -> tuple[str, ...]:
        """What the state holds for each tensor."""
        ...

    def start(self, slot: str) -> float:
        """The slot's value before the first round."""
        ...

    def step(self, delta: torch.Tensor, slots: dict[str, torch.Tensor]) -> torch.Tensor:
        """What to add to the weights, from the mean delta; `slots` are moved in place."""
        ...


def take_step(optimizer: ServerOptimizer, delta: State, state: State) -> tuple[State, State]:
    """The step of every tensor and the state after it.

    Args:
        delta: the round's mean delta by name; it is used up.
        state: of the version that the round started from; it is left as it was.
    """
    moved: State = {}
    for name, tensor in delta.items():
        slots = {
            slot: state[f"{slot}/{name}"].clone()
            if f"{slot}/{name}" in state
            else torch.full_like(tensor, optimizer.start(slot))
            for slot in optimizer.slots
        }
        delta[name] = optimizer.step(tensor, slots)
        moved |= {f"{slot}/{name}": value for slot, value in slots.items()}
    return delta, moved
