"""The data sets that Potluck can train on: listed, and loaded from wherever they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from federation.errors import ErrorCode, Refused
from federation.training import Examples
from resources.datasets.card import DatasetCard, Labels, Source, Split
from resources.datasets.digits import DIGITS, Digits
from resources.datasets.idx import IdxImages
from resources.datasets.parquet import HubImages

MNIST = DatasetCard(
    id="mnist",
    title="MNIST",
    description="70,000 grey images of handwritten digits, 28x28.",
    input_shape=(1, 28, 28),
    class_names=tuple("0123456789"),
    num_train=60_000,
    num_test=10_000,
    licence="MIT according to the Hub's card; CC BY-SA 3.0 according to other sources",
    source="LeCun, Bottou, Bengio and Haffner 1998",
    hub_id="ylecun/mnist",
)

FASHION_MNIST = DatasetCard(
    id="fashion_mnist",
    title="Fashion-MNIST",
    description="70,000 grey images of clothes, 28x28; in Debian as dataset-fashion-mnist.",
    input_shape=(1, 28, 28),
    class_names=(
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
    num_train=60_000,
    num_test=10_000,
    licence="MIT",
    source="Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747",
    hub_id="zalando-datasets/fashion_mnist",
)  # fmt: skip

CIFAR10 = DatasetCard(
    id="cifar10",
    title="CIFAR-10",
    description="60,000 colour images of ten kinds of things, 32x32.",
    input_shape=(3, 32, 32),
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    num_train=50_000,
    num_test=10_000,
    licence="unknown according to the Hub's card",
    source="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
    hub_id="uoft-cs/cifar10",
)

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


def _fashion_mnist(folder: Path | None) -> Source:
    debian = IdxImages(FASHION_MNIST, DEBIAN_FASHION_MNIST)
    return (
        debian
        if debian.present("train") and debian.present("test")
        else HubImages(FASHION_MNIST, "fashion_mnist", "image", folder)
    )


_DATASETS: dict[str, tuple[DatasetCard, Callable[[Path | None], Source]]] = {
    "digits": (DIGITS, lambda folder: Digits()),
    "mnist": (MNIST, lambda folder: HubImages(MNIST, "mnist", "image", folder)),
    "fashion_mnist": (FASHION_MNIST, _fashion_mnist),
    "cifar10": (CIFAR10, lambda folder: HubImages(CIFAR10, "plain_text", "img", folder)),
}


def datasets() -> tuple[DatasetCard, ...]:
    """Every data set of the catalogue."""
    return tuple(card for card, _ in _DATASETS.values())


def card(id: str) -> DatasetCard:
    """The card of data set `id`; Refused NOT_FOUND with the known ids."""
    return _entry(id)[0]


def load(id: str, split: Split, *, folder: Path | None = None, indices: NDArray[np.int64] | None = None) -> Examples:
    """The examples of a split: x float32 [n, channels, height, width] with values 0..1, y int64 [n].

    Args:
        id: a data set of the catalogue.
        split: train or test.
        folder: where `hub/<repository>/` may hold the files; default: the environment's POTLUCK_DATA.
        indices: load only these, in this order; a node's share of the training split.

    Raises:
        Refused: NOT_FOUND for an unknown id; DATA_UNAVAILABLE when the files are neither here nor to be fetched.
    """
    return _source(id, folder).pixels(split).examples(indices)


def labels(id: str, split: Split, *, folder: Path | None = None) -> Labels:
    """The labels of a split, int64 [n], without decoding an image. Refusals as for `load`."""
    return _source(id, folder).labels(split)


def present(id: str, split: Split, *, folder: Path | None = None) -> bool:
    """Whether the split is on this machine; `load` would have to fetch it otherwise."""
    return _source(id, folder).present(split)


def _source(id: str, folder: Path | None) -> Source:
    if folder is None and (configured := os.environ.get("POTLUCK_DATA")):
        folder = Path(configured)
    return _entry(id)[1](folder)


def _entry(id: str) -> tuple[DatasetCard, Callable[[Path | None], Source]]:
    try:
        return _DATASETS[id]
    except KeyError:
        known = ", ".join(_DATASETS)
        raise Refused(
            ErrorCode.NOT_FOUND, f"data.id: there is no data set {id!r}.", f"use one of {known}, or `own`"
        ) from None
