"""What training a pretrained model's adapters costs a node, counted on the meta device: nothing is allocated.

Held against real steps of SmolLM2-135M and of the tests' tiny Llama (64 to 2,048 tokens a step, float32 and bfloat16,
with checkpointing and without), the estimate was 0.7 to 1.3 times the peak above the libraries' own memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from federation.model_spec import ModelSpec
from federation.weights import layout_bytes
from resources.models.language.adapter_model import inject
from resources.models.language.configuration import skeleton
from resources.models.language.skeleton import adapter_layout, linear_layers, targets

_FLOAT = 4
_PROBE = 61  # tokens of the counted pass: a prime, so that no other size of a model is mistaken for it
_LOSS = 4  # float32 values a logit, at the peak: the shifted copy, its log-softmax, and the gradients of both
_HELD = 2  # of what autograd keeps: glibc's allocator holds about twice as much, in pieces too small to use again


@dataclass(frozen=True)
class LanguageCost:
    """An estimate for one node and one step.

    Attributes:
        base_parameters: frozen values.
        adapter_parameters: values of the adapter file.
        base_bytes: the base in memory, in its dtype.
        adapter_bytes: the adapter file, float32: what travels each way in a round.
        training_bytes: adapters received, trained, their gradients and the optimiser's state.
        activation_bytes: what the backward pass needs of the forward pass, and logits with their loss.
        flops_per_token: of a training step: forward 2 a weight (Kaplan et al. 2020, arXiv:2001.08361, §2.1), the same
            backward since the base has no gradient of its own, and once more forward with checkpointing; attention's
            own products, which grow with the length, left out.
    """

    base_parameters: int
    adapter_parameters: int
    base_bytes: int
    adapter_bytes: int
    training_bytes: int
    activation_bytes: int
    flops_per_token: int

    @property
    def memory_bytes(self) -> int:
        """Peak, without the some 500 MB of PyTorch and transformers themselves."""
        return self.base_bytes + self.training_bytes + self.activation_bytes


def cost(
    model: ModelSpec,
    folder: Path,
    *,
    length: int,
    rows: int,
    gradient_checkpointing: bool = False,
    optimizer_states: int = 2,
    num_labels: int | None = None,
) -> LanguageCost:
    """The cost of a step on `rows` texts of `length` tokens, from the configuration in `folder`.

    Args:
        rows: in one forward pass: the batch divided by the accumulation.
        optimizer_states: tensors that the optimiser keeps a parameter: 2 for Adam, 1 for momentum.
        num_labels: classes, for sequence classification.

    Raises:
        Unbuildable: as for `skeleton.adapter_layout`.
    """
    layout = adapter_layout(model, folder, num_labels)
    network = skeleton(model, folder, num_labels)
    layers = linear_layers(network)
    base_parameters = sum(value.numel() for value in network.parameters())
    size = 2 if model.dtype == "bfloat16" else _FLOAT
    output = network.get_output_embeddings()
    width = num_labels or 0 if output is None else output.weight.shape[0]
    products = sum(layer.inputs * layer.outputs for layer in layers.values())
    products += 0 if output is None else output.weight.numel()
    adapter_bytes = layout_bytes(layout)
    products += adapter_bytes // _FLOAT
    kept = bytes_kept(model, network)
    tokens = rows * length
    logits = tokens * width if output is not None else rows * width
    if gradient_checkpointing:
        depth = network.config.get_text_config().num_hidden_layers
        states = depth * network.config.get_text_config().hidden_size * _FLOAT
        kept = states + kept / depth
    return LanguageCost(
        base_parameters=base_parameters,
        adapter_parameters=adapter_bytes // _FLOAT,
        base_bytes=size * base_parameters,
        adapter_bytes=adapter_bytes,
        training_bytes=(3 + optimizer_states) * adapter_bytes,
        activation_bytes=round(_HELD * kept * tokens) + (_LOSS * _FLOAT + size) * logits,
        flops_per_token=(6 if gradient_checkpointing else 4) * products,
    )


def bytes_kept(model: ModelSpec, network: Any) -> float:
    """Bytes a token that autograd keeps, but for attention's square matrices, which no kernel in use writes out.

    Args:
        network: `configuration.skeleton`, which gets the adapters.
    """
    if model.dtype == "bfloat16":
        network.to(torch.bfloat16)
    inject(network.requires_grad_(False), dict.fromkeys(targets(model, network), model.adapters.r), {}, model.adapters)
    own = {value.untyped_storage()._cdata for value in [*network.parameters(), *network.buffers()]}
    kept: dict[int, tuple[Any, int]] = {}

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage._cdata not in own and tuple(value.shape[-2:]) != (_PROBE, _PROBE):
            kept[storage._cdata] = (storage, storage.nbytes())
        return value

    with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        ids = torch.zeros((1, _PROBE), dtype=torch.int64)
        mask = torch.zeros((1, 1, _PROBE, _PROBE), dtype=next(network.parameters()).dtype)
        body = network.get_submodule(network.base_model_prefix).train()
        out = body(input_ids=ids, attention_mask=mask, use_cache=False)
    del out
    return sum(size for _, size in kept.values()) / _PROBE
