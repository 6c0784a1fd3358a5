"""A trained adapter as others read it: a folder for PEFT with a model card, or a model of its own for transformers."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from federation.base_pin import BasePin
from federation.errors import ErrorCode, Refused
from federation.model_spec import HF, ModelSpec
from federation.weights import Tensors
from resources.models.building import BUILDING
from resources.models.language.adapter_model import factor_pairs, put
from resources.models.language.configuration import read_config
from resources.models.language.loaded import base_model
from resources.models.language.skeleton import PREFIX, head, linear_layers
from resources.models.language.tokenizers import load_tokenizer

_GENERATION = "generation_config.json"


def adapter_config(model: ModelSpec, weights: Tensors, pin: BasePin) -> dict[str, Any]:
    """What PEFT's `adapter_config.json` has to hold for `weights`: the ranks are theirs, the scaling is the task's.

    Args:
        weights: the adapter file's tensors; layers may differ in rank.
        pin: of the base.
    """
    end = ".lora_A.weight"
    ranks = {
        name.removeprefix(PREFIX).removesuffix(end): tensor.shape[0]
        for name, tensor in sorted(weights.items())
        if name.endswith(end)
    }
    usual, scaling = max(ranks.values()), model.adapters.scaling
    others = {name: rank for name, rank in ranks.items() if rank != usual}
    heads = sorted({name.removeprefix(PREFIX).partition(".")[0] for name in weights if ".lora_" not in name})
    return {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS" if model.classifies else "CAUSAL_LM",
        "base_model_name_or_path": model.id.removeprefix(HF),
        "revision": pin.revision,
        "r": usual,
        "lora_alpha": scaling * usual,
        "lora_dropout": model.adapters.dropout,
        "target_modules": list(ranks),
        "rank_pattern": others,
        "alpha_pattern": {name: scaling * rank for name, rank in others.items()},
        "modules_to_save": heads or None,
        "fan_in_fan_out": pin.fan_in_fan_out,
        "use_rslora": False,  # the scaling is in lora_alpha already
        "bias": "none",
        "inference_mode": True,
    }


def merge(folder: Path, model: ModelSpec, base: Path, weights: Tensors) -> list[Path]:
    """Write base and adapter as one ordinary model for transformers, in the base's dtype. Returns its files.

    The weights are W + scaling · B A.
    All of it is written, or nothing.

    Args:
        folder: to be made; it may exist if it is empty.
        base: a folder with the base's configuration, tokenizer and weights (`bases.fetch`).

    Raises:
        Refused: INVALID_ARGUMENT when the folder is there and not empty; BAD_UPDATE when `weights` are not adapters for
            this base.
    """
    merged = merged_model(model, base, weights)
    merged.config = read_config(model, base, _labels(weights), dropout=True)

    def write(into: Path) -> None:
        merged.save_pretrained(into)
        load_tokenizer(base, model.gguf).save_pretrained(into)
        if model.gguf is None and (base / _GENERATION).is_file():
            shutil.copyfile(base / _GENERATION, into / _GENERATION)

    return _whole(folder, write)


def merged_model(model: ModelSpec, base: Path, weights: Tensors) -> Any:
    """The base with the adapter added to its weights, as an ordinary model of transformers, frozen.

    Refusals as for `load_adapter_model`.
    """
    with BUILDING:
        return _merged(base_model(model, base, _labels(weights)), model, weights)


def _merged(network: Any, model: ModelSpec, weights: Tensors) -> Any:
    pairs = factor_pairs(network, weights)
    for name, layer in linear_layers(network).items():
        if name in pairs:
            a, b = pairs[name]
            change = model.adapters.scaling * (b.float() @ a.float())
            own = network.get_submodule(name).weight
            put(network, f"{name}.weight", (own.float() + (change.T if layer.transposed else change)).to(own.dtype))
    for name, own in head(network).items():
        put(network, name, weights[PREFIX + name].to(own.dtype))
    return network.requires_grad_(False)


def _labels(weights: Tensors) -> int | None:
    """Classes of the head, if there is one."""
    sizes = [tensor.shape[0] for name, tensor in sorted(weights.items()) if ".lora_" not in name and tensor.ndim == 2]
    return sizes[-1] if sizes else None


def _whole(folder: Path, write: Callable[[Path], None]) -> list[Path]:
    """Make `folder` in one step: what `write` puts into a folder beside it becomes it, or nothing does."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused(
            ErrorCode.INVALID_ARGUMENT, f"{folder} is there already and not empty.", "name a new or an empty folder"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        write(beside)
        for file in beside.iterdir():
            file.chmod(0o644)
        beside.chmod(0o755)
        os.replace(beside, folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return sorted(folder.iterdir())
