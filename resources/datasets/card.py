"""What the catalogue says of a data set, and the form in which one is held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from federation.training import Examples

Split = Literal["train", "test"]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class DatasetCard:
    """A data set of the catalogue.

    Attributes:
        input_shape: of one example, channels first; values 0..1.
        class_names: by label.
        source: whom to cite, or where the files come from.
        hub_id: its repository on the Hugging Face Hub, if it has one.
    """

    id: str
    title: str
    description: str
    input_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    num_train: int
    num_test: int
    licence: str
    source: str
    hub_id: str | None = None

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


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
    """Where a data set's examples come from. Each method may raise Refused DATA_UNAVAILABLE."""

    def pixels(self, split: Split) -> Pixels:
        """All images and labels of the split."""
        ...

    def labels(self, split: Split) -> Labels:
        """The labels alone, without decoding an image."""
        ...

    def present(self, split: Split) -> bool:
        """Whether the split is on this machine, so that nothing has to be fetched."""
        ...
