"""A round's adapters, a few layers of equal shape at a time, read from files: of all updates at once, since a product
of sums needs them together, but never of all layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from federation.adapters import Pair, head_of, pairs_of, rank_of_update
from federation.aggregation.blocks import Block
from federation.aggregation.files import OpenFiles
from federation.aggregation.pieces import PIECE
from federation.layout import Layout, read_header
from federation.weights import DELTA

_BUDGET = 4 << 20  # bytes of the layers at hand: few enough for a cache, and never less than one layer
_KEPT = 64 << 20  # bytes of all layers that are not read again
_FLOAT = 4


@dataclass(frozen=True)
class Layers:
    """L layers of one shape, in float64. Of n updates of ranks r_i, S = Σ r_i, what they trained stands side by side.

    Attributes:
        a, b: the global factors, [L, R, in] and [L, out, R].
        delta_a, delta_b: the updates' rows of A, [L, S, in], and columns of B, [L, out, S].
        rows: which of the R each of the S is, [S].
        owner: whose it is: the update's place, [S].
    """

    pairs: Sequence[Pair]
    a: Tensor
    b: Tensor
    delta_a: Tensor
    delta_b: Tensor
    rows: Tensor
    owner: Tensor

    def only(self, heard: Tensor) -> Layers:
        """The same of the updates at these places, [m]; `owner` is then the place among them."""
        order = torch.full((int(self.owner.max()) + 1,), -1)
        order[heard] = torch.arange(len(heard))
        kept = order[self.owner] >= 0
        return replace(
            self,
            delta_a=self.delta_a[:, kept],
            delta_b=self.delta_b[:, :, kept],
            rows=self.rows[kept],
            owner=order[self.owner[kept]],
        )

    @property
    def local_a(self) -> Tensor:
        """The rows of A as the nodes had them after training, [L, S, in]."""
        return self.a[:, self.rows] + self.delta_a


class AdapterUpdates:
    """Update files of a version of an adapter, in the order given.

    Args:
        base: the version's file.
        paths: files of `delta/<name>` of the trained part; their ranks may differ.
        rule, r: of the task.

    Refuses (bad_update) a file that is no such update, and a base that is no adapter.
    """

    def __init__(self, base: Path, paths: Sequence[Path], *, rule: str, r: int) -> None:
        self.layout, offsets = read_header(base)
        self.pairs = pairs_of(self.layout)
        self.names = [path.name for path in paths]
        self.ranks: list[int] = []
        self._r, self._frozen_a = r, rule == "ffa"
        self._paths, self._offsets = [base, *paths], [offsets]
        self._kept: list[Layers] | None = None
        roomy = roomy_header(self.layout)
        for path in paths:
            layout, offsets = read_header(path, max_header=roomy)
            self.ranks.append(rank_of_update(layout, self.layout, rule=rule, r=r))
            self._offsets.append(offsets)

    def __len__(self) -> int:
        return len(self.names)

    def layers(self) -> Iterator[Layers]:
        """Every layer once. Where all of them take little memory, they are read once and kept."""
        if self._kept is None and 2 * sum(path.stat().st_size for path in self._paths) <= _KEPT:
            self._kept = list(self._read())
        yield from self._read() if self._kept is None else self._kept

    def _read(self) -> Iterator[Layers]:
        owner = torch.tensor([at for at, rank in enumerate(self.ranks) for _ in range(rank)], dtype=torch.int64)
        trained = torch.tensor([row for rank in self.ranks for row in range(rank)], dtype=torch.int64)
        with OpenFiles(self._paths) as files:
            for some in self._batches(sum(self.ranks)):
                a, b = self._side_by_side(files, some, [0], [some[0].rank])
                delta_a, delta_b = self._side_by_side(files, some, range(1, len(self._paths)), self.ranks)
                yield Layers(some, a, b, delta_a, delta_b, trained + (some[0].rank - self._r), owner)

    def head(self) -> Iterator[tuple[Block, NDArray[np.float64]]]:
        """What is no factor, a block of coordinates after the other: of all updates, [n, c], and of the base, [c]."""
        head = head_of(self.layout)
        with OpenFiles(self._paths if head else []) as files:
            for name, info in head.items():
                for start in range(0, info.num_values, PIECE):
                    values = np.empty((len(self) + 1, min(PIECE, info.num_values - start)), np.float32)
                    for file, row in enumerate(values):
                        whole = DELTA + name if file else name
                        files.read_into(file, row.data.cast("B"), self._offsets[file][whole] + _FLOAT * start)
                    yield Block(name, start, values[1:].astype(np.float64)), values[0].astype(np.float64)

    def _batches(self, width: int) -> Iterator[list[Pair]]:
        """Pairs of one shape, as many as the budget holds at once, at least one."""
        by_shape = sorted(self.pairs, key=_shape)
        for (rank, inputs, outputs), group in groupby(by_shape, key=_shape):
            alike = list(group)
            size = max(1, _BUDGET // (8 * (rank + width) * (inputs + outputs)))
            for start in range(0, len(alike), size):
                yield alike[start : start + size]

    def _side_by_side(
        self, files: OpenFiles, some: Sequence[Pair], which: Sequence[int], ranks: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """The factors in some files, of which the first is the base, one below and one beside the other."""
        rank, inputs, outputs = sum(ranks), some[0].inputs, some[0].outputs
        a = np.zeros((len(some), rank, inputs), np.float32)
        b = np.empty((len(some), outputs, rank), np.float32)
        for layer, pair in enumerate(some):
            end = 0
            for file, own in zip(which, ranks, strict=True):
                begin, end = end, end + own
                offsets, prefix = self._offsets[file], DELTA if file else ""
                if not (file and self._frozen_a):
                    files.read_into(file, a[layer, begin:end].data.cast("B"), offsets[prefix + pair.a])
                columns = np.empty((outputs, own), np.float32)
                files.read_into(file, columns.data.cast("B"), offsets[prefix + pair.b])
                b[layer, :, begin:end] = columns
        return torch.from_numpy(a).double(), torch.from_numpy(b).double()


def roomy_header(model: Layout) -> int:
    """The longest header that an update of this model may have, in bytes; JSON may take six for a letter."""
    return 65_536 + sum(6 * len(DELTA + name) + 512 for name in model)


def _shape(pair: Pair) -> tuple[int, int, int]:
    return pair.rank, pair.inputs, pair.outputs
