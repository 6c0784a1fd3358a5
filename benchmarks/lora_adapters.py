"""Made-up adapters of a real model's shapes, in files: a version, and updates that nodes might have sent."""

from __future__ import annotations

from pathlib import Path

import torch

from federation.adapters import Pair
from federation.aggregation.contributions import Contribution
from federation.model_spec import LoraSpec
from federation.weights import Tensors, pack_update, to_bytes

LORA = LoraSpec(r=8, alpha=16)
SMOLLM2_135M = (30, {"q_proj": (576, 576), "v_proj": (192, 576)})
"""Layers, and what `auto` adapts in each: outputs, inputs."""
STEP = 0.01
"""What twenty steps of Adam at 1e-3 change a value by, about; A's own are within ±0.042."""
_ALIKE = 0.5
"""How much of a step all nodes have in common."""


def pairs(layers: int = SMOLLM2_135M[0]) -> list[Pair]:
    """Of every adapted module."""
    return [
        Pair.named(f"model.layers.{layer}.self_attn.{name}", rank=LORA.r, inputs=inputs, outputs=outputs)
        for layer in range(layers)
        for name, (outputs, inputs) in SMOLLM2_135M[1].items()
    ]


def draw(folder: Path, count: int, layers: int = SMOLLM2_135M[0]) -> list[Contribution]:
    """Writes `base`, a version 0, and so many updates `0000`, … of its first round; their counts of examples differ."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return STEP * torch.randn(shape, generator=generator)

    def step() -> dict[str, torch.Tensor]:
        return {name: normal(*tensor.shape) for name, tensor in base.items()}

    base: dict[str, torch.Tensor] = {}
    for pair in pairs(layers):
        base[pair.a] = (2 * torch.rand(pair.rank, pair.inputs, generator=generator) - 1) / pair.inputs**0.5
        base[pair.b] = torch.zeros(pair.outputs, pair.rank)
    (folder / "base").write_bytes(to_bytes(base))
    common, found = step(), []
    for number in range(count):
        path = folder / f"{number:04d}"
        path.write_bytes(pack_update(_mixed(common, step())))
        found.append(Contribution(f"node-{number:04d}", "u", path, 100 + 20 * (number % 4), 20))
    return found


def shares(contributions: list[Contribution]) -> list[float]:
    """Their weights, by examples."""
    total = sum(each.num_examples for each in contributions)
    return [each.num_examples / total for each in contributions]


def _mixed(common: Tensors, own: Tensors) -> dict[str, torch.Tensor]:
    return {name: _ALIKE * common[name] + (1 - _ALIKE) * tensor for name, tensor in own.items()}
