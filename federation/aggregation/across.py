"""Coordinate-wise rules over all updates: block after block, each coordinate's values sorted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from federation.aggregation.blocks import Updates, Values, Wide, check_finite, exact_dtype
from federation.aggregation.fold import HUGE, TINY, Alignment, Sum, zeros

Reduce = Callable[[Values], Wide]
"""From sorted rows [c, m] to one value each, [c]."""


@dataclass(frozen=True)
class Across:
    """What came of it: the delta, and each update beside it."""

    delta: Sum
    alignments: list[Alignment]


def reduce_across(updates: Updates, reduce: Reduce, mixing: Wide | None = None) -> Across:
    """`reduce` applied to each coordinate of the updates, or of their mixtures.

    Args:
        mixing: float64 [m, n]; the values of a coordinate are then the m mixtures of the n updates'.

    Refuses (bad_update) updates that hold NaN or infinity.
    """
    total = zeros(updates.layout)
    squares, dots, length = np.zeros(len(updates)), np.zeros(len(updates)), 0.0
    room = _Room()
    for block in updates.blocks(np.float64 if mixing is not None else exact_dtype(updates.layout)):
        answer = reduce(room.ordered(block.values if mixing is None else room.mixed(mixing, block.values)))
        flat = total[block.name].reshape(-1)
        flat[block.start : block.start + len(answer)] = torch.from_numpy(answer).to(flat.dtype)
        square, dot, size = _products(block.values, answer)
        squares, dots, length = squares + square, dots + dot, length + size
    check_finite(squares, updates)
    scale = np.sqrt(squares) * math.sqrt(length)
    cosines = np.divide(dots, scale, out=np.zeros_like(dots), where=scale > 0)
    return Across(total, [Alignment(math.sqrt(s), float(c)) for s, c in zip(squares, cosines, strict=True)])


class _Room:
    """Memory for a block's mixtures and its sorted columns, used again for the next block."""

    def __init__(self) -> None:
        self._mixed: Wide = np.empty(0)
        self._ordered = torch.empty(0)

    def mixed(self, mixing: Wide, values: Values) -> Values:
        """mixing @ values, [m, c]."""
        shape = (len(mixing), values.shape[1])
        if self._mixed.size < math.prod(shape):
            self._mixed = np.empty(math.prod(shape))
        return np.matmul(mixing, values, out=self._mixed[: math.prod(shape)].reshape(shape))

    def ordered(self, values: Values) -> Values:
        """Rows [n, c] as sorted columns [c, n]."""
        rows = torch.from_numpy(values)
        if self._ordered.numel() < rows.numel():
            self._ordered = torch.empty(rows.numel(), dtype=rows.dtype)
        columns = self._ordered[: rows.numel()].view(rows.shape[1], rows.shape[0])
        columns.copy_(rows.t())  # NumPy's own transposition takes thrice as long
        ordered: Values = columns.numpy()
        ordered.sort(axis=1)
        return ordered


def _products(values: Values, answer: Wide) -> tuple[Wide, Wide, float]:
    """Of each row its square and its product with the answer, and the answer's square: as the rows are where float32
    can hold the result, else in float64."""
    size = float(answer @ answer)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = np.einsum("nc,nc->n", values, values).astype(np.float64)
    narrow = (squares > TINY) & (squares < HUGE)
    if narrow.all() and TINY < size < HUGE:
        return squares, (values @ answer.astype(values.dtype)).astype(np.float64), size
    wide = values.astype(np.float64)
    return np.einsum("nc,nc->n", wide, wide), wide @ answer, size
