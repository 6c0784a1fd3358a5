"""Handwritten digits of 8x8 pixels that come with scikit-learn: the data set that needs no download."""

from __future__ import annotations

import gzip
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resources.datasets.card import ImageCard, Labels, Pixels, Split

DIGITS = ImageCard(
    id="digits",
    title="Optical recognition of handwritten digits",
    description="1,797 grey images of 8x8 pixels, split 1,437 to 360. Inside scikit-learn: no download.",
    input_shape=(1, 8, 8),
    class_names=tuple("0123456789"),
    num_train=1437,
    num_test=360,
    licence="CC BY 4.0",
    source="Alpaydin and Kaynak 1998, UCI Machine Learning Repository; the copy in scikit-learn",
)


class Digits:
    """The test half of UCI's set, as scikit-learn ships it, split once and for all."""

    def pixels(self, split: Split) -> Pixels:
        return _splits()[split]

    def labels(self, split: Split) -> Labels:
        return _splits()[split].y.copy()

    def present(self, split: Split) -> bool:
        return True


@cache
def _splits() -> dict[Split, Pixels]:
    table = _table()
    x, y = table[:, :-1].astype(np.uint8).reshape(-1, 1, 8, 8), table[:, -1].astype(np.int64)
    # The legacy generator's stream is frozen for ever (NEP 19), so every node splits alike whatever its NumPy.
    order = np.random.RandomState(0).permutation(len(y))
    train, test = np.sort(order[: DIGITS.num_train]), np.sort(order[DIGITS.num_train :])
    return {"train": Pixels(x[train], y[train], white=16), "test": Pixels(x[test], y[test], white=16)}


def _table() -> NDArray[Any]:
    """64 pixels and a label in each row, from scikit-learn's own file.

    To import the library for it would take every process that trains on digits 0.7 s and 85 MB.
    """
    found = find_spec("sklearn")
    assert found is not None and found.origin is not None  # noqa: S101, PT018 - a package that is required
    file = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if file.is_file():
        with gzip.open(file, "rt") as rows:
            return np.loadtxt(rows, delimiter=",")
    from sklearn.datasets import load_digits  # another release keeps it elsewhere

    bunch = load_digits()
    return np.column_stack([bunch.data, bunch.target])
