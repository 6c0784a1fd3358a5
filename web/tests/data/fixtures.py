"""Writes the files that the tests of the tab's parsers read: `python web/tests/data/fixtures.py`.

Examples have the shape [1, 2, 3]; there are four of them, x[i] = i / 32 in row-major order, or the byte i; labels are
0, 2, 1, 2.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parent / "fixtures"
X = (np.arange(24, dtype=np.float64) / 32).reshape(4, 1, 2, 3)
Y = np.array([0, 2, 1, 2])


def npz(name: str, *, compressed: bool = False, version: tuple[int, int] | None = None, **arrays: np.ndarray) -> bytes:
    """As `numpy.savez` writes it, but with a fixed date."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        for key, array in arrays.items():
            body = io.BytesIO()
            np.lib.format.write_array(body, array, version=version, allow_pickle=True)
            info = zipfile.ZipInfo(f"{key}.npy")
            info.compress_type = archive.compression
            with archive.open(info, "w", force_zip64=True) as entry:
                entry.write(body.getvalue())
    (FOLDER / f"{name}.npz").write_bytes(file.getvalue())
    return file.getvalue()


def write(name: str, data: bytes) -> None:
    (FOLDER / name).write_bytes(data)


def arrays() -> None:
    x = X.astype(np.float32)
    good = npz("stored", x=x, y=Y)
    np.savez_compressed(FOLDER / "compressed.npz", x=x, y=Y)
    npz("fortran", x=np.asfortranarray(X), y=Y.astype(np.int32))
    npz("big_endian", x=x.astype(">f4"), y=Y.astype(">i2"))
    npz("half", x=X.astype(np.float16), y=Y.astype(np.uint8))
    npz("bytes", x=np.arange(24, dtype=np.uint8).reshape(4, 1, 2, 3), y=Y.astype(np.int8))
    npz("version2", version=(2, 0), x=x, y=Y.astype(np.uint64))
    npz("version3", version=(3, 0), x=X, y=Y.astype(np.uint32))
    npz("objects", x=np.array([{}], dtype=object), y=Y)
    npz("integers", x=np.ones((4, 1, 2, 3), dtype=np.int64), y=Y)
    npz("real_labels", x=x, y=Y.astype(np.float32))
    npz("no_labels", x=x)
    npz("other_shape", x=x.reshape(4, 6), y=Y)
    npz("other_count", x=x, y=Y[:3])
    npz("empty", x=x[:0], y=Y[:0])
    npz("nan", x=np.where(X == 7 / 32, np.nan, X), y=Y)
    npz("above_one", x=X * 2, y=Y)
    npz("label_three", x=x, y=Y + 1)
    write("damaged.npz", good[:200] + bytes([good[200] ^ 1]) + good[201:])
    write("cut_off.npz", good[: len(good) // 2])
    bomb = bytearray(npz("bomb", compressed=True, x=np.zeros((1, 1, 1000, 1000), dtype=np.uint8), y=Y[:1]))
    central = bomb.index(b"PK\x01\x02")
    for name, size in (("bomb", 300), ("huge", 2**31)):  # what its directory says of a million bytes
        bomb[central + 24 : central + 28] = struct.pack("<I", size)
        write(f"{name}.npz", bytes(bomb))


def idx() -> None:
    images = struct.pack(">4B3I", 0, 0, 8, 3, 4, 2, 3) + bytes(range(24))
    labels = struct.pack(">4BI", 0, 0, 8, 1, 4) + bytes(Y.tolist())
    for name, data in (("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)):
        write(name, data)
        write(f"{name}.gz", gzip.compress(data, mtime=0))


def images() -> None:
    """Pictures of 3 × 2 pixels, and what the Python node makes of them."""
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[10, 20, 30], [200, 100, 50], [255, 255, 255]]], "u1")
    colour, grey = Image.fromarray(pixels), Image.fromarray(pixels[..., 1])
    colour.save(FOLDER / "colour.png")
    grey.save(FOLDER / "grey.png")
    colour.save(FOLDER / "colour.bmp")
    colour.save(FOLDER / "colour.webp", lossless=True)
    colour.save(FOLDER / "lossy.webp")
    colour.convert("RGBA").save(
        FOLDER / "extended.webp", lossless=True, exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x00"
    )
    colour.save(FOLDER / "colour.jpg", quality=95, subsampling=0)
    colour.save(FOLDER / "progressive.jpg", quality=95, progressive=True)
    colour.quantize(8).save(FOLDER / "palette.gif")
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(FOLDER / "deep.png")
    Image.fromarray(np.dstack([pixels, np.full((2, 3), 128, "u1")])).save(FOLDER / "transparent.png")
    values = {}
    for file in sorted(FOLDER.iterdir()):
        if file.suffix in {".png", ".bmp", ".webp", ".jpg", ".gif"} and file.stem not in {"deep", "transparent"}:
            with Image.open(file) as image:
                three = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
                values[file.name] = {
                    "L": np.asarray(image.convert("L")).ravel().tolist(),
                    "RGB": three.ravel().tolist(),
                }
    write("pixels.json", (json.dumps(values, indent=1) + "\n").encode())


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    arrays()
    idx()
    images()
