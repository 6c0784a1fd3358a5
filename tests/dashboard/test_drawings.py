"""Drawings and photographs become what models were trained on."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from dashboard.try_it.drawing import Unusable, as_digit, as_picture, ink_of, thumbnail


def _url(ink: np.ndarray) -> str:
    """A canvas with this ink, as the page sends it."""
    alpha = (255 * ink).round().astype(np.uint8)
    rgba = np.dstack([np.zeros((*ink.shape, 3), np.uint8), alpha])
    out = io.BytesIO()
    Image.fromarray(rgba).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def test_a_stroke_is_scaled_to_twenty_and_centred_by_its_mass() -> None:
    drawing = np.zeros((140, 140), np.float32)
    drawing[100:140, 0:40] = 1  # a square of 40 in a corner
    digit = as_digit(ink_of(_url(drawing)), 28)
    reference = np.zeros((28, 28), np.float32)
    reference[4:24, 4:24] = 1
    assert digit.shape == (28, 28)
    np.testing.assert_array_equal(digit, reference)


def test_what_is_heavy_below_moves_up() -> None:
    drawing = np.zeros((100, 100), np.float32)
    drawing[0:80, 45:55] = 1
    drawing[80:100, 30:70] = 1  # a foot: an upside-down T
    digit = as_digit(drawing, 28)
    rows = (digit.sum(axis=1) * (np.arange(28) + 0.5)).sum() / digit.sum()
    columns = (digit.sum(axis=0) * (np.arange(28) + 0.5)).sum() / digit.sum()
    assert rows == pytest.approx(14, abs=0.5)
    assert columns == pytest.approx(14, abs=0.5)
    above = np.flatnonzero(digit.any(axis=1))
    assert above[0] < 4  # where the box would begin if it were in the middle


@pytest.mark.parametrize("index", range(0, 60, 7))
def test_a_digit_that_is_redrawn_large_comes_back_as_it_was(index: int) -> None:
    """Enlarged sixteenfold, moved aside: much like the original once it has been counted in blocks again."""
    original = (load_digits().images[index] / 16).astype(np.float32)
    drawing = np.zeros((200, 200), np.float32)
    large = np.asarray(Image.fromarray(original).resize((128, 128), Image.Resampling.BICUBIC))
    drawing[60:188, 11:139] = (large > 0.5).astype(np.float32)
    again = as_digit(drawing, 8)
    likeness = np.corrcoef(original.ravel(), again.ravel())[0, 1]
    assert likeness > 0.75
    assert again.max() == 1


def test_empty_broken_and_foreign_drawings_are_refused_in_words() -> None:
    blank = _url(np.zeros((20, 20)))
    for drawing in (None, "", 5, blank, "data:image/png;base64,####", "data:image/png;base64,aGVsbG8=", "x" * 500_000):
        with pytest.raises(Unusable, match="Mend"):
            ink_of(drawing)
    with pytest.raises(Unusable, match="larger"):
        ink_of(_url(np.ones((1100, 4))))


def test_a_photograph_is_cropped_about_its_centre_and_has_channels_first() -> None:
    wide = Image.new("RGB", (96, 32), "black")
    wide.paste((255, 0, 0), (32, 0, 64, 32))
    picture = as_picture(wide, (3, 32, 32))
    assert picture.shape == (3, 32, 32)
    np.testing.assert_array_equal(picture[0], np.ones((32, 32)))
    np.testing.assert_array_equal(picture[1:], np.zeros((2, 32, 32)))


def test_dark_ink_on_bright_paper_becomes_bright_on_dark() -> None:
    paper = Image.new("L", (28, 28), 255)
    paper.paste(0, (10, 5, 18, 23))
    grey = as_picture(paper, (1, 28, 28))
    assert grey.shape == (1, 28, 28)
    assert grey[0, 14, 14] == 1
    assert grey[0, 0, 0] == 0
    assert as_picture(Image.new("RGBA", (9, 9), (0, 0, 0, 0)), (1, 4, 4)).max() == 0


def test_what_the_model_is_shown_is_a_picture_of_the_same_size() -> None:
    for values, size in ((np.eye(8, dtype=np.float32), (8, 8)), (np.ones((3, 4, 6), np.float32), (6, 4))):
        shown = Image.open(io.BytesIO(base64.b64decode(thumbnail(values).partition(",")[2])))
        assert shown.size == size
