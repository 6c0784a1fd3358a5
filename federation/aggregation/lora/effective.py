"""Effective updates: what an update of factors changes in the layers that they are added to,

    Δ_i = s [(B + ΔB_i)(A + ΔA_i) - B A] = s [B ΔA_i + ΔB_i (A + ΔA_i)],

as the right-hand side has it: the left one would subtract nearly equal numbers. A node's factors mean nothing by
themselves, for B T⁻¹ and T A are the same layer; so norms, distances and cosines are those of Δ_i. They come from
inner products of factors, <X Y, Z W> = tr(YᵀXᵀZW) = sum of (XᵀZ) ∘ (Y Wᵀ); no Δ_i is ever formed.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from federation.adapters import head_of, pairs_of
from federation.aggregation.blocks import Wide, check_finite
from federation.aggregation.lora.layers import AdapterUpdates, Layers
from federation.aggregation.lora.products import product_norms
from federation.layout import layout_of
from federation.weights import Tensors

_ROWS = 512  # of the S × S products at hand at a time


def effective_gram(updates: AdapterUpdates, scaling: float) -> Wide:
    """G_ij = <Δ_i, Δ_j>, float64 [n, n], over all layers and the head. Refuses (bad_update) updates that hold NaN or
    infinity."""
    n, factors = len(updates), torch.zeros(len(updates), len(updates), dtype=torch.float64)
    for layers in updates.layers():
        factors += _of(layers, n)
    total = scaling**2 * factors.numpy()
    with np.errstate(invalid="ignore", over="ignore"):
        for block, _ in updates.head():
            total += block.values @ block.values.T
    check_finite(np.diag(total), updates.names)
    return total


def _of(layers: Layers, n: int) -> torch.Tensor:
    delta, local, delta_b, rows, owner = layers.delta_a, layers.local_a, layers.delta_b, layers.rows, layers.owner
    both, crossed = (layers.b.mT @ layers.b)[:, rows][:, :, rows], (layers.b.mT @ delta_b)[:, rows]
    own, mixed = torch.zeros(n, n, dtype=torch.float64), torch.zeros(n, n, dtype=torch.float64)
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        inner = (both[:, part] * (delta[:, part] @ delta.mT)).sum(0)
        inner += ((delta_b[:, :, part].mT @ delta_b) * (local[:, part] @ local.mT)).sum(0)
        own.index_add_(0, owner[part], _by_owner(inner, owner, n))
        crossing = (crossed[:, part] * (delta[:, part] @ local.mT)).sum(0)
        mixed.index_add_(0, owner[part], _by_owner(crossing, owner, n))
    return own + mixed + mixed.T


def _by_owner(inner: torch.Tensor, owner: torch.Tensor, n: int) -> torch.Tensor:
    """[rows, S] to [rows, n]: added up, so that one update's infinity stays its own, as it would not in a product."""
    return torch.zeros(len(inner), n, dtype=inner.dtype).index_add_(1, owner, inner)


def distance(one: Tensors, other: Tensors, scaling: float) -> float:
    """The L2 distance of two versions of an adapter: of their layers' changes s B A, and of their heads. Ranks may
    differ."""
    pairs, others = pairs_of(layout_of(one)), pairs_of(layout_of(other))
    square = 0.0
    for mine, theirs in zip(pairs, others, strict=True):
        left = torch.cat([one[mine.b].double(), -other[theirs.b].double()], dim=1)
        right = torch.cat([one[mine.a].double(), other[theirs.a].double()], dim=0)
        square += (scaling * float(product_norms(left, right))) ** 2
    for name in head_of(layout_of(one)):
        square += float((one[name].double() - other[name].double()).square().sum())
    return math.sqrt(square)
