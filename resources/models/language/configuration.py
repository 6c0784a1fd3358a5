"""A pretrained model's configuration, and the model it describes without any memory: shapes on the meta device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from federation.model_spec import ModelSpec
from resources.models.card import Unbuildable
from resources.models.language.extra import need_llm

HEADS = ("score", "classifier")
"""What transformers calls the layer, or layers, that turn a text's last state into classes."""


def read_config(model: ModelSpec, folder: Path, num_labels: int | None = None) -> Any:
    """The configuration in `folder`, for the model's task, as an object of transformers.

    Dropout of the base's own is off: its weights are frozen, and it would draw from torch's global generator.

    Args:
        num_labels: classes, for sequence classification.

    Raises:
        Unbuildable: transformers knows no such model, or the model cannot do the task.
    """
    need_llm()
    from transformers import AutoConfig

    where = {} if model.gguf is None else {"gguf_file": model.gguf}
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True, **where)
    except Exception as error:  # transformers raises whatever its many readers raise
        raise _unfit(model, f"cannot be read by transformers: {str(error)[:200]}") from error
    for name, value in list(config.to_dict().items()):
        if ("dropout" in name or name.endswith("_pdrop")) and isinstance(value, float):
            setattr(config, name, 0.0)
    if model.classifies:
        config.num_labels = num_labels or 2
    else:
        _check_causal(model, config)
    return config


def skeleton(model: ModelSpec, folder: Path, num_labels: int | None = None) -> Any:
    """The model without weights, on the meta device. Refusals as for `read_config`."""
    config = read_config(model, folder, num_labels)
    try:
        with torch.device("meta"):
            return auto_class(model).from_config(config, trust_remote_code=False)
    except Exception as error:
        raise _unfit(model, f"cannot be built by transformers: {str(error)[:200]}") from error


def auto_class(model: ModelSpec) -> Any:
    """The class of transformers that builds models for the task."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    return AutoModelForSequenceClassification if model.classifies else AutoModelForCausalLM


def _check_causal(model: ModelSpec, config: Any) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

    kind = config.model_type
    if getattr(config, "is_encoder_decoder", False):
        raise _unfit(model, f"is an encoder with a decoder ({kind}), which does not continue texts")
    masked = type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)
    if masked or type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise _unfit(model, f"is an encoder ({kind}), which does not continue texts")


def _unfit(model: ModelSpec, what: str) -> Unbuildable:
    return Unbuildable(
        "model.id", f"{model.id} {what}", "choose a causal language model, such as hf:HuggingFaceTB/SmolLM2-135M"
    )
