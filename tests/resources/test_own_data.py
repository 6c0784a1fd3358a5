from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from federation.errors import ErrorCode, Refused
from federation.examples import Examples
from resources.datasets.own import load_own

SHAPE = (1, 2, 3)


def load(path: Path, shape: tuple[int, ...] = SHAPE, classes: int = 3) -> Examples:
    return load_own(path, input_shape=shape, num_classes=classes)


def refusal(path: Path, shape: tuple[int, ...] = SHAPE) -> str:
    with pytest.raises(Refused) as caught:
        load(path, shape)
    assert caught.value.code is ErrorCode.BAD_DATA
    return str(caught.value)


def image(file: Path, mode: str = "L", size: tuple[int, int] = (3, 2), colour: Any = 51) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(file)
    return file


def npz(folder: Path, x: Any, y: Any) -> Path:
    np.savez(folder / "own.npz", x=x, y=y)
    return folder / "own.npz"


def table(folder: Path, *rows: list[Any], header: list[str] | None = None) -> Path:
    with (folder / "own.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header or ["label", *"abcdef"], *rows])
    return folder / "own.csv"


def test_a_folder_of_images_is_labelled_by_its_sorted_class_folders(tmp_path: Path) -> None:
    for name in ("cat/1.png", "ant/2.png", "ant/1.png", "bee/1.jpg"):
        image(tmp_path / name)
    (tmp_path / "README.txt").touch()
    (tmp_path / "ant" / ".DS_Store").touch()
    examples = load(tmp_path)
    assert examples.y.tolist() == [0, 0, 1, 2]
    assert examples.x.shape == (4, *SHAPE)
    assert examples.x[0].tolist() == [[pytest.approx([0.2] * 3)] * 2]


def test_numbered_class_folders_may_be_missing(tmp_path: Path) -> None:
    image(tmp_path / "2" / "a.png")
    assert load(tmp_path).y.tolist() == [2]


def test_colour_images_come_channels_first(tmp_path: Path) -> None:
    image(tmp_path / "0" / "a.png", "RGB", colour=(255, 0, 51))
    assert load(tmp_path, (3, 2, 3)).x[0, :, 0, 0].tolist() == pytest.approx([1.0, 0.0, 0.2])


def test_named_class_folders_must_be_as_many_as_the_classes(tmp_path: Path) -> None:
    image(tmp_path / "ant" / "a.png")
    (tmp_path / "bee").mkdir()
    assert "2 class folders and the task has 3 classes" in refusal(tmp_path)
    (tmp_path / "cat").mkdir()
    assert load(tmp_path).y.tolist() == [0]
    (tmp_path / "dog").mkdir()
    assert "4 class folders" in refusal(tmp_path)


def test_a_class_folder_past_the_last_class_is_refused(tmp_path: Path) -> None:
    image(tmp_path / "3" / "a.png")
    assert "names class 3. Mend: the task's classes are 0 to 2" in refusal(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "0 class folders" in refusal(tmp_path)
    (tmp_path / "0").mkdir()
    assert "holds no images" in refusal(tmp_path)


def test_an_image_of_another_size_is_refused_by_name(tmp_path: Path) -> None:
    file = image(tmp_path / "0" / "a.png", size=(4, 4))
    assert f"{file} measures 4x4 pixels, not 3x2" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n broken"])
def test_an_unreadable_image_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    file = image(tmp_path / "0" / "a.png")
    file.write_bytes(content)
    assert f"{file} cannot be read as an image" in refusal(tmp_path)


def test_a_truncated_image_is_refused_by_name(tmp_path: Path) -> None:
    file = image(tmp_path / "0" / "a.png", "RGB", (64, 64), (1, 2, 3))
    file.write_bytes(file.read_bytes()[:-30])
    assert f"{file} cannot be read as an image" in refusal(tmp_path, (3, 64, 64))


def test_sixteen_bit_images_are_refused_instead_of_clipped(tmp_path: Path) -> None:
    image(tmp_path / "0" / "a.png", "I;16", colour=4000)
    assert "not 8 bits a channel" in refusal(tmp_path)


def test_images_cannot_fill_a_shape_without_pixels(tmp_path: Path) -> None:
    assert "the task wants [6]" in refusal(tmp_path, (6,))


def test_a_csv_file_gives_its_columns_in_order_around_the_label(tmp_path: Path) -> None:
    file = table(tmp_path, [0, 0.1, 2, 0.2, 0.3, 0.4, 1], header=["a", "b", "label", *"cdef"])
    examples = load(file)
    assert examples.y.tolist() == [2]
    assert examples.x.flatten().tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 1])


def test_a_csv_file_of_bytes_is_scaled(tmp_path: Path) -> None:
    assert load(table(tmp_path, [0, 0, 51, 102, 153, 204, 255])).x.flatten().tolist() == pytest.approx(
        [0, 0.2, 0.4, 0.6, 0.8, 1]
    )


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ([0, *[0.5] * 5], "row 3 has 6 cells, not 7"),
        ([0, *[0.5] * 5, "high"], "row 3 holds no number"),
        (["ant", *[0.5] * 6], "row 3 holds no number"),
        ([0, *[0.5] * 5, "nan"], "row 3 holds NaN"),
        ([0, *[0.5] * 5, "-0.5"], "row 3 has values from -0.5 to 0.5"),
        ([0, *[0.5] * 5, "1.5"], "row 3 has values from 0.5 to 1.5"),
        ([3, *[0.5] * 6], "row 3 has label 3"),
        ([-1, *[0.5] * 6], "row 3 has label -1"),
    ],
)
def test_a_bad_csv_row_is_refused_by_its_number_in_the_file(tmp_path: Path, row: list[Any], problem: str) -> None:
    file = table(tmp_path, [0, *[0.5] * 6], row)
    assert f"{file}, {problem}" in refusal(file)


def test_a_csv_file_with_the_wrong_columns_is_refused(tmp_path: Path) -> None:
    assert "no column `label`" in refusal(table(tmp_path, header=list("abcdefg")))
    assert "has 5 feature columns and the task wants 6" in refusal(table(tmp_path, header=["label", *"abcde"]))
    assert "holds no examples" in refusal(table(tmp_path))
    (tmp_path / "own.csv").write_bytes(b"")
    assert "no column `label`" in refusal(tmp_path / "own.csv")
    (tmp_path / "own.csv").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in refusal(tmp_path / "own.csv")


def test_an_npz_file_of_floats_is_taken_as_it_is(tmp_path: Path) -> None:
    x = np.random.RandomState(0).rand(5, *SHAPE)
    examples = load(npz(tmp_path, x, np.arange(5, dtype=np.uint8) % 3))
    assert torch.equal(examples.x, torch.from_numpy(x.astype(np.float32)))
    assert examples.y.tolist() == [0, 1, 2, 0, 1]
    assert examples.y.dtype == torch.int64


def test_an_npz_file_of_bytes_is_scaled(tmp_path: Path) -> None:
    x = np.full((1, *SHAPE), 51, dtype=np.uint8)
    assert load(npz(tmp_path, x, np.array([0]))).x.flatten().tolist() == pytest.approx([0.2] * 6)


ONE = np.zeros((1, *SHAPE))


@pytest.mark.parametrize(
    ("x", "y", "problem"),
    [
        (np.zeros((1, 2, 3)), np.array([0]), "x has shape [1, 2, 3]. Mend: give shape [n, 1, 2, 3]"),
        (ONE, np.array([0, 1]), "y has shape [2] for 1 examples"),
        (ONE, np.array([0.0]), "y holds float64"),
        (ONE.astype(np.int64), np.array([0]), "x holds int64"),
        (np.zeros((0, *SHAPE)), np.array([], dtype=int), "holds no examples"),
        (np.full((1, *SHAPE), np.inf), np.array([0]), "example 0 holds NaN or infinity"),
        (np.full((1, *SHAPE), 255.0), np.array([0]), "example 0 has values from 255 to 255"),
        (ONE, np.array([9]), "example 0 has label 9"),
        (np.array([None]), np.array([0]), "without objects"),
    ],
)
def test_a_bad_npz_file_is_refused(tmp_path: Path, x: Any, y: Any, problem: str) -> None:
    assert problem in refusal(npz(tmp_path, x, y))


def test_an_npz_file_without_its_arrays_or_its_end_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", images=ONE)
    assert "lacks an array" in refusal(tmp_path / "own.npz")
    file = npz(tmp_path, ONE, np.array([0]))
    file.write_bytes(file.read_bytes()[:-30])
    assert "cannot be read" in refusal(file)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "own.npz").write_bytes(b"\x80\x04\x95cos\nsystem\n.")
    assert "cannot be read" in refusal(tmp_path / "own.npz")


def test_other_files_and_missing_ones_are_refused(tmp_path: Path) -> None:
    (tmp_path / "own.txt").touch()
    assert "no known kind" in refusal(tmp_path / "own.txt")
    with pytest.raises(Refused) as caught:
        load(tmp_path / "absent.csv")
    assert caught.value.code is ErrorCode.DATA_UNAVAILABLE
