"""Updates in memory, as a simulation has them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from federation.aggregation.blocks import COLUMNS, Block, Float, empty_blocks
from federation.aggregation.fold import Alignment, Sum, weighted_sum
from federation.aggregation.pieces import in_memory
from federation.layout import Layout, layout_of
from federation.weights import Tensors, check_model


class MemoryUpdates:
    """Updates stacked along a first axis; the tensors may be views of one matrix.

    Args:
        stacked: [updates, ...] by the model's names.
        names: what to call each in a refusal.
    """

    def __init__(self, stacked: Tensors, names: Sequence[str]) -> None:
        for name, tensor in stacked.items():
            if tensor.dim() < 1 or len(tensor) != len(names):
                raise ValueError(f"{name} is {list(tensor.shape)}, which are not {len(names)} updates")
        self.layout: Layout = layout_of({n: torch.empty(t.shape[1:], dtype=t.dtype) for n, t in stacked.items()})
        check_model(self.layout)
        self.names = list(names)
        self._stacked = dict(stacked)

    @classmethod
    def of_matrix(cls, rows: torch.Tensor, layout: Layout, names: Sequence[str]) -> MemoryUpdates:
        """Rows, float32 [updates, parameters], whose columns are the tensors of `layout` in its order; not copied."""
        pieces = torch.split(rows, [info.num_values for info in layout.values()], dim=1)
        shaped = zip(layout.items(), pieces, strict=True)
        return cls({name: piece.view(len(rows), *info.shape) for (name, info), piece in shaped}, names)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def side_by_side(self) -> bool:
        """See `Updates`."""
        return True

    def blocks(self, dtype: Float, *, columns: int = COLUMNS) -> Iterator[Block]:
        """See `Updates`."""
        flat = {
            name: tensor.flatten(1) if tensor.dim() > 1 else tensor[:, None] for name, tensor in self._stacked.items()
        }
        for block in empty_blocks(self.layout, len(self), dtype, columns):
            width = block.values.shape[1]
            torch.from_numpy(block.values).copy_(flat[block.name][:, block.start : block.start + width])
            yield block

    def weighted_sum(self, weights: Sequence[float]) -> Sum:
        """See `Updates`."""
        heard = [(row, weight) for row, weight in zip(self._rows(), weights, strict=True) if weight]
        return weighted_sum(self.layout, in_memory([row for row, _ in heard]), [weight for _, weight in heard])

    def alignments(self, total: Sum) -> list[Alignment]:
        """See `Updates`; a block at a time, in float64."""
        squares, dots, length = np.zeros(len(self)), np.zeros(len(self)), 0.0
        for block in self.blocks(np.float64):
            beside = total[block.name].reshape(-1)[block.start : block.start + block.values.shape[1]].double().numpy()
            squares += np.einsum("nc,nc->n", block.values, block.values)
            dots += block.values @ beside
            length += float(beside @ beside)
        scale = np.sqrt(squares) * math.sqrt(length)
        cosines = np.divide(dots, scale, out=np.zeros_like(dots), where=scale > 0)
        return [Alignment(math.sqrt(s), float(c)) for s, c in zip(squares, cosines, strict=True)]

    def _rows(self) -> Iterator[Tensors]:
        names, columns = list(self._stacked), [tensor.unbind() for tensor in self._stacked.values()]
        for row in zip(*columns, strict=True):
            yield dict(zip(names, row, strict=True))
