"""An update a piece at a time: what a sum needs of it, without having all of it in memory.

Files are read, not mapped: the pages of a mapped file would count as the process's memory until it is let go of.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from federation.errors import ErrorCode, Refused
from federation.layout import DTYPES, Layout, read_offsets
from federation.weights import DELTA, Tensors, check_layout

PIECE = 1 << 18
"""Values, as many as a core's cache holds."""


class Piece(NamedTuple):
    """Values `start`.. of the flattened tensor `name`, good until the next piece is taken."""

    name: str
    start: int
    values: torch.Tensor


Pieces = Iterable[Piece]
"""All of an update, tensors in the layout's order."""


def in_files(
    paths: Iterable[Path], model: Layout, *, prefix: str = DELTA, beside: Layout | None = None
) -> Iterator[Pieces]:
    """The updates in files of `<prefix><name>`, one after the other; `beside` is what else the files hold.

    Refuses (bad_update) an update of another layout than the model's, and a file that ends while it is read.
    """
    for path in paths:
        check_layout(path, model, prefix=prefix, beside=beside)
        yield _of_file(path, model, prefix)


def in_memory(updates: Iterable[Tensors]) -> Iterator[Pieces]:
    """The updates in tensors, whole ones as they are."""
    for tensors in updates:
        yield [Piece(name, 0, tensor.reshape(-1)) for name, tensor in tensors.items()]


def fill(fd: int, raw: memoryview, offset: int, path: str | Path) -> None:
    """Fills `raw` from a file's `offset`; refuses (bad_update) one that ends before."""
    while raw.nbytes:
        count = os.preadv(fd, [raw], offset)
        if count == 0:
            raise Refused(
                ErrorCode.BAD_UPDATE,
                f"{Path(path).name} ends before its tensors do.",
                "do not change files while they are aggregated",
            )
        raw, offset = raw[count:], offset + count


def _of_file(path: Path, model: Layout, prefix: str) -> Iterator[Piece]:
    offsets = read_offsets(path)
    widest = max(min(PIECE, info.num_values) * DTYPES[info.dtype].itemsize for info in model.values())
    memory = memoryview(bytearray(max(widest, 1)))
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for name, info in model.items():
            dtype = DTYPES[info.dtype]
            for start in range(0, info.num_values, PIECE):
                count = min(PIECE, info.num_values - start)
                raw = memory[: count * dtype.itemsize]
                fill(fd, raw, offsets[prefix + name] + start * dtype.itemsize, path)
                yield Piece(name, start, torch.frombuffer(raw, dtype=dtype))
    finally:
        os.close(fd)
