"""A task of the catalogue whose model has as many bytes as wanted, and updates that fit it."""

from __future__ import annotations

from typing import Any

import torch

from federation.weights import pack_update

_HIDDEN = 8192  # the widest that `mlp` may be


def spec(mib: int, *, nodes: int = 1, **changes: Any) -> dict[str, Any]:
    """An `mlp` on the nodes' own data whose input is so wide that the weights take `mib` MiB (and 40 bytes).

    Nothing is trained or scored, so there need be no data of that shape. A width of 8,192 needs 4 · 8,192 bytes for
    each input, for each of 10 classes, and for the bias: 32 such columns are a MiB.
    """
    return {
        "name": f"{mib} MiB of weights",
        "model": {"id": "mlp", "options": {"hidden": _HIDDEN}},
        "data": {"id": "own", "input_shape": [32 * mib - 11], "num_classes": 10},
        "cohort": {"size": nodes, "min_nodes": nodes, "quorum": nodes},
        "evaluation": {"server": False, "nodes": False},
        "lease_s": 3600,
        "keep_rounds": 0,
        "rounds": 1,
    } | changes


def update(mib: int, value: float = 0.0) -> bytes:
    """An update to that model, `value` everywhere: another value, another hash."""
    inputs = 32 * mib - 11
    shapes = {"hidden.weight": (_HIDDEN, inputs), "hidden.bias": (_HIDDEN,)}
    shapes |= {"output.weight": (10, _HIDDEN), "output.bias": (10,)}
    return pack_update({name: torch.full(shape, value) for name, shape in shapes.items()})
