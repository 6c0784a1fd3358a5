"""From a drawing to what a model of digits was trained on, and from a photograph to what one of pictures was.

MNIST's digits were scaled to fit a box of 20x20 with their shape kept, smoothed, and moved until their centre of mass
was the centre of 28x28 (LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist). The 8x8 digits of scikit-learn are
counts of ink in blocks of 4x4 of bitmaps of 32x32 that the digit fills (Kaynak 1995; Alpaydin and Kaynak 1998).
"""

from __future__ import annotations

import base64
import binascii
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

Ink = NDArray[np.float32]
"""Grey levels [height, width], 0 for paper and 1 for ink."""

_PREFIX = "data:image/png;base64,"
_MOST_BYTES = 400_000
_MOST_SIDE = 1024
_BITMAP = 32


class Unusable(Exception):
    """The picture cannot be used; the message says why, and how to mend it."""


def ink_of(url: Any) -> Ink:
    """The drawing in a canvas's data URL: what is opaque is ink.

    Raises:
        Unusable: it is none, or empty.
    """
    if not isinstance(url, str) or not url.startswith(_PREFIX) or len(url) > _MOST_BYTES:
        raise Unusable("There is no drawing. Mend: draw a digit in the square.")
    try:
        picture = Image.open(io.BytesIO(base64.b64decode(url.removeprefix(_PREFIX), validate=True)), formats=["PNG"])
        if max(picture.size) > _MOST_SIDE:
            raise Unusable("The drawing is larger than the square it comes from. Mend: draw it here.")
        alpha = np.asarray(picture.convert("RGBA"), dtype=np.float32)[..., 3] / 255
    except (binascii.Error, UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise Unusable("The drawing could not be read. Mend: clear the square and draw again.") from None
    if alpha.max(initial=0) < 0.1:
        raise Unusable("The square is empty. Mend: draw a digit in it.")
    return np.ascontiguousarray(alpha)


def as_digit(ink: Ink, side: int) -> Ink:
    """A drawing as the data sets hold digits: like scikit-learn's for 8x8, like MNIST's for all other sizes.

    Args:
        ink: [height, width]; some of it above 0.1.
        side: of the square that comes out, float32 [side, side] with values 0..1.
    """
    rows, columns = np.nonzero(ink > 0.1)
    cropped = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    if side == 8:
        return _as_counts(cropped)
    return _by_mass(_fitted(cropped, max(1, round(side * 20 / 28))), side)


def as_picture(picture: Image.Image, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A photograph as a model of pictures takes it: cropped about its centre, scaled, values 0..1, channels first.

    Args:
        shape: [channels, height, width] with 1 or 3 channels. With one, a bright background turns dark, as in MNIST.
    """
    channels, height, width = shape
    upright = ImageOps.exif_transpose(picture)
    plain = Image.new("RGBA", upright.size, "white")
    plain.alpha_composite(upright.convert("RGBA"))
    fitted = ImageOps.fit(plain.convert("L" if channels == 1 else "RGB"), (width, height), Image.Resampling.BOX)
    values = np.asarray(fitted, dtype=np.float32) / 255
    if channels > 1:
        return np.ascontiguousarray(values.transpose(2, 0, 1))
    edge = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    return np.asarray(1 - values if edge.mean() > 0.5 else values, dtype=np.float32)[None]


def _fitted(ink: Ink, box: int) -> Ink:
    """Scaled to fit a square of side `box`, its shape kept."""
    height, width = ink.shape
    scale = box / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    smooth = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    return np.clip(np.asarray(Image.fromarray(ink).resize(size, smooth), dtype=np.float32), 0, 1)


def _by_mass(ink: Ink, side: int) -> Ink:
    """Moved until the centre of mass is the centre of the square; what would fall over the edge stays inside."""
    placed = np.zeros((side, side), dtype=np.float32)
    mass = ink.sum()
    offsets = []
    for axis, length in enumerate(ink.shape):
        centre = (ink.sum(axis=1 - axis) * (np.arange(length) + 0.5)).sum() / mass
        offsets.append(int(np.clip(round(side / 2 - centre), 0, side - length)))
    top, left = offsets
    placed[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return placed


def _as_counts(ink: Ink) -> Ink:
    bitmap = np.zeros((_BITMAP, _BITMAP), dtype=np.float32)
    fitted = _fitted(ink, _BITMAP) > 0.5
    top, left = ((_BITMAP - length) // 2 for length in fitted.shape)
    bitmap[top : top + fitted.shape[0], left : left + fitted.shape[1]] = fitted
    counts: Ink = bitmap.reshape(8, 4, 8, 4).mean(axis=(1, 3), dtype=np.float32)
    return counts


def thumbnail(values: NDArray[np.float32]) -> str:
    """What the model is shown, as a data URL: [side, side], or [channels, height, width]."""
    grey = values[0] if values.ndim == 3 and len(values) == 1 else values
    pixels = (np.clip(grey, 0, 1) * 255).round().astype(np.uint8)
    picture = Image.fromarray(pixels if pixels.ndim == 2 else pixels.transpose(1, 2, 0))
    out = io.BytesIO()
    picture.save(out, format="PNG")
    return _PREFIX + base64.b64encode(out.getvalue()).decode()
