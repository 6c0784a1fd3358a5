"""Products of tall and wide factors, left […, out, K] and right […, K, in], that are never multiplied out.

With the QR decompositions left = Q₁ R₁ and rightᵀ = Q₂ R₂ the product is Q₁ (R₁ R₂ᵀ) Q₂ᵀ: all there is to know of it
stands in R₁ R₂ᵀ, K × K at most. Float64 throughout: the factors come in float32, and what is lost is below their
rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor


def product_norms(left: Tensor, right: Tensor) -> Tensor:
    """‖left right‖ (Frobenius), […]."""
    norms: Tensor = torch.linalg.matrix_norm(_triangle(left) @ _triangle(right.mT).mT)
    return norms


def leading(left: Tensor, right: Tensor, most: int | None = None) -> tuple[Tensor, Tensor]:
    """All singular values of the product, falling, […, k], and its right singular vectors as rows, […, k, in], or the
    first `most` of them; k is at most min(out, K, in), and at least the product's rank.

    The rows are orthonormal even where singular values are zero. Each one's largest entry is positive: the same factors
    give the same signs.
    """
    q, r = torch.linalg.qr(right.mT)
    _, values, vectors = torch.linalg.svd(_triangle(left) @ r.mT, full_matrices=False)
    rows = vectors[..., :most, :] @ q.mT
    largest = rows.gather(-1, rows.abs().argmax(dim=-1, keepdim=True))
    return values, torch.where(largest < 0, -rows, rows)


def _triangle(tall: Tensor) -> Tensor:
    triangle: Tensor = torch.linalg.qr(tall, mode="r").R
    return triangle
