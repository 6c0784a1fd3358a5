"""Updates side by side: the same coordinates of every update, one block after the other.

Distances and medians need all updates at once, yet not all of each. A block holds a few thousand coordinates of
every one, so memory is one block whatever the number and the size of the updates. Files are read, not mapped: what
was read does not stay in the process. At most 64 of them are open at a time.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from federation.errors import ErrorCode, Refused
from federation.layout import DTYPES, Layout, TensorInfo, read_offsets
from federation.weights import DELTA, check_layout, check_model

_BUDGET = 16 << 20  # bytes of one block; rules make two more of its size
_MOST_COLUMNS = 16_384  # more would leave a core's cache
_MOST_OPEN = 64

Wide = NDArray[np.float64]
Values = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Block:
    """Coordinates `start`.. of the flattened tensor `name`: `values` is [updates, coordinates].

    The next block is read into the same memory.
    """

    name: str
    start: int
    values: Values


class Updates:
    """Update files of one layout, in the order given.

    Args:
        paths: files of `<prefix><name>` tensors.
        layout: of the global model, names without the prefix.
        prefix: which of an update's tensors; `delta/` are the deltas.

    Refuses (bad_update) a file of another layout.
    """

    def __init__(self, paths: Sequence[Path], layout: Layout, *, prefix: str = DELTA) -> None:
        check_model(layout)
        self.paths = list(paths)
        self.layout = layout
        self._offsets: list[dict[str, int]] = []
        for path in self.paths:
            check_layout(path, layout)
            offsets = read_offsets(path)
            self._offsets.append({name: offsets[prefix + name] for name in layout})

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def num_values(self) -> int:
        """Coordinates of one update."""
        return sum(info.num_values for info in self.layout.values())

    @property
    def exact_dtype(self) -> type[np.float32] | type[np.float64]:
        """The smallest float that holds every value as it is."""
        return np.float64 if any(info.dtype == "F64" for info in self.layout.values()) else np.float32

    def blocks(self, dtype: type[np.float32] | type[np.float64] = np.float64) -> Iterator[Block]:
        """Every coordinate once, tensors by name, coordinates in row-major order, as `dtype`."""
        columns = max(256, min(_MOST_COLUMNS, _BUDGET // (8 * max(1, len(self)))))
        memory: Values = np.empty((len(self), columns), dtype)
        with _Files(self.paths) as files:
            for name, info in sorted(self.layout.items()):
                for start in range(0, info.num_values, columns):
                    values = memory[:, : min(columns, info.num_values - start)]
                    self._read(files, name, info, start, values)
                    yield Block(name, start, values)

    def _read(self, files: _Files, name: str, info: TensorInfo, start: int, values: Values) -> None:
        size = DTYPES[info.dtype].itemsize
        raw = bytearray(values.shape[1] * size)
        narrow = torch.frombuffer(raw, dtype=DTYPES[info.dtype])
        for row in range(len(self)):
            files.read_into(row, raw, self._offsets[row][name] + start * size)
            torch.from_numpy(values[row]).copy_(narrow)


def check_finite(squares: Wide, updates: Updates) -> None:
    """Refuses (bad_update) updates whose sum of squares is not finite; acceptance should have done so before."""
    for path, square in zip(updates.paths, squares, strict=True):
        if not math.isfinite(square):
            raise Refused(
                ErrorCode.BAD_UPDATE,
                f"{path.name} holds NaN or infinite values, or values too large to square.",
                "leave this update out",
            )


class _Files:
    """Files to read from: all of them open while they are few, else each only for as long as it is read."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._stack = ExitStack()
        self._open: list[int] = []

    def __enter__(self) -> _Files:
        if len(self._paths) <= _MOST_OPEN:
            with ExitStack() as stack:
                for path in self._paths:
                    self._open.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
                    stack.callback(os.close, self._open[-1])
                self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._open = []

    def read_into(self, row: int, raw: bytearray, offset: int) -> None:
        """Fills `raw` from file `row`."""
        if self._open:
            self._fill(self._open[row], raw, offset, row)
            return
        fd = os.open(self._paths[row], os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._fill(fd, raw, offset, row)
        finally:
            os.close(fd)

    def _fill(self, fd: int, raw: bytearray, offset: int, row: int) -> None:
        left = memoryview(raw)
        while left.nbytes:
            count = os.preadv(fd, [left], offset)
            if count == 0:
                raise Refused(
                    ErrorCode.BAD_UPDATE,
                    f"{self._paths[row].name} ends before its tensors do.",
                    "do not change files while they are aggregated",
                )
            left, offset = left[count:], offset + count
