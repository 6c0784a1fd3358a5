"""The data sets that Potluck can train on: listed, and loaded from wherever they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from federation.errors import ErrorCode, Refused
from federation.examples import Examples
from resources.datasets.card import DatasetCard, ImageCard, Labels, Source, Split, TextCard, Texts, TextSource
from resources.datasets.digits import DIGITS, Digits
from resources.datasets.idx import IdxImages
from resources.datasets.parquet import HubImages
from resources.datasets.text.shakespeare import SHAKESPEARE, Shakespeare

MNIST = ImageCard(
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

FASHION_MNIST = ImageCard(
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

CIFAR10 = ImageCard(
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


_IMAGES: dict[str, tuple[ImageCard, Callable[[Path | None], Source]]] = {
    "digits": (DIGITS, lambda folder: Digits()),
    "mnist": (MNIST, lambda folder: HubImages(MNIST, "mnist", "image", folder)),
    "fashion_mnist": (FASHION_MNIST, _fashion_mnist),
    "cifar10": (CIFAR10, lambda folder: HubImages(CIFAR10, "plain_text", "img", folder)),
}
_TEXTS: dict[str, tuple[TextCard, Callable[[Path | None], TextSource]]] = {
    "shakespeare": (SHAKESPEARE, Shakespeare),
}


def datasets() -> tuple[DatasetCard, ...]:
    """Every data set of the catalogue."""
    return tuple(card for card, _ in (*_IMAGES.values(), *_TEXTS.values()))


def card(id: str) -> DatasetCard:
    """The card of data set `id`; Refused NOT_FOUND with the known ids."""
    _check(id)
    return (_IMAGES[id] if id in _IMAGES else _TEXTS[id])[0]


def image_card(id: str) -> ImageCard:
    """The card of image data set `id`; Refused as `card`, or INVALID_SPEC for one of texts."""
    return _images(id)[0]


def text_card(id: str) -> TextCard:
    """The card of text data set `id`; Refused as `card`, or INVALID_SPEC for one of images."""
    return _texts(id)[0]


def load(id: str, split: Split, *, folder: Path | None = None, indices: NDArray[np.int64] | None = None) -> Examples:
    """The examples of a split: x float32 [n, channels, height, width] with values 0..1, y int64 [n].

    Args:
        id: an image data set of the catalogue.
        split: train or test.
        folder: where `hub/<repository>/` may hold the files; default: the environment's POTLUCK_DATA.
        indices: load only these, in this order; a node's share of the training split.

    Raises:
        Refused: as `image_card`; DATA_UNAVAILABLE when the files are neither here nor to be fetched.
    """
    return _images(id)[1](data_folder(folder)).pixels(split).examples(indices)


def labels(id: str, split: Split, *, folder: Path | None = None) -> Labels:
    """The labels of a split, int64 [n], without decoding an image. Refusals as for `load`."""
    return _images(id)[1](data_folder(folder)).labels(split)


def texts(id: str, split: Split, *, folder: Path | None = None) -> Texts:
    """The texts of a split, and whose each is.

    Args:
        id: a text data set of the catalogue.
        split: train or test.
        folder: where `<id>/` may hold the files; default: the environment's POTLUCK_DATA.

    Raises:
        Refused: as `text_card`; DATA_UNAVAILABLE when the files are not here.
    """
    return _texts(id)[1](data_folder(folder)).texts(split)


def present(id: str, split: Split, *, folder: Path | None = None) -> bool:
    """Whether the split is on this machine; it would have to be fetched otherwise."""
    _check(id)
    entry = _IMAGES[id] if id in _IMAGES else _TEXTS[id]
    return entry[1](data_folder(folder)).present(split)


def data_folder(given: Path | None) -> Path | None:
    """The folder that is given; else the environment's POTLUCK_DATA, if it is set."""
    configured = os.environ.get("POTLUCK_DATA")
    return Path(configured) if given is None and configured else given


def _check(id: str) -> None:
    if id not in _IMAGES and id not in _TEXTS:
        known = ", ".join((*_IMAGES, *_TEXTS))
        problem = f"data.id: there is no data set {id!r}."
        raise Refused(ErrorCode.NOT_FOUND, problem, f"use one of {known}, or `own`")


def _images(id: str) -> tuple[ImageCard, Callable[[Path | None], Source]]:
    _check(id)
    if id in _TEXTS:
        problem = f"data.id: {id} holds texts, and the task's model takes numbers."
        mend = f"choose a language model, model.id hf:..., or use one of {', '.join(_IMAGES)}"
        raise Refused(ErrorCode.INVALID_SPEC, problem, mend)
    return _IMAGES[id]


def _texts(id: str) -> tuple[TextCard, Callable[[Path | None], TextSource]]:
    _check(id)
    if id in _IMAGES:
        problem = f"data.id: {id} holds images, and the task's model takes texts."
        mend = f"choose a model of the catalogue (see search_models), or use one of {', '.join(_TEXTS)}, or `own`"
        raise Refused(ErrorCode.INVALID_SPEC, problem, mend)
    return _TEXTS[id]
