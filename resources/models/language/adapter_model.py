"""A pretrained model with adapters (Hu et al. 2021, arXiv:2106.09685): what a node trains and a server evaluates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from federation.errors import ErrorCode, Refused
from federation.model_spec import LoraSpec, ModelSpec
from federation.weights import Tensors
from resources.models.language.configuration import is_encoder
from resources.models.language.loaded import base_model
from resources.models.language.skeleton import PREFIX, head, linear_layers, targets

TRAINED, FROZEN = "trained", "frozen"


class AdapterModel(nn.Module):
    """Token ids int64 [n, T], padded on the right, to logits [n, T, vocabulary], or [n, labels] of a classifier.

    Of its state, only the trained part shows: names as in the adapter file, float32. The base is frozen, shared with
    other models of the process, and never leaves it.

    Args:
        network: the base with adapters inside.
        trained: the trained part, by name: parameters of `network`.
    """

    def __init__(self, network: Any, trained: Mapping[str, nn.Parameter]) -> None:
        super().__init__()
        self.network = network
        self.start = {name: value.detach().clone() for name, value in trained.items()}
        self._trained = dict(trained)

    def forward(self, ids: Tensor) -> Tensor:
        # Right of a text, padding is out of a decoder's sight; an encoder has to be told.
        mask = ids != self.network.config.pad_token_id if is_encoder(self.network.config) else None
        logits: Tensor = self.network(input_ids=ids, attention_mask=mask, use_cache=False).logits
        return logits

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """The trained part."""
        for name, value in self._trained.items():
            yield (f"{prefix}.{name}" if prefix else name), value

    def state_dict(self, *_: Any, **__: Any) -> dict[str, Tensor]:  # type: ignore[override]
        """The trained part: live tensors, not copies."""
        return {name: value.detach() for name, value in self._trained.items()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Take the trained part from `state`, whose values are copied.

        Raises:
            RuntimeError: it has other names or shapes.
        """
        if state.keys() != self._trained.keys() or any(state[n].shape != v.shape for n, v in self._trained.items()):
            raise RuntimeError("the state has other names or shapes than the trained part of this model")
        with torch.no_grad():
            for name, value in self._trained.items():
                value.copy_(state[name])
        return nn.modules.module._IncompatibleKeys([], [])


def load_adapter_model(
    model: ModelSpec,
    folder: Path,
    weights: Tensors,
    *,
    rule: str,
    rank: int | None = None,
    gradient_checkpointing: bool = False,
    num_labels: int | None = None,
) -> AdapterModel:
    """The base in `folder` with the adapters `weights`, of which the rule's part is trained.

    What is trained of a layer's R ranks: the leading `rank`; under lora_stack the first `rank` of the trailing r, the
    ones before being the mean so far; under ffa of those B alone. The rest takes part in every forward pass, frozen.
    Dropout is of the trained adapters' inputs, in training.

    Args:
        folder: what `bases.fetch` gave.
        weights: the global model: an adapter file's tensors; copied.
        rule: the task's aggregation rule.
        rank: how many ranks are trained, 1 to r; None: r.
        gradient_checkpointing: compute activations again in the backward pass instead of keeping them.
        num_labels: classes, for sequence classification.

    Raises:
        Refused: INVALID_ARGUMENT for an impossible rank; BAD_UPDATE for weights that are not this model's adapters;
            BAD_DATA when the base cannot be loaded.
    """
    network = base_model(model, folder, num_labels)
    return adapted(network, model, weights, rule=rule, rank=rank, gradient_checkpointing=gradient_checkpointing)


def adapted(
    network: Any, model: ModelSpec, weights: Tensors, *, rule: str, rank: int | None, gradient_checkpointing: bool
) -> AdapterModel:
    """`network`, which nothing else uses, with the adapters `weights`; see `load_adapter_model`."""
    lora = model.adapters
    rank = lora.r if rank is None else rank
    if not 1 <= rank <= lora.r:
        raise Refused(
            ErrorCode.INVALID_ARGUMENT, f"rank {rank} is not within the task's 1 to {lora.r}.", "give a rank in it"
        )
    pairs = factor_pairs(network, weights)
    if odd := pairs.keys() ^ targets(model, network).keys():
        raise _foreign(
            f"{min(odd)} {'has an adapter, which the task has not' if min(odd) in pairs else 'has no adapter'}"
        )
    ranks = {name: a.shape[0] for name, (a, _) in pairs.items()}
    if min(ranks.values()) < lora.r:
        raise _foreign(f"a layer's factors have rank {min(ranks.values())}, where the task's have {lora.r}")
    trained: dict[str, nn.Parameter] = {}
    begin = {name: all_ - lora.r if rule == "lora_stack" else 0 for name, all_ in ranks.items()}
    inject(network, dict.fromkeys(pairs, rank), {name: r - rank for name, r in ranks.items() if r > rank}, lora)
    for name, (a, b) in pairs.items():
        module = network.get_submodule(name)
        mine = torch.zeros(ranks[name], dtype=torch.bool)
        mine[begin[name] : begin[name] + rank] = True
        _fill(module, FROZEN, a[~mine], b[:, ~mine], lora.scaling, trains=())
        _fill(module, TRAINED, a[mine], b[:, mine], lora.scaling, trains=("B",) if rule == "ffa" else ("A", "B"))
        if rule != "ffa":
            trained[f"{PREFIX}{name}.lora_A.weight"] = module.lora_A[TRAINED].weight
        trained[f"{PREFIX}{name}.lora_B.weight"] = module.lora_B[TRAINED].weight
    for name in head(network):
        trained[PREFIX + name] = put(network, name, _own(weights[PREFIX + name]))
    if gradient_checkpointing:
        network.activation_checkpointing_enable({"use_reentrant": False})
    return AdapterModel(network, trained)


def factor_pairs(network: Any, weights: Tensors) -> dict[str, tuple[Tensor, Tensor]]:
    """A [R, inputs] and B [outputs, R] of every adapted layer of `network`, by the layer's name.

    Raises:
        Refused: BAD_UPDATE when `weights` are not adapters, and head, of just this network.
    """
    ends, own, layers = (".lora_A.weight", ".lora_B.weight"), head(network), linear_layers(network)
    names = [name.removeprefix(PREFIX).removesuffix(ends[0]) for name in weights if name.endswith(ends[0])]
    wanted = {f"{PREFIX}{name}{end}" for name in names for end in ends} | {PREFIX + name for name in own}
    if wanted != set(weights):
        odd = sorted(wanted ^ set(weights))[0]
        raise _foreign(f"tensor {odd} is {'missing' if odd in wanted else 'none of an adapter for this model'}")
    for name, value in own.items():
        if weights[PREFIX + name].shape != value.shape:
            raise _foreign(f"{name} is {list(weights[PREFIX + name].shape)} where it should be {list(value.shape)}")
    pairs = {name: (weights[f"{PREFIX}{name}{ends[0]}"], weights[f"{PREFIX}{name}{ends[1]}"]) for name in names}
    for name, (a, b) in pairs.items():
        layer = layers.get(name)
        if layer is None:
            raise _foreign(f"the base has no linear layer {name}")
        if a.ndim != 2 or a.shape[1] != layer.inputs or b.shape != (layer.outputs, a.shape[0]):
            raise _foreign(f"the factors of {name} are {list(a.shape)} and {list(b.shape)}")
    return pairs


def put(network: Any, name: str, value: Tensor) -> nn.Parameter:
    """Give `network` alone, not those it shares its base with, another parameter `name`."""
    path, _, last = name.rpartition(".")
    parameter = nn.Parameter(value)
    setattr(network.get_submodule(path), last, parameter)
    return parameter


def inject(network: Any, trained: Mapping[str, int], frozen: Mapping[str, int], lora: LoraSpec) -> None:
    """Empty adapters of these ranks, on the meta device: nothing is drawn from torch's global generator."""
    from peft import LoraConfig, LoraModel

    layers = linear_layers(network)

    def config(ranks: Mapping[str, int], dropout: float) -> Any:
        most = max(ranks.values())
        return LoraConfig(
            r=most,
            rank_pattern={name: rank for name, rank in ranks.items() if rank != most},
            target_modules=list(ranks),
            lora_dropout=dropout,
            fan_in_fan_out=all(layers[name].transposed for name in ranks),
        )

    configs = {TRAINED: config(trained, lora.dropout)} | ({FROZEN: config(frozen, 0.0)} if frozen else {})
    tuner = LoraModel(network, configs, TRAINED, low_cpu_mem_usage=True)
    if frozen:
        tuner.inject_adapter(network, FROZEN, low_cpu_mem_usage=True)
    tuner.set_adapter(list(configs))


def _fill(module: Any, adapter: str, a: Tensor, b: Tensor, scaling: float, trains: tuple[str, ...]) -> None:
    if adapter not in module.lora_A:
        return
    module.scaling[adapter] = scaling
    module.lora_A[adapter].weight = nn.Parameter(_own(a), requires_grad="A" in trains)
    module.lora_B[adapter].weight = nn.Parameter(_own(b), requires_grad="B" in trains)


def _own(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape).copy_(tensor)


def _foreign(what: str) -> Refused:
    return Refused(
        ErrorCode.BAD_UPDATE, f"these are no adapters for this base model: {what}.", "load the task's own global model"
    )
