"""Tiny models with random weights, of several families, in folders as transformers writes them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from federation.model_spec import LoraSpec, ModelSpec

TINY_LLAMA = Path(__file__).resolve().parents[2] / "fixtures" / "tiny_llama"
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_SIZES = {"vocab_size": 1024, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


def config_of(family: str, **changes: Any) -> Any:
    """A configuration of the family: two layers, hidden size 32."""
    from transformers import BertConfig, GPT2Config, LlamaConfig, Qwen2Config

    match family:
        case "gpt2":
            sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
            return GPT2Config(**(_SIZES | sizes | changes))
        case "bert":
            sizes = {key: value for key, value in _LLAMA.items() if key != "num_key_value_heads"}
            return BertConfig(**(_SIZES | sizes | changes))
        case "qwen2":
            return Qwen2Config(**(_SIZES | _LLAMA | changes))
        case _:
            return LlamaConfig(**(_SIZES | _LLAMA | changes))


def make(folder: Path, family: str = "llama", *, seed: int = 0, shard: str = "1GB", **changes: Any) -> Path:
    """Write such a model with the tiny Llama's tokenizer into `folder`."""
    from transformers import AutoModel, AutoModelForCausalLM

    kind = AutoModel if family == "bert" else AutoModelForCausalLM
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = kind.from_config(config_of(family, **changes))
    network.save_pretrained(folder, max_shard_size=shard)
    for name in _TOKENIZER:
        shutil.copyfile(TINY_LLAMA / name, folder / name)
    return folder


def spec(name: str, **lora: Any) -> ModelSpec:
    """The section `model` for a folder of that name."""
    return ModelSpec(id=f"hf:{name}", lora=LoraSpec(**({"r": 4, "alpha": 8} | lora)))


def some_adapter(layout: Any, seed: int = 1) -> dict[str, torch.Tensor]:
    """Values for an adapter file of that layout, none of them zero: as after some rounds."""
    draw = torch.Generator().manual_seed(seed)
    return {name: torch.randn(info.shape, generator=draw) * 0.2 for name, info in layout.items()}


def some_ids(n: int = 2, length: int = 12, seed: int = 0) -> torch.Tensor:
    """Token ids, none of them padding."""
    return torch.randint(3, 1024, (n, length), generator=torch.Generator().manual_seed(seed))
