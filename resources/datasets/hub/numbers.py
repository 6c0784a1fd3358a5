"""Columns of numbers as examples: each column scaled to 0..1 by the training split's smallest and largest value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resources.datasets.hub.files import batches
from resources.models.card import Unbuildable

MOST_VALUES = 1 << 28
"""Of a split: a gigabyte in float32."""


def read_numbers(files: Sequence[Path], columns: list[str], split: str) -> NDArray[np.float64]:
    """The values as they are, float64 [n, columns].

    Raises:
        Refused: `Unbuildable` for an empty cell or one that is not finite, naming its row and column.
    """
    parts = [np.empty((0, len(columns)))]
    for at, batch in batches(files, columns):
        part = np.empty((batch.num_rows, len(columns)))
        for place, name in enumerate(columns):
            cells = batch.column(name)
            part[:, place] = cells.cast("float64").to_numpy(zero_copy_only=False)  # an empty cell becomes NaN
        wrong = ~np.isfinite(part)
        if wrong.any():
            row, place = (int(each[0]) for each in wrong.nonzero())
            problem = f"row {at + row} of the {split} split has no finite number in {columns[place]}"
            mend = "leave the column out of data.columns.x, or choose another data set"
            raise Unbuildable("data.columns", problem, mend)
        parts.append(part)
        if sum(part.size for part in parts) > MOST_VALUES:
            problem = f"the {split} split has more than {MOST_VALUES:,} numbers"
            raise Unbuildable("data.columns", problem, "name fewer columns as data.columns.x")
    return np.concatenate(parts)


def scaled(x: NDArray[np.float64], train: NDArray[np.float64]) -> NDArray[np.float32]:
    """Each column moved and stretched so that `train` fills 0..1; one that never changes becomes 0."""
    low, high = train.min(axis=0), train.max(axis=0)
    span = np.where(high > low, high - low, 1)
    moved: NDArray[np.float32] = ((x - low) / span).astype(np.float32)
    return moved
