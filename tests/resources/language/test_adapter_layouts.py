"""Names, shapes and first values of adapters, from a configuration alone."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from families import config_of, make, spec

from federation.errors import ErrorCode, Refused
from federation.model_spec import ModelSpec
from federation.weights import layout_of
from resources.models.card import Unbuildable
from resources.models.language.skeleton import adapter_layout, initial_adapter


def configured(folder: Path, family: str = "llama", **changes: object) -> Path:
    """A folder with a configuration and nothing else."""
    folder.mkdir()
    config = config_of(family, **changes)
    config.save_pretrained(folder)
    return folder


def test_a_layout_needs_no_weights_and_is_what_peft_saves(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model_state_dict
    from peft.tuners.lora import LoraModel
    from transformers import AutoModelForCausalLM

    for family, fan in (("llama", False), ("qwen2", False), ("gpt2", True)):
        folder = configured(tmp_path / family, family)
        found = adapter_layout(spec(family), folder)
        network = AutoModelForCausalLM.from_config(config_of(family))
        tuner = LoraModel(network, LoraConfig(r=4, fan_in_fan_out=fan), "default")
        saved = get_peft_model_state_dict(tuner, state_dict=tuner.state_dict())
        theirs = {f"base_model.model.{name.removeprefix('model.')}": tensor for name, tensor in saved.items()}
        assert found == layout_of(theirs), family


def test_auto_takes_the_attentions_projections_that_peft_takes(tmp_path: Path) -> None:
    ends = {"llama": {"q_proj", "v_proj"}, "qwen2": {"q_proj", "v_proj"}, "gpt2": {"c_attn"}}
    for family, wanted in ends.items():
        layout = adapter_layout(spec(family), configured(tmp_path / family, family))
        assert {name.split(".")[-3] for name in layout} == wanted
        assert len(layout) == 2 * 2 * len(wanted)


def test_auto_finds_the_attention_of_a_family_that_peft_has_no_word_on(tmp_path: Path) -> None:
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    from transformers import OlmoConfig

    assert "olmo" not in TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    OlmoConfig(vocab_size=64, **small).save_pretrained(tmp_path / "olmo")
    layout = adapter_layout(spec("olmo"), tmp_path / "olmo")
    assert {name.split(".")[-3] for name in layout} == {"q_proj", "k_proj", "v_proj", "o_proj"}


def test_names_are_matched_whole_or_by_their_end(tmp_path: Path) -> None:
    folder = configured(tmp_path / "base")
    layout = adapter_layout(spec("base", target_modules=["up_proj", "model.layers.1.self_attn.k_proj"]), folder)
    found = {name.removeprefix("base_model.model.").partition(".lora_")[0]: info.shape for name, info in layout.items()}
    assert set(found) == {f"model.layers.{i}.mlp.up_proj" for i in (0, 1)} | {"model.layers.1.self_attn.k_proj"}
    assert layout["base_model.model.model.layers.1.self_attn.k_proj.lora_A.weight"].shape == (4, 32)
    assert layout["base_model.model.model.layers.1.self_attn.k_proj.lora_B.weight"].shape == (16, 4)


@pytest.mark.parametrize("name", ["proj", "layernorm", "embed_tokens", "lm_head", "c_attn"])
def test_a_name_that_is_no_linear_layers_is_refused_with_those_there_are(tmp_path: Path, name: str) -> None:
    folder = configured(tmp_path / "base")
    with pytest.raises(Unbuildable, match="down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj") as caught:
        adapter_layout(spec("base", target_modules=["q_proj", name]), folder)
    assert caught.value.field == "model.lora.target_modules"
    assert f"there is no linear layer {name}." in caught.value.problem


def test_a_rank_above_a_layers_own_is_refused(tmp_path: Path) -> None:
    folder = configured(tmp_path / "base")
    assert adapter_layout(spec("base", r=16), folder)  # values are projected to 16
    with pytest.raises(Unbuildable, match="give at most 16") as caught:
        adapter_layout(spec("base", r=17), folder)
    assert caught.value.field == "model.lora.r"


def test_version_zero_is_uniform_below_one_over_root_inputs_and_begins_as_the_base(tmp_path: Path) -> None:
    folder = configured(tmp_path / "base", hidden_size=256, num_hidden_layers=4)
    weights = initial_adapter(spec("base", r=16), folder, seed=3)
    a = torch.cat([tensor.flatten() for name, tensor in weights.items() if "lora_A" in name])
    bound = 1 / math.sqrt(256)  # Kaiming-uniform with a = sqrt(5): sqrt(6 / (1 + 5) / inputs)
    assert 0.99 * bound < float(a.abs().max()) <= bound
    assert abs(float(a.mean())) < 0.02 * bound
    assert float(a.std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert not any(bool(tensor.any()) for name, tensor in weights.items() if "lora_B" in name)
    again, other = (initial_adapter(spec("base", r=16), folder, seed=seed) for seed in (3, 4))
    assert all(torch.equal(tensor, again[name]) for name, tensor in weights.items())
    assert not any(torch.equal(tensor, other[name]) for name, tensor in weights.items() if "lora_A" in name)


@pytest.mark.parametrize("family", ["bert", "t5"])
def test_a_model_that_does_not_continue_texts_is_refused(tmp_path: Path, family: str) -> None:
    from transformers import T5Config

    folder = tmp_path / family
    (T5Config(vocab_size=64) if family == "t5" else config_of("bert")).save_pretrained(folder)
    with pytest.raises(Unbuildable, match="does not continue texts") as caught:
        adapter_layout(spec(family), folder)
    assert caught.value.field == "model.id"


def test_a_classifiers_head_is_part_of_the_file(tmp_path: Path) -> None:
    for family, head in (("llama", ["score.weight"]), ("bert", ["classifier.weight", "classifier.bias"])):
        folder = make(tmp_path / family, family)
        model = ModelSpec(id=f"hf:{family}", task="sequence_classification", lora=spec("x").lora)
        layout = adapter_layout(model, folder, num_labels=7)
        assert {name for name in layout if ".lora_" not in name} == {f"base_model.model.{name}" for name in head}
        assert layout[f"base_model.model.{head[0]}"].shape == (7, 32)


def test_a_configuration_that_transformers_does_not_know_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "unheard_of"}), encoding="utf8")
    with pytest.raises(Refused, match="cannot be read by transformers") as caught:
        adapter_layout(spec("base"), tmp_path)
    assert caught.value.code is ErrorCode.INVALID_SPEC
