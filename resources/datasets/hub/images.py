"""A column of encoded images as pixels of one shape."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from federation.errors import ErrorCode, Refused
from resources.datasets.hub.reading import batches
from resources.datasets.pictures import opened
from resources.models.card import Unbuildable

MOST_DECODED = 2 << 30
"""Bytes of a split's pixels."""
_MOST_PIXELS = 64_000_000
_GREY = {"1", "L", "LA"}
_EIGHT_BITS = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}


@dataclass(frozen=True)
class Seen:
    """What the headers of all images say: their shape, channels first, and how many there are."""

    shape: tuple[int, int, int]
    count: int


def look(files: Sequence[Path], column: str, size: tuple[int, int] | None, split: str) -> Seen:
    """Read every image's header, and unpack none.

    Args:
        size: height and width that the images are to be brought to; None: they must be of one size.

    Raises:
        Refused: `Unbuildable` for images of differing sizes, or too large together; BAD_DATA for one that is none.
    """
    first: tuple[int, int] | None = size
    grey, count = True, 0
    for row, data in _cells(files, column, split):
        try:
            with opened(io.BytesIO(data)) as image:
                (width, height), mode = image.size, image.mode
        except Exception as error:  # decoders raise whatever a stranger's bytes make of them
            raise _no_image(row, split, error) from error
        if mode not in _EIGHT_BITS or width * height > _MOST_PIXELS:
            raise _no_image(row, split, ValueError(f"{width}x{height} pixels of kind {mode}"))
        grey, count = grey and mode in _GREY, count + 1
        first = first or (height, width)
        if size is None and (height, width) != first:
            problem = f"the images differ in size: {first[1]}x{first[0]} and, in row {row}, {width}x{height}"
            raise Unbuildable("data.image_size", problem, "give data.image_size, e.g. [64, 64]: height and width")
    if first is None:
        raise Refused(ErrorCode.BAD_DATA, f"the {split} split holds no images.", "choose another split")
    seen = Seen((1 if grey else 3, *first), count)
    if (decoded := math.prod(seen.shape) * count) > MOST_DECODED:
        problem = f"{count:,} images of {list(seen.shape)} are {decoded / 2**30:.1f} GiB"
        raise Unbuildable("data.image_size", f"{problem}, more than {MOST_DECODED >> 30}", "give a smaller one")
    return seen


def decode(
    files: Sequence[Path], column: str, shape: tuple[int, ...], count: int, *, scale: bool, split: str
) -> NDArray[np.uint8]:
    """All images, uint8 [count, *shape].

    Raises:
        Refused: BAD_DATA for an image that cannot be unpacked or, unless they are scaled, has another size.
    """
    channels, height, width = shape
    x = np.empty((count, *shape), dtype=np.uint8)
    row = -1
    for row, data in _cells(files, column, split):
        try:
            with opened(io.BytesIO(data)) as image:
                if not scale and image.size != (width, height):  # known from the header, before anything is unpacked
                    raise ValueError(f"it measures {image.size[0]}x{image.size[1]}")
                flat = image.convert("L" if channels == 1 else "RGB")
                array = np.asarray(_fitted(flat, width, height))
        except Exception as error:  # decoders raise whatever a stranger's bytes make of them
            raise _no_image(row, split, error) from error
        x[row] = array[None] if channels == 1 else array.transpose(2, 0, 1)
    if row + 1 != count:
        problem = f"the {split} split holds {row + 1} images, not {count}."
        raise Refused(ErrorCode.HASH_MISMATCH, problem, "get the task's own revision")
    return x


def _fitted(image: Image.Image, width: int, height: int) -> Image.Image:
    """Scaled until it covers the size, and cropped about its centre."""
    if image.size == (width, height):
        return image
    factor = max(width / image.width, height / image.height)
    inner_width, inner_height = width / factor, height / factor
    left, top = (image.width - inner_width) / 2, (image.height - inner_height) / 2
    box = (left, top, left + inner_width, top + inner_height)
    return image.resize((width, height), Image.Resampling.BILINEAR, box=box)


def _cells(files: Sequence[Path], column: str, split: str) -> Iterator[tuple[int, bytes]]:
    for at, batch in batches(files, [column]):
        for place, cell in enumerate(batch.column(column)):
            value: Any = cell.as_py()
            data = value.get("bytes") if isinstance(value, dict) else value
            if not data or not isinstance(data, bytes):
                why = ValueError("the cell is empty: images that lie beside the file are not fetched")
                raise _no_image(at + place, split, why)
            yield at + place, data


def _no_image(row: int, split: str, error: Exception) -> Refused:
    problem = f"row {row} of the {split} split is no image that can be taken: {str(error)[:120]}."
    return Refused(ErrorCode.BAD_DATA, problem, "choose another column, split or data set")
