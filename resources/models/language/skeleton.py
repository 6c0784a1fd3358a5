"""What adapters a pretrained model gets: names and shapes from its configuration alone, and their first values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from federation.model_spec import ModelSpec
from federation.spec import derive_seed
from federation.weights import Layout, TensorInfo
from resources.models.card import Unbuildable
from resources.models.language.configuration import HEADS, skeleton

PREFIX = "base_model.model."
"""What PEFT puts before a module's name in its files."""
_ATTENTION = frozenset(
    {"q_proj", "k_proj", "v_proj", "o_proj", "out_proj", "qkv_proj", "query_key_value", "Wqkv", "c_attn", "q", "k", "v"}
    | {"o", "query", "key", "value", "dense", "wq", "wk", "wv", "wo"}
)
_INSIDE = re.compile(r"(^|[._])(attn|attention|self_attn|self_attention|mixer)([._]|$)")


@dataclass(frozen=True)
class Linear:
    """A linear layer; `transposed`: its weight is [inputs, outputs], as in GPT-2 (PEFT's fan_in_fan_out)."""

    inputs: int
    outputs: int
    transposed: bool = False


def linear_layers(network: nn.Module) -> dict[str, Linear]:
    """Linear layers by name that an adapter may change: not the output layer, nor a classifier's head."""
    from transformers.pytorch_utils import Conv1D

    get_output = getattr(network, "get_output_embeddings", lambda: None)
    output = get_output()
    found: dict[str, Linear] = {}
    for name, module in network.named_modules():
        if module is output or name.partition(".")[0] in HEADS:
            continue
        if isinstance(module, nn.Linear):
            found[name] = Linear(module.in_features, module.out_features)
        elif isinstance(module, Conv1D):
            found[name] = Linear(module.weight.shape[0], module.weight.shape[1], transposed=True)
    return found


def targets(model: ModelSpec, network: nn.Module) -> dict[str, Linear]:
    """The layers that get an adapter, by name.

    `auto` is what PEFT chooses for the architecture, where it knows it: most often the queries' and values'
    projections; else the attention's projections by their usual names.

    Raises:
        Unbuildable: a name that is no linear layer's, or a rank above what a layer has.
    """
    layers = linear_layers(network)
    wanted = model.adapters.target_modules
    chosen = _automatic(network, layers) if wanted == "auto" else _named(wanted, layers)
    for name, layer in chosen.items():
        most = min(layer.inputs, layer.outputs)
        if model.adapters.r > most:
            raise Unbuildable(
                "model.lora.r",
                f"rank {model.adapters.r} is more than {name} [{layer.outputs}, {layer.inputs}] has",
                f"give at most {most}, or leave that layer out of model.lora.target_modules",
            )
    return chosen


def head(network: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters of a classifier's head, by name; none for a model that continues texts."""
    return {name: value for name, value in network.named_parameters() if name.partition(".")[0] in HEADS}


def adapter_layout(model: ModelSpec, folder: Path, num_labels: int | None = None) -> Layout:
    """Names and shapes of the adapter file, as PEFT writes them, all float32. The weights are not looked at.

    Args:
        folder: with the model's configuration (`bases.describe`).
        num_labels: classes, for sequence classification: the head is part of the file.

    Raises:
        Unbuildable: a model that transformers does not know or that cannot do the task, or adapters it cannot have.
    """
    network = skeleton(model, folder, num_labels)
    rank = model.adapters.r
    shapes: dict[str, tuple[int, ...]] = {}
    for name, layer in targets(model, network).items():
        shapes[f"{PREFIX}{name}.lora_A.weight"] = (rank, layer.inputs)
        shapes[f"{PREFIX}{name}.lora_B.weight"] = (layer.outputs, rank)
    shapes |= {PREFIX + name: tuple(value.shape) for name, value in head(network).items()}
    return {name: TensorInfo("F32", shape) for name, shape in shapes.items()}


def initial_adapter(model: ModelSpec, folder: Path, seed: int, num_labels: int | None = None) -> dict[str, Tensor]:
    """Version 0 of the adapter: A as PEFT draws it, B zero, so that the model begins as its base.

    A is Kaiming-uniform with a = sqrt(5), that is uniform in ±1/sqrt(inputs); a head's weight is normal with the
    standard deviation 0.02 of BERT and GPT, its bias zero. Each tensor has a generator of its own. Refusals as for
    `adapter_layout`.
    """
    return draw(adapter_layout(model, folder, num_labels), seed)


def draw(layout: Mapping[str, TensorInfo], seed: int) -> dict[str, Tensor]:
    """First values for the tensors of an adapter file; see `initial_adapter`."""
    tensors: dict[str, Tensor] = {}
    for name, info in layout.items():
        generator = torch.Generator().manual_seed(derive_seed(seed, name))
        values = torch.zeros(info.shape)
        if name.endswith(".lora_A.weight"):
            bound = 1 / math.sqrt(info.shape[1])
            values.uniform_(-bound, bound, generator=generator)
        elif ".lora_" not in name and values.ndim == 2:
            values.normal_(0, 0.02, generator=generator)
        tensors[name] = values
    return tensors


def _automatic(network: nn.Module, layers: Mapping[str, Linear]) -> dict[str, Linear]:
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    kind = getattr(network.config, "model_type", "")
    known: Any = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(kind, ())
    if isinstance(known, str):
        return {name: layer for name, layer in layers.items() if re.fullmatch(known, name)}
    ends = set(known)
    found = {name: layer for name, layer in layers.items() if name.rpartition(".")[2] in ends}
    if not found:
        found = {
            name: layer
            for name, layer in layers.items()
            if name.rpartition(".")[2] in _ATTENTION and _INSIDE.search(name.rpartition(".")[0])
        }
    if not found:
        raise Unbuildable(
            "model.lora.target_modules",
            f"nothing is known of the attention of {kind or 'this model'}",
            f"name layers; there are {_ends(layers)}",
        )
    return found


def _named(wanted: list[str], layers: Mapping[str, Linear]) -> dict[str, Linear]:
    for end in wanted:
        if not any(_matches(name, end) for name in layers):
            raise Unbuildable(
                "model.lora.target_modules", f"there is no linear layer {end}", f"there are {_ends(layers)}"
            )
    return {name: layer for name, layer in layers.items() if any(_matches(name, end) for end in wanted)}


def _matches(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")


def _ends(layers: Mapping[str, Linear]) -> str:
    ends = sorted({name.rpartition(".")[2] for name in layers})
    return ", ".join(ends[:40]) or "none"
