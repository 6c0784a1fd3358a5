"""Base models in memory: read once, then shared by every adapter model of the process."""

from __future__ import annotations

import copy
import threading
from pathlib import Path
from typing import Any

import torch
from torch import nn

from federation.errors import ErrorCode, Refused
from federation.model_spec import ModelSpec
from resources.models.language.configuration import HEADS, auto_class, read_config

_Key = tuple[Any, ...]
_lock = threading.Lock()
_kept: dict[_Key, nn.Module] = {}


def base_model(model: ModelSpec, folder: Path, num_labels: int | None = None, *, beside_others: bool = False) -> Any:
    """The base model with frozen weights, in eval mode: modules of its own, tensors that all such models share.

    The weights last used stay in memory, so that a round need not read what the round before has read.

    Args:
        beside_others: other threads compute meanwhile. While transformers reads a bfloat16 model, that is torch's
            default type in the whole process; so it is read as float32, and narrowed: the same bits, twice the memory
            until it is done.

    Raises:
        Refused: BAD_DATA when the files do not hold all weights of the model.
        Unbuildable: as for `configuration.read_config`.
    """
    key = _key(model, folder, num_labels)
    with _lock:
        if key not in _kept:
            _kept.clear()
            _kept[key] = _read(model, folder, num_labels, torch.float32 if beside_others else _dtype(model))
        base = _kept[key]
    shared = {id(tensor): tensor for tensor in [*base.parameters(), *base.buffers()]}
    return copy.deepcopy(base, shared)


def random_base(model: ModelSpec, folder: Path, num_labels: int | None = None) -> Any:
    """A base of the same shapes and dtype, with weights that transformers draws: for whoever wants to know its weight.

    Refusals as for `configuration.read_config`.
    """
    config = read_config(model, folder, num_labels)
    return auto_class(model).from_config(config, dtype=_dtype(model), trust_remote_code=False).requires_grad_(False)


def forget() -> None:
    """Let go of the weights kept in memory."""
    with _lock:
        _kept.clear()


def _key(model: ModelSpec, folder: Path, num_labels: int | None) -> _Key:
    files = [folder / model.gguf] if model.gguf else [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    state = tuple((str(file.resolve()), file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    return state, model.gguf, model.task, _dtype(model), num_labels


def _dtype(model: ModelSpec) -> torch.dtype:
    return torch.bfloat16 if model.dtype == "bfloat16" else torch.float32


def _read(model: ModelSpec, folder: Path, num_labels: int | None, dtype: torch.dtype) -> nn.Module:
    from transformers import GenerationConfig

    where: dict[str, Any] = {"use_safetensors": True} if model.gguf is None else {"gguf_file": model.gguf}
    try:
        network, found = auto_class(model).from_pretrained(
            folder,
            config=read_config(model, folder, num_labels),
            dtype=dtype,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            **where,
        )
    except Refused:
        raise
    except Exception as error:  # transformers and safetensors raise many kinds
        raise _unreadable(folder, f"{type(error).__name__}: {str(error)[:200]}") from error
    missing = sorted(name for name in found["missing_keys"] if name.partition(".")[0] not in HEADS)
    if missing:
        raise _unreadable(folder, f"{len(missing)} weights are missing, {missing[0]} among them")
    ends = network.generation_config.eos_token_id if network.can_generate() else None
    network.generation_config = GenerationConfig(eos_token_id=ends)  # without a repository's taste in sampling
    if model.gguf is not None:  # its weights are plain tensors by now, which may be written as such
        network.hf_quantizer = None
        del network.config.quantization_config
    network.config.dtype = _dtype(model)
    for weight in network.parameters():  # not the frequencies of positions, which stay float32
        weight.data = weight.data.to(_dtype(model))
    frozen: nn.Module = network.requires_grad_(False).eval()
    return frozen


def _unreadable(folder: Path, why: str) -> Refused:
    return Refused(
        ErrorCode.BAD_DATA,
        f"the base model in {folder.name} cannot be loaded: {why}.",
        "fetch the model again, or correct model.task",
    )
