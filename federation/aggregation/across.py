"""One pass over all updates, block after block: what a rule makes of them, and each update beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from federation.aggregation.blocks import Updates, Values, Wide, check_finite, exact_dtype
from federation.aggregation.fold import HUGE, TINY, Alignment, Sum, check_weights, zeros

_COLUMNS = 32_768  # of a sum's blocks, of which nothing is sorted: fewer would cost more in calls than caches give back

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
    total, beside = zeros(updates.layout), _Beside(len(updates))
    room = _Room()
    for block in updates.blocks(np.float64 if mixing is not None else exact_dtype(updates.layout)):
        answer = reduce(room.ordered(block.values if mixing is None else room.mixed(mixing, block.values)))
        flat = total[block.name].reshape(-1)
        flat[block.start : block.start + len(answer)] = torch.from_numpy(answer).to(flat.dtype)
        beside.count(block.values, answer)
    check_finite(beside.squares, updates.names)
    return Across(total, beside.alignments())


def sum_across(updates: Updates, weights: Sequence[float]) -> Across:
    """sum_i weights[i] * updates[i] to the bits of `Updates.weighted_sum`, each update read once for sum and diagnosis.

    Updates that are too many to lie side by side are read twice, one after the other. Refuses (bad_update) updates that
    hold NaN or infinity.

    Args:
        weights: finite factors, one for each update.
    """
    if not updates.side_by_side:
        delta = updates.weighted_sum(weights)
        found = list(updates.alignments(delta))
        check_finite(np.square([each.norm for each in found]), updates.names)
        return Across(delta, found)
    check_weights(weights)
    total, beside = zeros(updates.layout), _Beside(len(updates))
    for block in updates.blocks(exact_dtype(updates.layout), columns=_COLUMNS):
        flat = total[block.name].reshape(-1)[block.start : block.start + block.values.shape[1]]
        for row, weight in zip(torch.from_numpy(block.values).to(flat.dtype), weights, strict=True):
            if weight:
                flat.add_(row, alpha=weight)
        beside.count(block.values, flat.numpy())
    check_finite(beside.squares, updates.names)
    return Across(total, beside.alignments())


class _Beside:
    """Norms of all updates and their cosines to the answer, while the blocks go by."""

    def __init__(self, count: int) -> None:
        self.squares = np.zeros(count)
        self._dots = np.zeros(count)
        self._length = 0.0

    def count(self, values: Values, answer: Values) -> None:
        """The next block: `values` [n, c] of the updates, `answer` [c]."""
        squares, dots, size = _products(values, answer)
        self.squares += squares
        self._dots += dots
        self._length += size

    def alignments(self) -> list[Alignment]:
        """Of every update."""
        scale = np.sqrt(self.squares) * math.sqrt(self._length)
        cosines = np.divide(self._dots, scale, out=np.zeros_like(self._dots), where=np.isfinite(scale) & (scale > 0))
        return [Alignment(math.sqrt(s), float(c)) for s, c in zip(self.squares, cosines, strict=True)]


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


def _products(values: Values, answer: Values) -> tuple[Wide, Wide, float]:
    """Of each row its square and its product with the answer, and the answer's square: as the rows are where float32
    can hold the result, else in float64. Not finite where values are not.

    By torch, for NumPy's BLAS wakes threads for a row as long as these, and they wait for one another.
    """
    rows, column = torch.from_numpy(values), torch.from_numpy(answer)
    size = float(torch.linalg.vector_norm(column, dtype=torch.float64)) ** 2
    with np.errstate(over="ignore"):
        squares = torch.linalg.vector_norm(rows, dim=1).double().square().numpy()
    if ((squares > TINY) & (squares < HUGE)).all() and TINY < size < HUGE:
        return squares, rows.mv(column.to(rows.dtype)).double().numpy(), size
    rows, column = rows.double(), column.double()
    return torch.linalg.vector_norm(rows, dim=1).square().numpy(), rows.mv(column).numpy(), size
