"""Updates side by side: the same coordinates of every update, one block after the other.

Distances and medians need all updates at once, yet not all of each. A block holds a few thousand coordinates of
every one, so memory is one block whatever the number and the size of the updates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from federation.aggregation.fold import Alignment, Sum
from federation.errors import ErrorCode, Refused
from federation.layout import Layout

_BUDGET = 16 << 20  # bytes of one block; rules make two more of its size
COLUMNS = 16_384  # more would leave a core's cache
_APART = 16  # values between rows: rows a power of two apart would share a few of the cache's places

Wide = NDArray[np.float64]
Values = NDArray[np.floating[Any]]
Float = type[np.float32] | type[np.float64]


@dataclass(frozen=True)
class Block:
    """Coordinates `start`.. of the flattened tensor `name`: `values` is [updates, coordinates].

    The next block is read into the same memory.
    """

    name: str
    start: int
    values: Values


class Updates(Protocol):
    """A round's updates of one layout, wherever they are. From files or memory a rule makes the same model, to the
    bit."""

    @property
    def layout(self) -> Layout:
        """Of the global model."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """What to call each update in a refusal."""
        ...

    @property
    def side_by_side(self) -> bool:
        """Whether all of them a block at a time are as quickly read as one after the other."""
        ...

    def __len__(self) -> int: ...

    def blocks(self, dtype: Float, *, columns: int = COLUMNS) -> Iterator[Block]:
        """Every coordinate once, tensors by name, coordinates in row-major order, as `dtype`; at most `columns` of them
        in a block."""
        ...

    def weighted_sum(self, weights: Sequence[float]) -> Sum:
        """sum_i weights[i] * updates[i], in order, tensor by tensor; updates of weight 0 are not looked at."""
        ...

    def alignments(self, total: Sum) -> Sequence[Alignment]:
        """Every update beside `total`; rounding may depend on where the updates are."""
        ...


def exact_dtype(layout: Layout) -> Float:
    """The smallest float that holds every value as it is."""
    return np.float64 if any(info.dtype == "F64" for info in layout.values()) else np.float32


def empty_blocks(layout: Layout, count: int, dtype: Float, columns: int) -> Iterator[Block]:
    """The blocks of `count` updates, to be filled; all are views of one piece of memory."""
    columns = max(256, min(columns, _BUDGET // (8 * max(1, count))))
    memory: Values = np.empty((count, columns + _APART), dtype)
    for name, info in sorted(layout.items()):
        for start in range(0, info.num_values, columns):
            yield Block(name, start, memory[:, : min(columns, info.num_values - start)])


def row_means(values: Values) -> Wide:
    """The mean of each row, [c, k] to [c], summed in float64: as a product, which is thrice as fast as NumPy's mean."""
    wide = values.astype(np.float64)
    return np.asarray(wide @ np.ones(values.shape[1]) / values.shape[1])


def check_finite(squares: Wide, names: Sequence[str]) -> None:
    """Refuses (bad_update) updates whose sum of squares is not finite; acceptance should have done so before."""
    for name, square in zip(names, squares, strict=True):
        if not math.isfinite(square):
            raise Refused(
                ErrorCode.BAD_UPDATE,
                f"{name} holds NaN or infinite values, or values too large to square.",
                "leave this update out",
            )
