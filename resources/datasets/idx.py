"""Gzipped IDX files, the format that MNIST was published in; Debian packages Fashion-MNIST so."""

from __future__ import annotations

import gzip
import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from federation.errors import ErrorCode, Refused
from resources.datasets.cache import decoded
from resources.datasets.card import ImageCard, Labels, Pixels, Split

_UINT8 = 0x08
_PREFIX = {"train": "train", "test": "t10k"}


@dataclass(frozen=True)
class IdxImages:
    """Grey images in `<folder>/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz`."""

    card: ImageCard
    folder: Path

    def present(self, split: Split) -> bool:
        return all(file.is_file() for file in (self._images(split), self._labels(split)))

    def pixels(self, split: Split) -> Pixels:
        images, labels = self._images(split), self._labels(split)
        name = f"{self.card.id}-{split}-idx"
        return decoded(name, [images, labels], lambda: Pixels(self._read(images, 3)[:, None], self.labels(split)))

    def labels(self, split: Split) -> Labels:
        return self._read(self._labels(split), 1).astype(np.int64)

    def _read(self, file: Path, rank: int) -> NDArray[np.uint8]:
        try:
            return read_idx(file, rank)
        except (OSError, EOFError, ValueError) as error:
            raise Refused(
                ErrorCode.DATA_UNAVAILABLE, f"{self.card.id}: {file} cannot be read: {error}.", "replace the file"
            ) from error

    def _images(self, split: str) -> Path:
        return self.folder / f"{_PREFIX[split]}-images-idx3-ubyte.gz"

    def _labels(self, split: str) -> Path:
        return self.folder / f"{_PREFIX[split]}-labels-idx1-ubyte.gz"


def read_idx(file: Path, rank: int) -> NDArray[np.uint8]:
    """The array of a gzipped IDX file of unsigned bytes with `rank` axes; ValueError if it is no such file."""
    with gzip.open(file) as stream:
        head = stream.read(4 + 4 * rank)
        if len(head) < 4 + 4 * rank or head[:4] != bytes([0, 0, _UINT8, rank]):
            raise ValueError(f"it is no IDX file of unsigned bytes with {rank} axes")
        shape = struct.unpack(f">{rank}I", head[4:])
        body = stream.read(math.prod(shape) + 1)
    if len(body) != math.prod(shape):
        raise ValueError(f"its header states {math.prod(shape)} values and it holds another number")
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)
