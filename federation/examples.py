"""Examples, and which of them a node keeps from training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from federation.objective import IGNORED


@dataclass(frozen=True)
class Examples:
    """Labelled examples: `x` float32 [n, ...], values 0..1, channels first; `y` int64 [n], classes from 0.

    Of texts `x` is int64 [n, T], token ids, and for a model that writes `y` int64 [n, T], the tokens to be predicted.
    """

    x: Tensor
    y: Tensor

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"{len(self.x)} examples with {len(self.y)} labels")

    def __len__(self) -> int:
        return len(self.y)

    @property
    def tokens(self) -> int:
        """Of texts: tokens up to each example's last label; where a text has one label, all, and padding with them."""
        if self.y.ndim == 1:
            return self.x.numel()
        places = torch.arange(1, self.y.shape[1] + 1)
        return int(torch.where(self.y != IGNORED, places, 0).amax(dim=1).sum())

    def take(self, indices: NDArray[np.int64] | Tensor) -> Examples:
        """A copy of the examples at `indices`, in that order."""
        index = torch.as_tensor(indices)
        return Examples(self.x[index], self.y[index])

    def first(self, n: int | None) -> Examples:
        """The first n, or all; nothing is copied."""
        return self if n is None else Examples(self.x[:n], self.y[:n])


def split_holdout(examples: Examples, share: float, seed: int) -> tuple[Examples, Examples]:
    """Examples to train on and, kept from training, `share` of them (rounded down) to evaluate on; order is kept."""
    trained_on, held = held_out_places(len(examples), share, seed)
    return examples.take(trained_on), examples.take(held)


def held_out_places(n: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """As `split_holdout`, places among n examples instead of the examples themselves."""
    held = int(n * share)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return order[held:].sort().values, order[:held].sort().values
