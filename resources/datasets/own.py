"""A node's own examples, read from its disk and checked against the task's schema before anything trains on them.

Three forms:

- a folder of images by class: `<folder>/<class>/<image>`. Classes named 0, 1, ... are the labels themselves and may
  be missing; otherwise there must be one folder for each class, and their sorted names are labels 0, 1, ...
- a CSV file with a header: a column `label`, and the features in order in all other columns.
- an NPZ file with arrays `x` [n, ...] and `y` [n].
"""

from __future__ import annotations

import csv
import math
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray

from federation.errors import ErrorCode, Refused
from federation.examples import Examples
from resources.datasets.card import Labels
from resources.datasets.pictures import FORMATS, opened

Shape = tuple[int, ...]
Array = NDArray[np.uint8] | NDArray[np.floating]
_EIGHT_BITS = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
Name = Callable[[int], str]  # how to name example i to a person


def load_own(path: Path, *, input_shape: Shape, num_classes: int) -> Examples:
    """The examples at `path` (a folder, .csv or .npz), as `input_shape` and `num_classes` demand.

    Values must lie in 0..1. Bytes are divided by 255: images, NPZ arrays of unsigned bytes, and CSV files whose
    values are whole numbers up to 255 of which at least one exceeds 1.

    Raises:
        Refused: BAD_DATA, naming the file and row or example at fault; DATA_UNAVAILABLE if there is no such file.
    """
    if path.is_dir():
        x, y, name = _folder(path, input_shape, num_classes)
    elif not path.is_file():
        raise Refused(
            ErrorCode.DATA_UNAVAILABLE, f"{path} does not exist.", "give a folder of images, a .csv or an .npz file"
        )
    elif path.suffix.lower() == ".csv":
        x, y, name = _csv(path, input_shape)
    elif path.suffix.lower() == ".npz":
        x, y, name = _npz(path, input_shape)
    else:
        _bad(f"{path} is of no known kind.", "give a folder of images, a .csv or an .npz file")
    return _checked(x, y, name, num_classes)


def _folder(path: Path, shape: Shape, classes: int) -> tuple[Array, Labels, Name]:
    if not (len(shape) == 3 and shape[0] in {1, 3}):
        _bad(
            f"images make examples of shape [1 or 3, height, width], and the task wants {list(shape)}.",
            "give an .npz file with arrays x and y",
        )
    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    files: list[Path] = []
    for label, folder in _class_folders(path, classes):
        for file in _visible(folder):
            images.append(_image(file, shape))
            labels.append(label)
            files.append(file)
    if not images:
        _bad(f"{path} holds no images.", f"put images into {path}/<class>/")
    return np.stack(images), np.array(labels), lambda index: str(files[index])


def _class_folders(path: Path, classes: int) -> Iterator[tuple[int, Path]]:
    folders = [entry for entry in _visible(path) if entry.is_dir()]
    if folders and all(folder.name.isdecimal() for folder in folders):
        for folder in folders:
            if int(folder.name) >= classes:
                _bad(f"{folder} names class {int(folder.name)}.", f"the task's classes are 0 to {classes - 1}")
            yield int(folder.name), folder
        return
    if len(folders) != classes:
        _bad(
            f"{path} has {len(folders)} class folders and the task has {classes} classes.",
            f"make one folder for each class, empty where you have no images, or name them 0 to {classes - 1}",
        )
    yield from enumerate(folders)


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _image(file: Path, shape: Shape) -> NDArray[np.uint8]:
    channels, height, width = shape
    try:
        with opened(file) as image:
            if image.size != (width, height):  # known from the header, before anything is unpacked
                _bad(
                    f"{file} measures {image.size[0]}x{image.size[1]} pixels, not {width}x{height}.",
                    f"scale it to {width}x{height}",
                )
            if image.mode not in _EIGHT_BITS:
                _bad(
                    f"{file} has pixels of kind {image.mode}, not 8 bits a channel.", "convert it, or give an .npz file"
                )
            array = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    except Refused:
        raise
    except Exception as error:  # decoders raise whatever broken bytes make of them
        mend = f"replace it by one of {', '.join(FORMATS)}, or remove it"
        _bad(f"{file} cannot be read as an image: {str(error)[:200]}.", mend)
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def _csv(path: Path, shape: Shape) -> tuple[Array, Labels, Name]:
    width = math.prod(shape)
    rows: list[NDArray[np.float32]] = []
    labels: list[int] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            if header.count("label") != 1:
                _bad(f"{path} has no column `label`.", "name the columns in the first row, one of them `label`")
            if len(header) != width + 1:
                _bad(
                    f"{path} has {len(header) - 1} feature columns and the task wants {width}.",
                    f"give the {width} values of shape {list(shape)} in order, and `label`",
                )
            at = header.index("label")
            for number, row in enumerate(reader, start=2):
                if len(row) != len(header):
                    _bad(f"{path}, row {number} has {len(row)} cells, not {len(header)}.", "complete or remove the row")
                try:
                    labels.append(int(row.pop(at)))
                    rows.append(np.array([float(cell) for cell in row], dtype=np.float32))
                except ValueError as error:
                    _bad(f"{path}, row {number} holds no number: {error}.", "correct or remove the row")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        _bad(f"{path} cannot be read: {error}.", "save it as CSV in UTF-8")
    if not rows:
        _bad(f"{path} holds no examples.", "add rows under the header")
    x: Array = np.stack(rows).reshape(-1, *shape)
    if x.max() > 1 and x.min() >= 0 and x.max() <= 255 and bool((x == np.rint(x)).all()):
        x = x.astype(np.uint8)
    return x, np.array(labels), lambda index: f"{path}, row {index + 2}"


def _npz(path: Path, shape: Shape) -> tuple[Array, Labels, Name]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            x, y = arrays["x"], arrays["y"]
    except KeyError:
        _bad(f"{path} lacks an array `x` or `y`.", "save it with numpy.savez(path, x=..., y=...)")
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        _bad(f"{path} cannot be read: {error}.", "save it with numpy.savez(path, x=..., y=...), without objects")
    if x.shape[1:] != shape or x.ndim != len(shape) + 1:
        _bad(f"{path}: x has shape {list(x.shape)}.", f"give shape [n, {', '.join(map(str, shape))}]")
    if y.shape != x.shape[:1]:
        _bad(f"{path}: y has shape {list(y.shape)} for {len(x)} examples.", f"give one label each, shape [{len(x)}]")
    if not np.issubdtype(y.dtype, np.integer):
        _bad(f"{path}: y holds {y.dtype}, not whole numbers.", "convert the labels to int64")
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        _bad(f"{path}: x holds {x.dtype}.", "give float32 with values 0..1, or uint8 with 0..255")
    if len(x) == 0:
        _bad(f"{path} holds no examples.", "add some")
    return x, y.astype(np.int64), lambda index: f"{path}, example {index}"


def _checked(x: Array, y: Labels, name: Name, classes: int) -> Examples:
    flat = x.reshape(len(x), -1)
    if (row := _first(~np.isfinite(flat).all(axis=1))) is not None:
        _bad(f"{name(row)} holds NaN or infinity.", "correct or remove the example")
    if x.dtype != np.uint8 and (row := _first((flat.min(axis=1) < 0) | (flat.max(axis=1) > 1))) is not None:
        low, high = float(flat[row].min()), float(flat[row].max())
        _bad(f"{name(row)} has values from {low:g} to {high:g}.", "scale all values to 0..1, or give bytes 0..255")
    if (row := _first((y < 0) | (y >= classes))) is not None:
        _bad(f"{name(row)} has label {int(y[row])}.", f"the task's classes are 0 to {classes - 1}")
    scale = 255 if x.dtype == np.uint8 else 1
    values = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)).div_(scale)
    return Examples(values, torch.from_numpy(y))


def _first(wrong: NDArray[np.bool_] | np.bool_) -> int | None:
    return int(wrong.argmax()) if wrong.any() else None


def _bad(problem: str, mend: str) -> NoReturn:
    raise Refused(ErrorCode.BAD_DATA, problem, mend)
