"""A round of small adapters through files as in a real round, and the dense matrices that it must not need."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from federation.adapters import Pair
from federation.aggregation.contributions import Contribution
from federation.aggregation.outcome import Aggregate
from federation.aggregation.rules import aggregate
from federation.model_spec import LoraSpec
from federation.spec import AggregationSpec
from federation.weights import pack_update, to_bytes

Rows = NDArray[np.float64]

LAYERS = {"h.0.query": (24, 24), "h.0.value": (24, 8), "h.1.query": (24, 24), "h.1.value": (24, 8), "up": (5, 40)}
"""Inputs and outputs by module; the last one has fewer inputs than a round has ranks."""

HEAD = "base_model.model.score.weight"


def pairs(layers: Mapping[str, tuple[int, int]], rank: int) -> list[Pair]:
    return [Pair.named(name, rank=rank, inputs=i, outputs=o) for name, (i, o) in sorted(layers.items())]


def draw_version(
    seed: int, r: int, *, layers: Mapping[str, tuple[int, int]] = LAYERS, b: float = 0.3, head: bool = False
) -> dict[str, Tensor]:
    """A version of rank r; `b` is the size of B, 0 before the first round."""
    dice, found = torch.Generator().manual_seed(seed), {}
    for pair in pairs(layers, r):
        found[pair.a] = torch.randn(r, pair.inputs, generator=dice) / pair.inputs**0.5
        found[pair.b] = b * torch.randn(pair.outputs, r, generator=dice)
    return found | ({HEAD: torch.randn(3, 7, generator=dice)} if head else {})


def draw_update(
    seed: int, version: Mapping[str, Tensor], r: int, rank: int, *, rule: str = "lora_exact", size: float = 0.2
) -> dict[str, Tensor]:
    """What a node of this rank sends: deltas of the trained part alone."""
    dice, found = torch.Generator().manual_seed(1000 + seed), {}
    for name, tensor in version.items():
        if name.endswith("lora_A.weight"):
            shape = (rank, tensor.shape[1])
            if rule == "ffa":
                continue
        elif name.endswith("lora_B.weight"):
            shape = (tensor.shape[0], rank)
        else:
            shape = tuple(tensor.shape)
        found[name] = size * torch.randn(shape, generator=dice)
    return found


def product(version: Mapping[str, Tensor], name: str) -> Tensor:
    """B A of the layer whose A is called `name`, float64."""
    return version[name.replace("lora_A", "lora_B")].double() @ version[name].double()


def dense(version: Mapping[str, Tensor], scaling: float) -> Rows:
    """Everything that a version adds to its base model, as one vector: all layers, then the head."""
    parts = [scaling * product(version, name).reshape(-1) for name in sorted(version) if "lora_A" in name]
    parts += [version[name].double().reshape(-1) for name in sorted(version) if "lora_" not in name]
    return torch.cat(parts).numpy()


def trained_on(version: Mapping[str, Tensor], delta: Mapping[str, Tensor], r: int) -> dict[str, Tensor]:
    """The node's own version after training, float64: the version and its delta, where that has something."""
    found = {name: tensor.double().clone() for name, tensor in version.items()}
    for name, tensor in delta.items():
        if "lora_A" in name:
            start = found[name].shape[0] - r
            found[name][start : start + len(tensor)] += tensor.double()
        elif "lora_B" in name:
            start = found[name].shape[1] - r
            found[name][:, start : start + tensor.shape[1]] += tensor.double()
        else:
            found[name] += tensor.double()
    return found


class Round:
    """Updates on disk; node i holds update i. A folder of its own, gone with `close`."""

    def __init__(
        self,
        version: Mapping[str, Tensor],
        updates: Sequence[Mapping[str, Tensor]],
        *,
        lora: LoraSpec,
        counts: Sequence[int] = (),
    ) -> None:
        self.version, self.updates, self.lora = dict(version), list(updates), lora
        self._folder = tempfile.TemporaryDirectory(prefix="potluck-adapters-")
        folder = Path(self._folder.name)
        self.base = folder / "base"
        self.base.write_bytes(to_bytes(version))
        self.contributions = []
        for i, update in enumerate(updates):
            path = folder / f"{i:03d}"
            path.write_bytes(pack_update(update))
            count = counts[i] if counts else 10
            self.contributions.append(Contribution(f"node-{i:03d}", f"up-{i:03d}", path, count, 1))

    def __enter__(self) -> Round:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    @property
    def local(self) -> list[dict[str, Tensor]]:
        """Every node's own version after training."""
        return [trained_on(self.version, update, self.lora.r) for update in self.updates]

    @property
    def effective(self) -> Rows:
        """Every node's change of the model, dense, [n, D]."""
        before = dense({name: t.double() for name, t in self.version.items()}, self.lora.scaling)
        return np.array([dense(own, self.lora.scaling) - before for own in self.local])

    def held_by(self, order: Sequence[int]) -> list[Contribution]:
        """The same updates at other nodes: node i holds update order[i]."""
        return [
            replace(self.contributions[row], node_id=f"node-{i:03d}", upload_id=f"up-{i:03d}")
            for i, row in enumerate(order)
        ]

    def run(
        self,
        rule: str,
        contributions: Sequence[Contribution] | None = None,
        *,
        seed: int = 0,
        state: dict[str, Tensor] | None = None,
        **spec: Any,
    ) -> Aggregate:
        return aggregate(
            AggregationSpec.model_validate({"rule": rule} | spec),
            self.base,
            self.contributions if contributions is None else contributions,
            adapters=self.lora,
            seed=seed,
            state=state,
        )


def small_round(
    n: int = 4,
    *,
    r: int = 4,
    ranks: Sequence[int] = (),
    seed: int = 0,
    rule: str = "lora_exact",
    counts: Sequence[int] = (),
    head: bool = False,
    b: float = 0.3,
    size: float = 0.2,
) -> Round:
    """n updates of one version, of these ranks (default: all r)."""
    version = draw_version(seed, r, b=b, head=head)
    own = ranks or [r] * n
    updates = [draw_update(seed * 100 + i, version, r, rank, rule=rule, size=size) for i, rank in enumerate(own)]
    return Round(version, updates, lora=LoraSpec(r=r, alpha=2.0 * r), counts=counts)


def mean_of_products(small: Round, weights: Sequence[float]) -> dict[str, Tensor]:
    """Σ v_i B_i A_i + (1 - Σ v_i) B A of each layer, float64, by the name of its A."""
    left = 1 - sum(weights)
    return {
        name: sum((v * product(own, name) for v, own in zip(weights, small.local, strict=True)), torch.zeros(1))
        + left * product(small.version, name)
        for name in sorted(small.version)
        if "lora_A" in name
    }


def truncated(matrix: Tensor, rank: int) -> Tensor:
    """The best approximation of this rank, by a dense SVD."""
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ vh[:rank]


def gap(one: Tensor, other: Tensor) -> float:
    """‖one - other‖ / ‖other‖."""
    return float((one.double() - other.double()).norm() / other.double().norm())
