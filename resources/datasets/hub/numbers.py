"""Columns of numbers as examples: each column scaled to 0..1 by the training split's smallest and largest value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from federation.errors import ErrorCode, Refused
from resources.datasets.hub.reading import batches, num_rows
from resources.models.card import Unbuildable

if TYPE_CHECKING:
    import pyarrow

MOST_VALUES = 1 << 28
"""Of a split: two gigabytes as they are read, and one in float32."""
_FLOAT32 = float(np.finfo(np.float32).max)
_LARGE = 1e290  # twice as much could be more than a float64 holds
_MEND = "leave the column out of data.columns.x, or choose another data set"


def read_numbers(files: Sequence[Path], columns: list[str], split: str) -> NDArray[np.float64]:
    """The values as they are, float64 [n, columns].

    Raises:
        Refused: `Unbuildable` for an empty cell, or one that is not finite or no number that float64 holds, naming its
            row and column; BAD_DATA as `batches`.
    """
    rows = num_rows(files)
    if rows * len(columns) > MOST_VALUES:
        problem = f"the {split} split has more than {MOST_VALUES:,} numbers"
        raise Unbuildable("data.columns", problem, "name fewer columns as data.columns.x")
    x = np.empty((rows, len(columns)))
    end = 0
    for at, batch in batches(files, columns):
        end = at + batch.num_rows
        for place, name in enumerate(columns):
            x[at:end, place] = _floats(batch.column(name), name, at, split)
        wrong = ~np.isfinite(x[at:end])
        if wrong.any():
            row, place = (int(each[0]) for each in wrong.nonzero())
            problem = f"row {at + row} of the {split} split has no finite number in {columns[place]}"
            raise Unbuildable("data.columns", problem, _MEND)
    if end != rows:
        problem = f"the {split} split has {end:,} rows, and its files say {rows:,}."
        raise Refused(ErrorCode.BAD_DATA, problem, "choose another data set, or another revision")
    return x


def scaled(x: NDArray[np.float64], train: NDArray[np.float64]) -> NDArray[np.float32]:
    """Each column moved and stretched so that `train` fills 0..1, and kept within what float32 holds; one that never
    changes becomes 0."""
    moved = np.empty(x.shape, dtype=np.float32)
    for place in range(x.shape[1]):
        low, high = float(train[:, place].min()), float(train[:, place].max())
        factor = 0.25 if max(abs(low), abs(high)) > _LARGE else 1.0  # so that no difference overflows
        span = high * factor - low * factor if high > low else 1.0
        with np.errstate(over="ignore"):  # an infinity is cut off with what else is too large
            values = (x[:, place] * factor - low * factor) / span
        moved[:, place] = np.clip(values, -_FLOAT32, _FLOAT32)
    return moved


def _floats(cells: pyarrow.Array, name: str, at: int, split: str) -> NDArray[np.float64]:
    """As float64; an empty cell is NaN."""
    import pyarrow
    import pyarrow.compute as pc
    import pyarrow.types as of

    type_ = cells.type.value_type if of.is_dictionary(cells.type) else cells.type
    if not (of.is_integer(type_) or of.is_floating(type_) or of.is_boolean(type_)):
        raise Unbuildable("data.columns", f"{name} holds {str(type_)[:60]} in the {split} split, no numbers", _MEND)
    plain = cells.cast(type_)
    try:
        found: NDArray[np.float64] = plain.cast("float64").to_numpy(zero_copy_only=False)
    except pyarrow.ArrowInvalid:  # an integer beyond 2^53
        exact = pc.equal(plain.cast("float64", safe=False).cast(type_, safe=False), plain).fill_null(True)
        row = int(np.argmin(exact.to_numpy(zero_copy_only=False)))
        problem = (
            f"row {at + row} of the {split} split has {plain[row]} in {name}, which is too large to be read exactly"
        )
        raise Unbuildable("data.columns", problem, _MEND) from None
    return found
