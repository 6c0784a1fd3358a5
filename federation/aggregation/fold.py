"""The weighted sum at the heart of every rule: updates in, one model out, memory independent of their number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from federation.aggregation.pieces import Pieces, in_files, in_memory
from federation.errors import ErrorCode, Refused
from federation.layout import DTYPES, Layout, read_layout, shown
from federation.weights import Tensors, check_model, squared_norm

Sum = dict[str, torch.Tensor]
"""A delta on its way: by the model's names, in float32 at least."""

TINY, HUGE = 1e-30, 1e36
"""Sums of squares between the two were taken in float32 without loss; others want float64."""


def fold(base: Path, updates: Sequence[Path], weights: Sequence[float]) -> dict[str, torch.Tensor]:
    """base + sum_i weights[i] * updates[i], in the base's dtypes; see `weighted_sum` and `step_from`."""
    layout = read_layout(base)
    return step_from(base, weighted_sum(layout, in_files(updates, layout), weights))


def weighted_sum(model: Layout, updates: Iterable[Pieces], weights: Sequence[float]) -> Sum:
    """sum_i weights[i] * updates[i], in the order given and in float32 at least.

    Memory is one accumulator beside what the updates take: those in files, one piece.

    Args:
        model: layout of the global model.
        updates: deltas by the model's names, one for each weight.
        weights: finite factors.
    """
    check_weights(weights)
    check_model(model)
    total = zeros(model)
    flat = {name: tensor.view(-1) for name, tensor in total.items()}
    for pieces, weight in zip(updates, weights, strict=True):
        for name, start, values in pieces:
            _beside(flat[name], start, values).add_(values, alpha=weight)
    return total


def step_from(base: Tensors | Path, delta: Sum) -> dict[str, torch.Tensor]:
    """base + delta, in the base's dtypes; `delta` is used up, `base` is left as it is. One in a file is never in memory
    as a whole.

    The base is added last: many small steps do not drown in a large weight, and a bfloat16 model is rounded once.
    Refuses (bad_update) a result that is not finite.
    """
    if isinstance(base, Path):
        layout = read_layout(base)
        dtypes = {name: DTYPES[info.dtype] for name, info in layout.items()}
        [pieces] = in_files([base], layout, prefix="")
    else:
        dtypes = {name: tensor.dtype for name, tensor in base.items()}
        [pieces] = in_memory([base])
    for name, start, values in pieces:
        _beside(delta[name].view(-1), start, values).add_(values)
    for name, dtype in dtypes.items():
        delta[name] = delta[name].to(dtype)
        check_sum(name, delta[name])
    return delta


def check_weights(weights: Sequence[float]) -> None:
    """Refuses (ValueError) factors that are not finite."""
    if not all(math.isfinite(weight) for weight in weights):
        raise ValueError(f"weights must be finite, not {list(weights)}")


def zeros(model: Layout) -> Sum:
    """An empty accumulator."""
    return {name: torch.zeros(info.shape, dtype=_accumulator(info.dtype)) for name, info in model.items()}


@dataclass(frozen=True)
class Alignment:
    """An update beside the sum: its L2 norm, and the cosine of the two; 0 where one of them is zero."""

    norm: float
    cosine: float


def alignments(updates: Iterable[Pieces], total: Sum) -> Iterator[Alignment]:
    """Every update beside `total`, one after the other."""
    length = math.sqrt(sum(squared_norm(tensor) for tensor in total.values()))
    flat = {name: tensor.reshape(-1) for name, tensor in total.items()}
    for pieces in updates:
        square, dot = 0.0, 0.0
        for name, start, values in pieces:
            beside = _beside(flat[name], start, values)
            part = values.to(beside.dtype)
            one, other = float(part.dot(part)), float(part.dot(beside))
            if not (TINY < one < HUGE and TINY < length * length < HUGE):
                part, beside = part.double(), beside.double()
                one, other = float(part.dot(part)), float(part.dot(beside))
            square, dot = square + one, dot + other
        norm = math.sqrt(square)
        yield Alignment(norm, dot / (norm * length) if norm * length > 0 else 0.0)


def _beside(flat: torch.Tensor, start: int, values: torch.Tensor) -> torch.Tensor:
    return flat if len(values) == len(flat) else flat[start : start + len(values)]


def _accumulator(dtype: str) -> torch.dtype:
    return torch.promote_types(DTYPES[dtype], torch.float32)


def check_sum(name: str, tensor: torch.Tensor) -> None:
    """Refuses (bad_update) a tensor of the next model that is not finite."""
    if not math.isfinite(squared_norm(tensor)):
        raise Refused(
            ErrorCode.BAD_UPDATE,
            f"the folded tensor {shown(name)} is not finite in {tensor.dtype}; the global model stays as it was.",
            "bound the updates with aggregation.max_update_norm, or train with a lower learning rate",
        )
