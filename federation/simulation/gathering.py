"""A round's updates on their way to the rule: in memory while they fit a budget, else in files."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from federation.aggregation.blocks import Updates
from federation.aggregation.files import FileUpdates
from federation.aggregation.fold import zeros
from federation.aggregation.memory import MemoryUpdates
from federation.layout import Layout
from federation.simulation.clients import flattened
from federation.weights import DELTA, load, pack_update, squared_norm


class Gathering:
    """Takes rows as they come; use it in a `with` statement, for files go at its end.

    Args:
        count: how many rows there will be.
        layout: of the model, all float32; its order is that of the columns.
        budget: bytes of memory that all rows may take together.
        folder: where a folder for files is made; default: the system's.
    """

    def __init__(self, count: int, layout: Layout, *, budget: int, folder: Path | None = None) -> None:
        self._count = count
        self._layout = layout
        self._sizes = [info.num_values for info in layout.values()]
        self._taken = 0
        self._rows: Tensor | None = None
        self._files: tempfile.TemporaryDirectory[str] | None = None
        self.in_memory = 4 * count * sum(self._sizes) <= budget
        if not self.in_memory:
            self._files = tempfile.TemporaryDirectory(prefix="potluck-round-", dir=folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._files is not None:
            self._files.cleanup()

    @property
    def rows(self) -> Tensor:
        """All rows, [count, parameters]; they may be changed. Only where they are in memory."""
        if self._rows is None:
            raise ValueError("the updates are in files")
        return self._rows

    def take(self, deltas: Tensor) -> None:
        """The next rows, float32 [some, parameters]; they are this object's from now on."""
        start, self._taken = self._taken, self._taken + len(deltas)
        if not self.in_memory:
            for place, row in enumerate(deltas, start=start):
                self._write(place, row)
        elif len(deltas) == self._count:
            self._rows = deltas
        else:
            if self._rows is None:
                self._rows = torch.empty((self._count, sum(self._sizes)))
            self._rows[start : self._taken] = deltas

    def row(self, place: int) -> Tensor:
        """One of them, float32 [parameters]; leave it as it is."""
        if self._files is None:
            return self.rows[place]
        found = load(self._path(place))
        return flattened([found[DELTA + name] for name in self._layout])

    def replace(self, place: int, row: Tensor) -> None:
        """Another in the place of one of them."""
        if self._files is None:
            self.rows[place] = row
        else:
            self._write(place, row)

    def norms(self) -> list[float]:
        """The L2 norm of each row; not finite where a value is not."""
        if self._files is None:
            return [math.sqrt(squared_norm(row)) for row in self.rows]
        names = [str(place) for place in range(self._count)]
        zero = zeros(self._layout)
        return [each.norm for each in self.updates(range(self._count), names).alignments(zero)]

    def updates(self, places: Sequence[int], names: Sequence[str]) -> Updates:
        """The rows at `places`, as a rule takes them; `names` are for refusals, one for each."""
        if self._files is not None:
            return FileUpdates([self._path(place) for place in places], self._layout)
        everything = list(places) == list(range(self._count))
        rows = self.rows if everything else self.rows[torch.tensor(places)]
        return MemoryUpdates.of_matrix(rows, self._layout, names)

    def _write(self, place: int, row: Tensor) -> None:
        pieces = zip(self._layout.items(), torch.split(row, self._sizes), strict=True)
        delta = {name: piece.view(info.shape) for (name, info), piece in pieces}
        self._path(place).write_bytes(pack_update(delta))

    def _path(self, place: int) -> Path:
        assert self._files is not None  # noqa: S101 - asked for where there are files only
        return Path(self._files.name) / f"{place:06d}"
