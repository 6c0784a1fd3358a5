"""The clients of a simulated federation: each holds indices into one pool of examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from federation.examples import Examples


@dataclass(frozen=True)
class Client:
    """One client's share: `indices` int64 [n] into the pool; `labels` int64 [n] where it lies about its own."""

    name: str
    indices: Tensor
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def examples(self, pool: Examples) -> Examples:
        """A copy of the client's examples."""
        mine = pool.take(self.indices)
        return mine if self.labels is None else Examples(mine.x, self.labels)


@dataclass(frozen=True)
class Work:
    """One client's local training in one round.

    Attributes:
        seed: of its shuffles.
        correction: makes SCAFFOLD's c - c_i, float32 [parameters]; None: gradients are not corrected.
    """

    client: Client
    seed: int
    correction: Callable[[], Tensor] | None = None


@dataclass(frozen=True)
class LocalUpdates:
    """What some clients' training came to, one row each.

    Attributes:
        deltas: float32 [clients, parameters], local minus global; columns are the model's tensors in its own order.
        num_examples: FedAvg's n_k of each.
        num_steps: steps of the optimiser that each took.
        loss, accuracy: of each, means over its last epoch.
    """

    deltas: Tensor
    num_examples: list[int]
    num_steps: list[int]
    loss: list[float]
    accuracy: list[float]

    def __len__(self) -> int:
        return len(self.num_examples)

    @classmethod
    def nothing(cls) -> LocalUpdates:
        """Of no client, to `count` others in."""
        return cls(torch.empty(0), [], [], [], [])

    def count(self, others: LocalUpdates) -> None:
        """Adds all of theirs but the deltas."""
        self.num_examples.extend(others.num_examples)
        self.num_steps.extend(others.num_steps)
        self.loss.extend(others.loss)
        self.accuracy.extend(others.accuracy)


def flattened(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors as one row, float32 [parameters]."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def schedule(n: int, batch_size: int, total: int, seed: int) -> Tensor:
    """Which of a client's n examples each step takes: int64 [total, batch], -1 where a batch is shorter; `batch` is
    `batch_size`, or n where that is less.

    The shuffles are those of `federation.training.train` with the same seed.
    """
    generator = torch.Generator().manual_seed(seed)
    width, per_epoch = min(n, batch_size), -(-n // batch_size)
    epochs = -(-total // per_epoch)
    steps = torch.full((epochs * per_epoch, width), -1)
    padded = steps.view(epochs, per_epoch * width)
    for epoch in range(epochs):
        padded[epoch, :n] = torch.randperm(n, generator=generator)
    return steps[:total]
