"""Updates in files. For blocks they are read, not mapped: what was read does not stay in the process. At most 64 of
them are open at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import torch

from federation.aggregation.blocks import COLUMNS, Block, Float, empty_blocks
from federation.aggregation.fold import Alignment, Sum, alignments, weighted_sum
from federation.aggregation.pieces import Pieces, fill, in_files
from federation.layout import DTYPES, Layout, read_offsets
from federation.weights import DELTA, check_layout, check_model

_MOST_OPEN = 64
_SIDE_BY_SIDE = 256  # with more of them blocks get so narrow that opening files again and again costs more


class FileUpdates:
    """Update files of one layout, in the order given.

    Args:
        paths: files of `<prefix><name>` tensors.
        layout: of the global model, names without the prefix.
        prefix: which of an update's tensors; `delta/` are the deltas.
        beside: the tensors that the files hold besides, by their whole names.

    Refuses (bad_update) a file of another layout.
    """

    def __init__(
        self, paths: Sequence[Path], layout: Layout, *, prefix: str = DELTA, beside: Layout | None = None
    ) -> None:
        check_model(layout)
        self.paths = list(paths)
        self.layout = layout
        self._prefix = prefix
        self._beside = beside
        for path in self.paths:
            check_layout(path, layout, prefix=prefix, beside=beside)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def names(self) -> list[str]:
        """What to call each in a refusal."""
        return [path.name for path in self.paths]

    @property
    def side_by_side(self) -> bool:
        """See `Updates`."""
        return len(self) <= _SIDE_BY_SIDE

    def blocks(self, dtype: Float, *, columns: int = COLUMNS) -> Iterator[Block]:
        """See `Updates`."""
        with OpenFiles(self.paths) as files:
            for block in empty_blocks(self.layout, len(self), dtype, columns):
                self._read(files, block)
                yield block

    def weighted_sum(self, weights: Sequence[float]) -> Sum:
        """See `Updates`. Files are read one after the other: memory is one accumulator and one piece."""
        heard = [(path, weight) for path, weight in zip(self.paths, weights, strict=True) if weight]
        updates = self._pieces([path for path, _ in heard])
        return weighted_sum(self.layout, updates, [weight for _, weight in heard])

    def alignments(self, total: Sum) -> list[Alignment]:
        """See `Updates`."""
        return list(alignments(self._pieces(self.paths), total))

    def _pieces(self, paths: Sequence[Path]) -> Iterator[Pieces]:
        return in_files(paths, self.layout, prefix=self._prefix, beside=self._beside)

    @cached_property
    def _offsets(self) -> list[dict[str, int]]:
        found = []
        for path in self.paths:
            offsets = read_offsets(path)
            found.append({name: offsets[self._prefix + name] for name in self.layout})
        return found

    def _read(self, files: OpenFiles, block: Block) -> None:
        dtype = DTYPES[self.layout[block.name].dtype]
        rows, skip = torch.from_numpy(block.values), block.start * dtype.itemsize
        if rows.dtype == dtype:
            for row, values in enumerate(block.values):
                files.read_into(row, values.data.cast("B"), self._offsets[row][block.name] + skip)
            return
        narrow = torch.empty(rows.shape[1], dtype=dtype)
        raw = narrow.view(torch.uint8).numpy().data
        for row in range(len(self)):
            files.read_into(row, raw, self._offsets[row][block.name] + skip)
            rows[row].copy_(narrow)


class OpenFiles:
    """Files to read from: all of them open while they are few, else each only for as long as it is read."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = [str(path) for path in paths]
        self._stack = ExitStack()
        self._open: list[int] = []

    def __enter__(self) -> OpenFiles:
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

    def read_into(self, row: int, raw: memoryview, offset: int) -> None:
        """Fills `raw` from file `row`."""
        if self._open:
            fill(self._open[row], raw, offset, self._paths[row])
            return
        fd = os.open(self._paths[row], os.O_RDONLY | os.O_CLOEXEC)
        try:
            fill(fd, raw, offset, self._paths[row])
        finally:
            os.close(fd)
