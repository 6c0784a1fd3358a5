"""What the server optimisers have in common: the mean delta of a round is a step's direction, and state goes along.

Reddi et al. 2021, "Adaptive Federated Optimization", ICLR, arXiv:2003.00295, Algorithm 2. The state is kept with the
model version, so a task that is rolled back, or resumed after a crash, goes on from the state of its model.
"""

from __future__ import annotations

from typing import Protocol

import torch

from federation.errors import ErrorCode, Refused
from federation.layout import shown

State = dict[str, torch.Tensor]
"""Tensors by `<slot>/<name>`: float32 at least, in the shapes of the model's; empty before the first round."""


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

    Refuses (bad_update) a state that is not finite: squares leave float32 long before their roots do, and no later
    round would mend it.
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
        for slot, value in slots.items():
            if not bool(value.isfinite().all()):
                raise Refused(
                    ErrorCode.BAD_UPDATE,
                    f"the server optimiser's {slot} of tensor {shown(name)} is not finite; its state stays as it was.",
                    "bound the updates with aggregation.max_update_norm, or train with a lower learning rate",
                )
        moved |= {f"{slot}/{name}": value for slot, value in slots.items()}
    return delta, moved
