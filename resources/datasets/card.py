"""What the catalogue says of a data set, and the form in which one is held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from federation.examples import Examples
from resources.datasets.text.rows import Rows

Split = Literal["train", "test"]
Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class DatasetCard:
    """A data set of the catalogue.

    Attributes:
        holds: of what its examples are made, and so which models can take them.
        num_train, num_test: examples of a split; of texts, how many.
        source: whom to cite, or where the files come from.
        hub_id: its repository on the Hugging Face Hub, if it has one.
    """

    id: str
    holds: Literal["images", "texts"]
    title: str
    description: str
    num_train: int
    num_test: int
    licence: str
    source: str
    hub_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ImageCard(DatasetCard):
    """Labelled images: for models of the catalogue.

    Attributes:
        input_shape: of one example, channels first; values 0..1.
        class_names: by label.
    """

    holds: Literal["images"] = "images"
    input_shape: tuple[int, ...]
    class_names: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


@dataclass(frozen=True, kw_only=True)
class TextCard(DatasetCard):
    """Texts: for pretrained language models.

    Attributes:
        num_users: whose the texts are; the partition `natural` keeps each one's together.
        train_characters: of the training split, all together.
    """

    holds: Literal["texts"] = "texts"
    num_users: int
    train_characters: int


@dataclass(frozen=True)
class Pixels:
    """Images as stored: `x` uint8 [n, channels, height, width] from 0 to `white`; `y` int64 [n].

    A quarter of the memory of float32, so a node can hold a whole split and make float32 of its own share alone.
    """

    x: NDArray[np.uint8]
    y: Labels
    white: int = 255

    def examples(self, indices: NDArray[np.int64] | None = None) -> Examples:
        """The examples at `indices` (default: all), in that order, scaled to 0..1."""
        x, y = (self.x, self.y) if indices is None else (self.x[indices], self.y[indices])
        return Examples(torch.from_numpy(x.astype(np.float32)).div_(self.white), torch.from_numpy(y.copy()))


class Source(Protocol):
    """Where a data set's images come from. Each method may raise Refused DATA_UNAVAILABLE."""

    def pixels(self, split: Split) -> Pixels:
        """All images and labels of the split."""
        ...

    def labels(self, split: Split) -> Labels:
        """The labels alone, without decoding an image."""
        ...

    def present(self, split: Split) -> bool:
        """Whether the split is on this machine, so that nothing has to be fetched."""
        ...


@dataclass(frozen=True)
class Texts:
    """A split of a text data set: row i is of user `users[i]`."""

    rows: Rows
    users: tuple[str, ...]


class TextSource(Protocol):
    """Where a data set's texts come from."""

    def texts(self, split: Split) -> Texts:
        """All texts of the split. May raise Refused DATA_UNAVAILABLE."""
        ...

    def present(self, split: Split) -> bool:
        """Whether the split is on this machine."""
        ...
