"""Forged updates that look at all honest ones: from blocks, wherever the updates are, to the same bits.

Memory is a block and one update, whatever the number of clients and the size of the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from federation.aggregation.blocks import Block, Updates, Wide


@dataclass(frozen=True)
class Lie:
    """`mean` times the honest updates' mean plus `std` times their standard deviation, coordinate by coordinate."""

    mean: float = 0.0
    std: float = 0.0


@dataclass(frozen=True)
class Spread:
    """How updates lie about their mean.

    Attributes:
        squares: |Δ_i - mean|² of each.
        products: <Δ_i - mean, std> of each.
        length: |std|.
        widest: the largest distance between two of them.
    """

    squares: Wide
    products: Wide
    length: float
    widest: float

    def furthest(self, gamma: float) -> float:
        """max_i |Δ_i - (mean - γ std / |std|)|."""
        away = self.squares + 2 * gamma * self.products / self.length + gamma * gamma
        return math.sqrt(max(0.0, float(away.max())))


def spread_of(updates: Updates) -> Spread:
    """In one pass. Distances are those of centred updates, whose Gram matrix loses little to rounding."""
    count = len(updates)
    gram, products, square = np.zeros((count, count)), np.zeros(count), 0.0
    for block in updates.blocks(np.float64):
        mean, std = _moments(block)
        centred = block.values - mean
        gram += centred @ centred.T
        products += centred @ std
        square += float(std @ std)
    squares = np.diag(gram)
    widest = max(0.0, float((squares[:, None] + squares[None, :] - 2 * gram).max()))
    return Spread(squares, products, math.sqrt(square), math.sqrt(widest))


def told(lie: Lie, updates: Updates) -> Tensor:
    """The lie about these updates, float32 [parameters], columns in the layout's order."""
    sizes = [info.num_values for info in updates.layout.values()]
    offsets = dict(zip(updates.layout, accumulate(sizes, initial=0), strict=False))
    sent = torch.empty(sum(sizes))
    for block in updates.blocks(np.float64):
        mean, std = _moments(block)
        start = offsets[block.name] + block.start
        sent[start : start + len(mean)] = torch.from_numpy(lie.mean * mean + lie.std * std).float()
    return sent


def _moments(block: Block) -> tuple[Wide, Wide]:
    """Mean and population standard deviation of each coordinate."""
    return block.values.mean(axis=0), block.values.std(axis=0)
