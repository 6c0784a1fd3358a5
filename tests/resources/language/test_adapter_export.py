"""What is exported, PEFT and transformers load, and it computes the same."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from families import TINY_LLAMA, make, some_adapter, some_ids, spec

from federation.errors import Refused
from federation.model_spec import ModelSpec
from federation.weights import Tensors, to_bytes
from resources.models.language.adapter_model import load_adapter_model
from resources.models.language.export import adapter_config, merge
from resources.models.language.skeleton import adapter_layout


def write_adapter(folder: Path, model: ModelSpec, base: Path, weights: Tensors, revision: str | None = None) -> None:
    """The two files that an export consists of, beside its card."""
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(to_bytes(weights))
    config = adapter_config(model, base, weights, revision=revision)
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf8")


def peft_logits(base: Path, adapter: Path, ids: torch.Tensor, kind: str = "CausalLM", **options: Any) -> torch.Tensor:
    import transformers
    from peft import PeftModel

    network = getattr(transformers, f"AutoModelFor{kind}").from_pretrained(base, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers by a deprecated name
        model = PeftModel.from_pretrained(network, adapter).eval()
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=ids).logits
    return logits


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_peft_and_transformers_compute_the_logits_that_we_do(tmp_path: Path, family: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = make(tmp_path / "base", family)
    words = AutoTokenizer.from_pretrained(base)
    model, ids = spec("base", r=3, alpha=10), some_ids()
    weights = some_adapter(adapter_layout(model, base))
    with torch.inference_mode():
        ours = load_adapter_model(model, base, weights, rule="lora_exact").eval()(ids)
        plain = AutoModelForCausalLM.from_pretrained(base)(input_ids=ids).logits
    assert float((ours - plain).abs().max()) > 0.1  # the adapter matters
    write_adapter(tmp_path / "adapter", model, base, weights, revision="abc")
    torch.testing.assert_close(peft_logits(base, tmp_path / "adapter", ids), ours, rtol=0, atol=1e-5)
    merge(tmp_path / "merged", model, base, weights)
    with torch.inference_mode():
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")(input_ids=ids).logits
    torch.testing.assert_close(merged, ours, rtol=0, atol=1e-5)
    again = AutoModelForCausalLM.from_pretrained(base)(input_ids=ids).logits
    torch.testing.assert_close(again, plain, rtol=0, atol=0)
    assert AutoTokenizer.from_pretrained(tmp_path / "merged")("To be")["input_ids"] == words("To be")["input_ids"]


def test_layers_of_different_ranks_keep_the_tasks_scaling(tmp_path: Path) -> None:
    base = make(tmp_path / "base")
    model, ids = spec("base", r=2, alpha=3, use_rslora=True), some_ids()
    weights = some_adapter(adapter_layout(model, base))
    first = next(iter(weights)).removesuffix(".lora_A.weight")
    a, b = f"{first}.lora_A.weight", f"{first}.lora_B.weight"
    weights |= {a: torch.cat([weights[a], weights[a] / 2]), b: torch.cat([weights[b], weights[b] / 3], dim=1)}
    config = adapter_config(model, base, weights)
    assert config["r"] == 4
    assert len(config["rank_pattern"]) == len(config["alpha_pattern"]) == 3
    with torch.inference_mode():
        ours = load_adapter_model(model, base, weights, rule="lora_stack").eval()(ids)
    write_adapter(tmp_path / "adapter", model, base, weights)
    torch.testing.assert_close(peft_logits(base, tmp_path / "adapter", ids), ours, rtol=0, atol=1e-5)


def test_a_classifier_comes_back_with_its_head(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    base = make(tmp_path / "base")
    model = ModelSpec(id="hf:base", task="sequence_classification", lora=spec("base").lora)
    ids, weights = some_ids(3), some_adapter(adapter_layout(model, base, num_labels=3))
    with torch.inference_mode():
        ours = load_adapter_model(model, base, weights, rule="lora_exact", num_labels=3).eval()(ids)
    write_adapter(tmp_path / "adapter", model, base, weights)
    theirs = peft_logits(base, tmp_path / "adapter", ids, "SequenceClassification", num_labels=3)
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)
    merge(tmp_path / "merged", model, base, weights)
    with torch.inference_mode():
        merged = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged")(input_ids=ids).logits
    torch.testing.assert_close(merged, ours, rtol=0, atol=1e-5)


def test_a_merged_model_keeps_the_bases_dtype_and_own_dropout(tmp_path: Path) -> None:
    base = make(tmp_path / "base", "gpt2")
    model = ModelSpec(id="hf:base", dtype="bfloat16", lora=spec("base").lora)
    merge(tmp_path / "merged", model, base, some_adapter(adapter_layout(model, base)))
    config = json.loads((tmp_path / "merged" / "config.json").read_text(encoding="utf8"))
    assert config["dtype"] == "bfloat16"
    assert config["resid_pdrop"] == 0.1


def test_a_folder_that_is_not_empty_is_left_as_it_is(tmp_path: Path) -> None:
    model = spec("tiny_llama")
    weights = some_adapter(adapter_layout(model, TINY_LLAMA))
    (tmp_path / "there").mkdir()
    assert merge(tmp_path / "there", model, TINY_LLAMA, weights)
    before = {path.name: path.read_bytes() for path in (tmp_path / "there").iterdir()}
    with pytest.raises(Refused, match="not empty"):
        merge(tmp_path / "there", model, TINY_LLAMA, weights)
    assert {path.name: path.read_bytes() for path in (tmp_path / "there").iterdir()} == before


def test_an_export_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    base = make(tmp_path / "base")
    weights = some_adapter(adapter_layout(spec("base"), base))
    (base / "tokenizer.json").write_text("{", encoding="utf8")
    (tmp_path / "out").mkdir()
    with pytest.raises(Refused, match="the tokenizer in base cannot be loaded"):
        merge(tmp_path / "out" / "merged", spec("base"), base, weights)
    assert list((tmp_path / "out").iterdir()) == []
