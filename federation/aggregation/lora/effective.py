"""Effective updates: what an update of factors changes in the layers that they are added to,

    Δ_i = s [(B + ΔB_i)(A + ΔA_i) - B A] = s [B ΔA_i + ΔB_i (A + ΔA_i)],

as the right-hand side has it: the left one would subtract nearly equal numbers. A node's factors mean nothing by
themselves, for B T⁻¹ and T A are the same layer; so norms, distances and cosines are those of Δ_i. They come from
inner products of factors, <X Y, Z W> = tr(YᵀXᵀZW) = sum of (XᵀZ) ∘ (Y Wᵀ); no Δ_i is ever formed.

Written so, an update is a sum of columns times rows, and G_ii is as uncertain as the squares of their lengths, which
whoever makes them cancel can have as large as he likes. Where an update is much shorter than its terms together, all
are therefore taken from factors with orthonormal rows, whose terms cannot cancel: what is then uncertain of |Δ_i| is
the rounding of the terms, not the root of that of their squares.
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

_CANCELLED = 1e-4
"""|Δ_i|² below this share of its terms' squared lengths, Σ (Σ_k |x_k| |y_k|)² over layers, is taken again. Above it
rounding is 1e-11 of |Δ_i|² at most; trained adapters of rank 8 have 0.1 to 0.9."""


def effective_gram(updates: AdapterUpdates, scaling: float) -> Wide:
    """G_ij = <Δ_i, Δ_j>, float64 [n, n], over all layers and the head. Refuses (bad_update) updates that hold NaN or
    infinity."""
    n = len(updates)
    factors, terms = torch.zeros(n, n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    for layers in updates.layers():
        inner, lengths = _of(layers, n)
        factors, terms = factors + inner, terms + lengths
    check_finite(factors.diagonal().numpy(), updates.names)
    if (factors.diagonal() < _CANCELLED * terms).any():
        factors = torch.zeros(n, n, dtype=torch.float64)
        for layers in updates.layers():
            factors += _uncancelled(layers, n)
    total = scaling**2 * factors.numpy()
    with np.errstate(invalid="ignore", over="ignore"):
        for block, _ in updates.head():
            total += block.values @ block.values.T
    check_finite(np.diag(total), updates.names)
    return total


def _of(layers: Layers, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """<Δ_i, Δ_j> / s² of some layers, [n, n], and (Σ_k |x_k| |y_k|)² summed over them, [n]."""
    delta, local, delta_b, rows, owner = layers.delta_a, layers.local_a, layers.delta_b, layers.rows, layers.owner
    both, crossed = (layers.b.mT @ layers.b)[:, rows][:, :, rows], (layers.b.mT @ delta_b)[:, rows]
    own, mixed = torch.zeros(n, n, dtype=torch.float64), torch.zeros(n, n, dtype=torch.float64)
    lengths = torch.zeros(len(layers.pairs), n, dtype=torch.float64)
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        for inner in (
            both[:, part] * (delta[:, part] @ delta.mT),
            (delta_b[:, :, part].mT @ delta_b) * (local[:, part] @ local.mT),
        ):
            own.index_add_(0, owner[part], _by_owner(inner.sum(0), owner, n))
            lengths.index_add_(1, owner[part], inner.diagonal(start, 1, 2).sqrt())
        crossing = (crossed[:, part] * (delta[:, part] @ local.mT)).sum(0)
        mixed.index_add_(0, owner[part], _by_owner(crossing, owner, n))
    return own + mixed + mixed.T, lengths.square().sum(0)


def _uncancelled(layers: Layers, n: int) -> torch.Tensor:
    """<Δ_i, Δ_j> / s² of some layers, [n, n]: with the QR decomposition Yᵀ = Q R an update X Y is (X Rᵀ) Qᵀ."""
    columns, rows, owners = [], [], []
    for update in range(n):
        own = layers.owner == update
        x = torch.cat([layers.b[:, :, layers.rows[own]], layers.delta_b[:, :, own]], dim=2)
        y = torch.cat([layers.delta_a[:, own], layers.local_a[:, own]], dim=1)
        q, r = torch.linalg.qr(y.mT)
        columns.append(x @ r.mT)
        rows.append(q.mT)
        owners.append(torch.full((q.shape[-1],), update))
    left, right, owner = torch.cat(columns, dim=2), torch.cat(rows, dim=1), torch.cat(owners)
    total = torch.zeros(n, n, dtype=torch.float64)
    for start in range(0, len(owner), _ROWS):
        part = slice(start, start + _ROWS)
        inner = ((left[:, :, part].mT @ left) * (right[:, part] @ right.mT)).sum(0)
        total.index_add_(0, owner[part], _by_owner(inner, owner, n))
    return total


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
