"""How a round's clients are trained: one after the other, all at once, or in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Protocol

import torch
from torch import nn

from federation.errors import ErrorCode, Refused
from federation.simulation.clients import LocalUpdates, Work
from federation.weights import Tensors

EngineName = Literal["loop", "vectorized", "processes"]

ModelFactory = Callable[[], nn.Module]
"""Builds the task's model with its initial weights."""

WORTHWHILE = 20_000
"""Parameters below which all clients at once are the fastest on a CPU."""


class Engine(Protocol):
    """Trains clients. The same round gives the same bits every time; between engines it agrees to rounding."""

    def train(self, weights: Tensors, work: Sequence[Work]) -> Iterator[LocalUpdates]:
        """The updates in the order of `work`, some at a time, all from the global model `weights`.

        Raises:
            Refused: BAD_DATA for a client without examples, BAD_UPDATE when a client's training diverges.
        """
        ...


def vectorizes(model: nn.Module) -> bool:
    """Whether the state is nothing but weights that are trained: no buffers, nothing frozen or shared."""
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    return trained == list(model.state_dict())


def suited_to(model: nn.Module) -> EngineName:
    """The engine that is likely the fastest for the model in one process."""
    small = sum(parameter.numel() for parameter in model.parameters()) < WORTHWHILE
    return "vectorized" if small and vectorizes(model) else "loop"


def check_float32(model: nn.Module) -> None:
    """Refuses (invalid_spec) a model whose state is not all float32: simulations carry updates as float32 rows."""
    for name, tensor in model.state_dict().items():
        if tensor.dtype != torch.float32:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise Refused(
                ErrorCode.INVALID_SPEC,
                f"tensor {name!r} is {kind}; a simulation carries float32 alone.",
                "make it float32, or keep it out of the model's state (a batch norm without running statistics, say)",
            )
