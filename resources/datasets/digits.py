"""Handwritten digits of 8x8 pixels that come with scikit-learn: the data set that needs no download."""

from __future__ import annotations

from functools import cache

import numpy as np

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
    from sklearn.datasets import load_digits  # 0.7 s and 85 MB, which only those who train on digits need pay

    bunch = load_digits()
    x, y = bunch.images.astype(np.uint8)[:, None], bunch.target.astype(np.int64)
    # The legacy generator's stream is frozen for ever (NEP 19), so every node splits alike whatever its NumPy.
    order = np.random.RandomState(0).permutation(len(y))
    train, test = np.sort(order[: DIGITS.num_train]), np.sort(order[DIGITS.num_train :])
    return {"train": Pixels(x[train], y[train], white=16), "test": Pixels(x[test], y[test], white=16)}
