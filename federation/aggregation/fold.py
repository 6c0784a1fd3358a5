"""The weighted sum at the heart of every rule: files in, one model out, memory independent of their number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from federation.errors import ErrorCode, Refused
from federation.layout import DTYPES, read_layout, shown
from federation.weights import DELTA, check_layout, check_model, load, squared_norm


def fold(base: Path, updates: Sequence[Path], weights: Sequence[float]) -> dict[str, torch.Tensor]:
    """base + sum_i weights[i] * updates[i], in the base's dtypes.

    The deltas are summed first, in the order given and in float32 at least, and the base is added last: many small
    steps do not drown in a large weight, and a bfloat16 model is rounded once. Files are mapped one after the other,
    so memory is one accumulator (in float32) and one file's pages.

    Args:
        base: safetensors file of the global model.
        updates: files of `delta/<name>`, one for each weight.
        weights: finite factors.

    Refuses (bad_update) an update of another layout than the base's, and a result that is not finite.
    """
    if not all(math.isfinite(weight) for weight in weights):
        raise ValueError(f"weights must be finite, not {list(weights)}")
    layout = read_layout(base)
    check_model(layout)
    total = {name: torch.zeros(info.shape, dtype=_accumulator(info.dtype)) for name, info in layout.items()}
    for path, weight in zip(updates, weights, strict=True):
        check_layout(path, layout)
        _add_to(total, path, weight)
    for name, tensor in load(base).items():
        total[name] = total[name].add_(tensor).to(tensor.dtype)
        _check_finite(name, total[name])
    return total


def _add_to(total: dict[str, torch.Tensor], path: Path, weight: float) -> None:
    delta = load(path)
    for name, tensor in total.items():
        tensor.add_(delta[DELTA + name], alpha=weight)


def _accumulator(dtype: str) -> torch.dtype:
    return torch.promote_types(DTYPES[dtype], torch.float32)


def _check_finite(name: str, tensor: torch.Tensor) -> None:
    if not math.isfinite(squared_norm(tensor)):
        raise Refused(
            ErrorCode.BAD_UPDATE,
            f"the folded tensor {shown(name)} is not finite in {tensor.dtype}; the global model stays as it was.",
            "bound the updates with aggregation.max_update_norm, or train with a lower learning rate",
        )
