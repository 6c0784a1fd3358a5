"""A pretrained model's configuration, and the model it describes without any memory: shapes on the meta device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from federation.model_spec import ModelSpec
from resources.models.card import Unbuildable
from resources.models.language.extra import need_llm
from resources.models.language.tokenizers import load_tokenizer

HEADS = ("score", "classifier")
"""What transformers calls the layer, or layers, that turn a text's last state into classes."""


def read_config(model: ModelSpec, folder: Path, num_labels: int | None = None, *, dropout: bool = False) -> Any:
    """The configuration in `folder`, for the model's task, as an object of transformers.

    Args:
        num_labels: classes, for sequence classification.
        dropout: leave the base's own dropout on. Its weights are frozen, and it draws from torch's global generator.

    Raises:
        Unbuildable: transformers knows no such model, or the model cannot do the task.
    """
    need_llm()
    from transformers import AutoConfig

    if model.classifies and num_labels is None:
        raise ValueError("sequence classification without num_labels")
    where = {} if model.gguf is None else {"gguf_file": model.gguf}
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True, **where)
    except Exception as error:  # transformers raises whatever its many readers raise
        raise _unfit(model, f"cannot be read by transformers: {str(error)[:200]}") from error
    config.dtype = torch.float32  # else building it would change torch's default dtype, in all threads
    for name, value in list(config.to_dict().items()):
        if not dropout and ("dropout" in name or name.endswith("_pdrop")) and isinstance(value, float):
            setattr(config, name, 0.0)
    if model.classifies:
        config.num_labels = num_labels
        config.pad_token_id = load_tokenizer(folder, model.gguf).pad_token_id
    elif getattr(config, "is_encoder_decoder", False) or not _continues_texts(config):
        raise _unfit(model, f"is of a kind that does not continue texts ({config.model_type})")
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


def is_encoder(config: Any) -> bool:
    """Whether each token sees those after it, too, as in BERT."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING

    return type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)


def _continues_texts(config: Any) -> bool:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    return type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and not is_encoder(config)


def _unfit(model: ModelSpec, what: str) -> Unbuildable:
    return Unbuildable(
        "model.id", f"{model.id} {what}", "choose a causal language model, such as hf:HuggingFaceTB/SmolLM2-135M"
    )
