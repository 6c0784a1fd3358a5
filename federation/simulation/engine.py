"""How a round's clients are trained: one after the other, all at once, or in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Protocol

from torch import nn

from federation.simulation.clients import LocalUpdate, Work
from federation.weights import Tensors

EngineName = Literal["loop", "vectorized", "processes"]

ModelFactory = Callable[[], nn.Module]
"""Builds the task's model; its weights are overwritten."""


class Engine(Protocol):
    """Trains clients. The same round gives the same bits every time; between engines it agrees to rounding."""

    def train(self, weights: Tensors, work: Sequence[Work]) -> Iterator[LocalUpdate]:
        """The updates in the order of `work`, all from the global model `weights`.

        Raises:
            Refused: BAD_DATA for a client without examples, BAD_UPDATE when a client's training diverges.
        """
        ...
