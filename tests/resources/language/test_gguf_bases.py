"""A base model in a GGUF file: weights, configuration and tokenizer in one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from families import make, some_adapter, some_ids

from federation.base_pin import BasePin
from federation.errors import Refused
from federation.model_spec import LoraSpec, ModelSpec
from resources.models.language import bases
from resources.models.language.adapter_model import load_adapter_model
from resources.models.language.export import merge
from resources.models.language.skeleton import adapter_layout
from resources.models.language.tokenizers import load_tokenizer

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def to_gguf(source: Path, target: Path) -> None:
    """The tiny Llama in `source` as llama.cpp's own converter would write it, in float32."""
    from gguf import GGUFWriter
    from safetensors.torch import load_file

    config = json.loads((source / "config.json").read_text(encoding="utf8"))
    words = json.loads((source / "tokenizer.json").read_text(encoding="utf8"))["model"]
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    out = GGUFWriter(target, "llama")
    out.add_context_length(config["max_position_embeddings"])
    out.add_embedding_length(config["hidden_size"])
    out.add_block_count(config["num_hidden_layers"])
    out.add_feed_forward_length(config["intermediate_size"])
    out.add_head_count(heads["q_proj"])
    out.add_head_count_kv(heads["k_proj"])
    out.add_layer_norm_rms_eps(config["rms_norm_eps"])
    out.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    out.add_rope_dimension_count(config["hidden_size"] // heads["q_proj"])
    out.add_vocab_size(config["vocab_size"])
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    tokens = sorted(words["vocab"], key=words["vocab"].__getitem__)
    out.add_token_list(tokens)
    out.add_token_types([3 if place < 3 else 1 for place in range(len(tokens))])
    out.add_token_merges([" ".join(pair) for pair in words["merges"]])
    out.add_pad_token_id(0)
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    for name, tensor in load_file(source / "model.safetensors").items():
        kind = name.rpartition(".")[0].rpartition(".")[2]
        if kind in heads:  # llama.cpp keeps the two halves that rotate together side by side
            rows, columns = tensor.shape
            tensor = tensor.reshape(heads[kind], 2, -1, columns).transpose(1, 2).reshape(rows, columns)  # noqa: PLW2901
        out.add_tensor(_renamed(name), tensor.contiguous().numpy())
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def _renamed(name: str) -> str:
    if name.startswith("model.layers."):
        _, _, layer, rest = name.split(".", 3)
        return f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"
    return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}.get(
        name, "output.weight"
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A models folder with one model, plain and as GGUF."""
    make(tmp_path / "plain")
    (tmp_path / "packed").mkdir()
    to_gguf(tmp_path / "plain", tmp_path / "packed" / "tiny.gguf")
    return tmp_path


def spec(name: str, **rest: Any) -> ModelSpec:
    return ModelSpec(id=f"hf:{name}", lora=LoraSpec(r=4, target_modules=["q_proj", "k_proj", "up_proj"]), **rest)


PACKED = spec("packed", gguf="tiny.gguf")


def test_a_gguf_file_computes_what_the_plain_folder_does(root: Path) -> None:
    layout = adapter_layout(PACKED, root / "packed")
    assert layout == adapter_layout(spec("plain"), root / "plain")
    weights, ids = some_adapter(layout), some_ids()
    with torch.inference_mode():
        packed, plain = (
            load_adapter_model(model, bases.fetch(model, root, None), weights, rule="lora_exact").eval()(ids)
            for model in (PACKED, spec("plain"))
        )
    torch.testing.assert_close(packed, plain, rtol=0, atol=1e-5)
    text = "To be, or not to be"
    tokenizers = load_tokenizer(root / "packed", "tiny.gguf"), load_tokenizer(root / "plain")
    assert tokenizers[0](text)["input_ids"] == tokenizers[1](text)["input_ids"]
    assert [each.eos_token_id for each in tokenizers] == [2, 2]


def test_a_gguf_files_one_hash_pins_weights_and_tokenizer(root: Path) -> None:
    pin = bases.pin(PACKED, root)
    assert pin.sha256 == pin.tokenizer_sha256
    assert bases.fetch(PACKED, root, pin) == bases.describe(PACKED, root, pin) == root / "packed"
    with pytest.raises(Refused, match="the weights of packed have SHA-256"):
        bases.fetch(PACKED, root, BasePin(None, "0" * 64, "0" * 64))


def test_an_adapter_on_a_gguf_file_is_merged_into_a_plain_folder(root: Path) -> None:
    from transformers import AutoModelForCausalLM

    weights, ids = some_adapter(adapter_layout(PACKED, root / "packed")), some_ids()
    merge(root / "merged", PACKED, root / "packed", weights)
    with torch.inference_mode():
        ours = load_adapter_model(PACKED, root / "packed", weights, rule="lora_exact").eval()(ids)
        merged = AutoModelForCausalLM.from_pretrained(root / "merged")(input_ids=ids).logits
    torch.testing.assert_close(merged, ours, rtol=0, atol=1e-5)
    assert "quantization_config" not in (root / "merged" / "config.json").read_text(encoding="utf8")
