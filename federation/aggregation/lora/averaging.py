"""The mean of a round's adapters, from the factors of all of them, layer by layer:

    M = Σ v_i (B + ΔB_i)(A + ΔA_i) + (1 - Σ v_i) B A,

one product of the columns of all B, weighted, side by side with as many rows of A. What is missing of the weights to
1, after clipping, is the global model's share; and it holds for every direction by itself, since a node of a lower rank
has left some as they were.

Three ways to make factors of M:

- `cut`: the best of rank r, the leading r singular triples of M (Eckart and Young 1936), which is what FlexLoRA does
  (Bai et al. 2024, arXiv:2402.11505, section 3), though from QR decompositions instead of a dense M.
- `stacked`: all of M, and r fresh directions beside it. That is FLoRA (Wang et al. 2024, arXiv:2409.05976, section 3),
  but what has been learned stays in the adapter instead of being added to the base weights, and is kept at its rank.
- `apart`: the means of A and of B, as FedAvg has it. Σ v_i B_i Σ v_i A_i is not M, unless all A or all B agree, as they
  do when A is frozen (FFA-LoRA, Sun et al. 2024, arXiv:2403.12313). The gap is Σ v_i ΔB_i (Σ v_j ΔA_j - ΔA_i).

In `cut` and `stacked` the rows of A have one length in a layer, that of the rows before, and stand at right angles; B
takes all the rest. So a direction of which the mean holds little or nothing learns as a fresh one does: its B is small,
its A is not. The k-th row and column belong to the k-th largest singular value, which is what nodes of lower rank
train first; but where all have trained all ranks, `cut` turns A to lie as near as it can to the mean of the nodes' A
(orthogonal Procrustes problem, Schönemann 1966), and B with it. The product is the same, and the next round goes on
from factors like those that the nodes have adapted so far: Adam's steps depend on which.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from federation.adapters import Pair
from federation.aggregation.lora.layers import Layers
from federation.aggregation.lora.products import leading, product_norms
from federation.spec import derive_seed


@dataclass(frozen=True)
class Averaged:
    """A layer's factors of the next version, float64, or what to add to the present ones; how far they are from M, and
    how long M is (Frobenius)."""

    pair: Pair
    a: Tensor
    b: Tensor
    error: float
    length: float


def cut(layers: Layers, weights: Tensor, rank: int) -> Iterator[Averaged]:
    """The best factors of rank `rank`. Args: `weights`: v, [n]."""
    left, right = _mean(layers, weights)
    values, v = leading(left, right, rank)
    rows, columns = _factors(layers, left, right, v)
    missing = rank - rows.shape[1]  # of more directions than the layer has
    rows = torch.nn.functional.pad(rows, (0, 0, 0, missing))
    columns = torch.nn.functional.pad(columns, (0, missing))
    if len(layers.owner) == rank * len(weights):  # nobody left ranks out
        rows, columns = _turned(rows, columns, _mean_a(layers, weights))
    errors, lengths = _lengths(values[:, rank:]), _lengths(values)
    for at, pair in enumerate(layers.pairs):
        yield Averaged(pair, rows[at], columns[at], errors[at], lengths[at])


def stacked(layers: Layers, weights: Tensor, r: int, seed: int) -> Iterator[Averaged]:
    """All directions of M whose singular value is not zero, then r fresh ones: A by `fresh_rows`, B zero."""
    left, right = _mean(layers, weights)
    values, v = leading(left, right)
    rows, columns = _factors(layers, left, right, v)
    for at, pair in enumerate(layers.pairs):
        found = values[at]
        rank = int((found > _ROUNDING * max(pair.inputs, pair.outputs) * found[0]).sum())
        a = torch.cat([rows[at, :rank], fresh_rows(seed, pair.module, r, pair.inputs)])
        b = torch.nn.functional.pad(columns[at, :, :rank], (0, r))
        [error], [length] = _lengths(found[None, rank:]), _lengths(found[None])
        yield Averaged(pair, a, b, error, length)


def apart(layers: Layers, weights: Tensor) -> Iterator[Averaged]:
    """Σ v_i ΔA_i and Σ v_i ΔB_i, to be added to the factors."""
    share = weights[layers.owner]
    a = torch.zeros_like(layers.a).index_add_(1, layers.rows, layers.delta_a * share[:, None])
    b = torch.zeros_like(layers.b).index_add_(2, layers.rows, layers.delta_b * share)
    errors = product_norms(layers.delta_b * share, a[:, layers.rows] - layers.delta_a)
    lengths = product_norms(*_mean(layers, weights))
    for at, pair in enumerate(layers.pairs):
        yield Averaged(pair, a[at], b[at], float(errors[at]), float(lengths[at]))


def fresh_rows(seed: int, module: str, r: int, inputs: int) -> Tensor:
    """A new A [r, inputs] in float64, uniform within ±1/√inputs, as PEFT draws it (Kaiming-uniform, a = √5)."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "A", module))
    bound = inputs**-0.5
    return torch.empty(r, inputs, dtype=torch.float64).uniform_(-bound, bound, generator=generator)


_NO_SHARE = 1e-12
"""What rounding leaves of 1 - Σ v_i."""

_ROUNDING = torch.finfo(torch.float64).eps
"""What of the largest singular value is nothing, times the longer side, as in NumPy's matrix_rank."""


def _mean(layers: Layers, weights: Tensor) -> tuple[Tensor, Tensor]:
    """M as a product, [L, out, K] and [L, K, in]; K is S, and the directions that not all have trained besides."""
    share = weights[layers.owner]
    left, right = (layers.b[:, :, layers.rows] + layers.delta_b) * share, layers.local_a
    others = 1 - torch.zeros(layers.a.shape[1], dtype=share.dtype).index_add_(0, layers.rows, share)
    kept = torch.nonzero(others.abs() > _NO_SHARE).flatten()
    if len(kept) == 0:
        return left, right
    return torch.cat([left, layers.b[:, :, kept] * others[kept]], 2), torch.cat([right, layers.a[:, kept]], 1)


def _factors(layers: Layers, left: Tensor, right: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """M vᵀ v as A [L, k, in], v stretched to the length of the present rows, and B [L, out, k]."""
    length = layers.a.square().sum(-1).mean(-1).sqrt()[:, None, None]
    length = torch.where(length > 0, length, 1.0)
    return length * v, left @ (right @ v.mT) / length


def _mean_a(layers: Layers, weights: Tensor) -> Tensor:
    """A + Σ v_i ΔA_i, [L, r, in]."""
    share = weights[layers.owner][:, None]
    return layers.a + torch.zeros_like(layers.a).index_add_(1, layers.rows, layers.delta_a * share)


def _turned(rows: Tensor, columns: Tensor, towards: Tensor) -> tuple[Tensor, Tensor]:
    """T A and B Tᵀ for the orthogonal T that brings T A nearest to `towards`: U V of towards Aᵀ = U S V."""
    u, _, v = torch.linalg.svd(towards @ rows.mT)
    turn = u @ v
    return turn @ rows, columns @ turn.mT


def _lengths(values: Tensor) -> list[float]:
    lengths: list[float] = torch.linalg.vector_norm(values, dim=1).tolist()
    return lengths
