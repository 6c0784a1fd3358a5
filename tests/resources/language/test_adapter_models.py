"""A pretrained model with adapters inside computes what the formula says, and trains the rule's part alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from families import make, some_adapter, some_ids, spec
from torch.nn import functional as F

from federation.errors import ErrorCode, Refused
from federation.model_spec import ModelSpec
from resources.models.language.adapter_model import load_adapter_model
from resources.models.language.loaded import base_model, forget
from resources.models.language.skeleton import adapter_layout, initial_adapter

FAMILIES = ("llama", "qwen2", "gpt2")


def dense_logits(folder: Path, model: ModelSpec, weights: dict[str, torch.Tensor], ids: torch.Tensor) -> torch.Tensor:
    """Logits of the base with scaling · B A written into its weights, by transformers alone."""
    from transformers import AutoModelForCausalLM
    from transformers.pytorch_utils import Conv1D

    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    for name, a in weights.items():
        if name.endswith("lora_A.weight"):
            module = network.get_submodule(name.removeprefix("base_model.model.").removesuffix(".lora_A.weight"))
            change = model.adapters.scaling * weights[name.replace("lora_A", "lora_B")] @ a
            module.weight.data += change.T if isinstance(module, Conv1D) else change
    with torch.inference_mode():
        logits: torch.Tensor = network(input_ids=ids).logits
    return logits


def loss_of(model: Any, ids: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("rule", "rank"), [("lora_exact", None), ("lora_exact", 1), ("ffa", 3), ("lora_stack", 2)])
def test_logits_are_those_of_the_base_plus_scaled_products(
    tmp_path: Path, family: str, rule: str, rank: int | None
) -> None:
    make(tmp_path / "base", family)
    model = spec("base", use_rslora=True)
    weights = some_adapter(adapter_layout(model, tmp_path / "base"))
    if rule == "lora_stack":  # three ranks of one layer, none of another are the mean so far
        first = next(iter(weights)).removesuffix(".lora_A.weight")
        a, b = weights[f"{first}.lora_A.weight"], weights[f"{first}.lora_B.weight"]
        weights[f"{first}.lora_A.weight"] = torch.cat([a[:3] * 0.5, a])
        weights[f"{first}.lora_B.weight"] = torch.cat([b[:, 1:] * 0.5, b], dim=1)
    mine = load_adapter_model(model, tmp_path / "base", weights, rule=rule, rank=rank).eval()
    ids = some_ids()
    with torch.inference_mode():
        found = mine(ids)
    torch.testing.assert_close(found, dense_logits(tmp_path / "base", model, weights, ids), rtol=0, atol=2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_version_zero_adapter_leaves_the_base_as_it_is_and_a_step_lowers_the_loss(
    tmp_path: Path, family: str
) -> None:
    make(tmp_path / "base", family)
    model = spec("base")
    weights = initial_adapter(model, tmp_path / "base", seed=5)
    mine, ids = load_adapter_model(model, tmp_path / "base", weights, rule="lora_exact"), some_ids(4)
    with torch.inference_mode():
        torch.testing.assert_close(mine(ids), dense_logits(tmp_path / "base", model, {}, ids), rtol=0, atol=1e-6)
    mine.train()
    optimizer = torch.optim.Adam(mine.parameters(), 1e-2)
    losses = []
    for _ in range(4):
        loss = loss_of(mine, ids)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert losses[0] == pytest.approx(
        loss_of(load_adapter_model(model, tmp_path / "base", weights, rule="ffa"), ids).item()
    )


def test_only_the_rules_part_is_trained_under_the_names_of_the_adapter_file(tmp_path: Path) -> None:
    make(tmp_path / "base")
    model = spec("base")
    layout = adapter_layout(model, tmp_path / "base")
    weights = some_adapter(layout)
    whole = load_adapter_model(model, tmp_path / "base", weights, rule="lora_exact")
    assert {name: tuple(value.shape) for name, value in whole.state_dict().items()} == {
        name: info.shape for name, info in layout.items()
    }
    assert all(torch.equal(whole.start[name], weights[name]) for name in weights)
    leading = load_adapter_model(model, tmp_path / "base", weights, rule="lora_exact", rank=2)
    a = next(name for name in weights if "lora_A" in name)
    b = a.replace("lora_A", "lora_B")
    assert torch.equal(leading.state_dict()[a], weights[a][:2])
    assert torch.equal(leading.state_dict()[b], weights[b][:, :2])
    stacked = weights | {a: torch.cat([weights[a][:3], weights[a]]), b: torch.cat([weights[b][:, :3], weights[b]], 1)}
    trailing = load_adapter_model(model, tmp_path / "base", stacked, rule="lora_stack", rank=2)
    assert torch.equal(trailing.start[a], weights[a][:2])
    assert torch.equal(trailing.start[b], weights[b][:, :2])
    frozen = load_adapter_model(model, tmp_path / "base", weights, rule="ffa", rank=3)
    assert set(frozen.state_dict()) == {name for name in weights if "lora_B" in name}
    for each in (whole, leading, trailing, frozen):
        assert [name for name, _ in each.named_parameters()] == list(each.state_dict())
        assert {name for name, value in each.named_parameters() if value.requires_grad} == set(each.start)


def test_a_step_changes_the_trained_part_and_nothing_else(tmp_path: Path) -> None:
    make(tmp_path / "base")
    model = spec("base")
    weights = some_adapter(adapter_layout(model, tmp_path / "base"))
    mine = load_adapter_model(model, tmp_path / "base", weights, rule="lora_exact", rank=2)
    other = load_adapter_model(model, tmp_path / "base", weights, rule="lora_exact")
    ids = some_ids()
    before = other(ids).detach()
    everything = {name: value.clone() for name, value in mine.network.state_dict().items()}
    loss_of(mine, ids).backward()
    assert all(value.grad is not None and bool(value.grad.any()) for value in mine.parameters())
    torch.optim.SGD(mine.parameters(), 0.1).step()
    changed = {n for n, value in mine.network.state_dict().items() if not torch.equal(value, everything[n])}
    assert len(changed) == len(mine.start)
    assert all(".trained." in name for name in changed)
    torch.testing.assert_close(other(ids), before, rtol=0, atol=0)


def test_two_models_share_the_bases_memory(tmp_path: Path) -> None:
    make(tmp_path / "base")
    model = spec("base")
    weights = some_adapter(adapter_layout(model, tmp_path / "base"))
    first, second = (load_adapter_model(model, tmp_path / "base", weights, rule="lora_exact") for _ in range(2))
    embedding = [each.network.get_input_embeddings().weight.data_ptr() for each in (first, second)]
    assert embedding[0] == embedding[1]


def test_a_base_replaced_on_disk_is_read_again(tmp_path: Path) -> None:
    folder, model, ids = tmp_path / "base", spec("base"), some_ids()
    make(folder)
    weights = initial_adapter(model, folder, seed=1)
    before = load_adapter_model(model, folder, weights, rule="ffa")(ids)
    make(folder, seed=1)
    assert not torch.equal(load_adapter_model(model, folder, weights, rule="ffa")(ids), before)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_checkpointing_gives_the_same_gradients(tmp_path: Path, family: str) -> None:
    make(tmp_path / "base", family)
    model = spec("base")
    weights = some_adapter(adapter_layout(model, tmp_path / "base"))
    gradients = []
    for saving in (False, True):
        mine = load_adapter_model(
            model, tmp_path / "base", weights, rule="lora_exact", rank=3, gradient_checkpointing=saving
        ).train()
        loss_of(mine, some_ids()).backward()
        gradients.append([value.grad for value in mine.parameters()])
    assert len(gradients[0]) == 2 * 2 * (2 if family != "gpt2" else 1)
    for kept, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, kept)


@pytest.mark.parametrize("family", FAMILIES)
def test_loading_and_training_leave_torchs_global_generator_alone(tmp_path: Path, family: str) -> None:
    make(tmp_path / "base", family)
    model = spec("base")
    before = torch.get_rng_state()
    weights = initial_adapter(model, tmp_path / "base", seed=1)
    mine = load_adapter_model(model, tmp_path / "base", weights, rule="lora_exact").train()
    loss_of(mine, some_ids()).backward()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_default_dtype() is torch.float32


def test_dropout_acts_in_training_and_not_in_evaluation(tmp_path: Path) -> None:
    make(tmp_path / "base")
    model = spec("base", dropout=0.5)
    weights = some_adapter(adapter_layout(model, tmp_path / "base"))
    mine, ids = load_adapter_model(model, tmp_path / "base", weights, rule="lora_exact"), some_ids()
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(0)
        assert not torch.equal(mine.train()(ids), mine(ids))
        torch.testing.assert_close(mine.eval()(ids), mine(ids), rtol=0, atol=0)


def test_on_a_bfloat16_base_adapters_stay_float32(tmp_path: Path) -> None:
    make(tmp_path / "base")
    model = ModelSpec(id="hf:base", dtype="bfloat16", lora=spec("base").lora)
    weights = some_adapter(adapter_layout(model, tmp_path / "base"))
    mine = load_adapter_model(model, tmp_path / "base", weights, rule="lora_exact")
    assert mine.network.get_input_embeddings().weight.dtype is torch.bfloat16
    assert all(torch.equal(value, weights[name]) for name, value in mine.state_dict().items())
    loss_of(mine, some_ids()).backward()
    assert all(value.grad is not None and value.grad.dtype is torch.float32 for value in mine.parameters())
    assert torch.get_default_dtype() is torch.float32


def test_a_state_comes_back_by_value_and_another_models_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "base")
    model = spec("base")
    weights = some_adapter(adapter_layout(model, tmp_path / "base"))
    mine = load_adapter_model(model, tmp_path / "base", weights, rule="lora_exact", rank=2)
    other = {name: value + 1 for name, value in mine.state_dict().items()}
    mine.load_state_dict(other)
    assert all(torch.equal(value, other[name]) for name, value in mine.state_dict().items())
    assert torch.equal(next(iter(mine.start.values())), next(iter(weights.values()))[:2])
    with pytest.raises(RuntimeError, match="other names or shapes"):
        mine.load_state_dict(weights)


def test_a_classifiers_head_comes_from_the_adapter_file(tmp_path: Path) -> None:
    make(tmp_path / "base")
    model = ModelSpec(id="hf:base", task="sequence_classification", lora=spec("base").lora)
    weights = initial_adapter(model, tmp_path / "base", seed=3, num_labels=5)
    head = "base_model.model.score.weight"
    assert weights[head].shape == (5, 32)
    assert 0.01 < weights[head].std() < 0.03
    mine = load_adapter_model(model, tmp_path / "base", weights, rule="ffa", num_labels=5).train()
    assert torch.equal(mine.state_dict()[head], weights[head])
    ids = some_ids(3)
    assert mine(ids).shape == (3, 5)
    F.cross_entropy(mine(ids), torch.tensor([0, 1, 4])).backward()
    assert set(mine.state_dict()) == {head} | {name for name in weights if "lora_B" in name}
    assert all(value.grad is not None and bool(value.grad.any()) for value in mine.parameters())
    again = load_adapter_model(model, tmp_path / "base", weights, rule="ffa", num_labels=5)
    torch.testing.assert_close(again(ids), mine(ids), rtol=0, atol=0)


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert"])
def test_padding_does_not_change_a_texts_class(tmp_path: Path, family: str) -> None:
    make(tmp_path / "base", family)
    model = ModelSpec(id="hf:base", task="sequence_classification", lora=spec("base").lora)
    weights = some_adapter(adapter_layout(model, tmp_path / "base", num_labels=3))
    mine = load_adapter_model(model, tmp_path / "base", weights, rule="lora_exact", num_labels=3).eval()
    short = some_ids(1, 6)
    padded = torch.cat([short, torch.zeros(1, 5, dtype=torch.int64)], dim=1)
    both = torch.cat([padded, some_ids(1, 11, seed=4)])
    with torch.inference_mode():
        torch.testing.assert_close(mine(both)[:1], mine(short), rtol=0, atol=1e-5)


def test_adapters_of_another_model_are_refused(tmp_path: Path) -> None:
    make(tmp_path / "base")
    model = spec("base")
    weights = some_adapter(adapter_layout(model, tmp_path / "base"))
    a = next(name for name in weights if "lora_A" in name)
    cases = {
        "is missing": {name: value for name, value in weights.items() if name != a.replace("lora_A", "lora_B")},
        "none of an adapter": weights | {"lm_head.weight": torch.zeros(2, 2)},
        "no linear layer": {name.replace("q_proj", "nothing"): value for name, value in weights.items()},
        "layers.1.self_attn.v_proj has no adapter": {
            name: value for name, value in weights.items() if "layers.1.self_attn.v_proj" not in name
        },
        "rank 3, where the task's have 4": {
            name: value[:3] if "lora_A" in name else value[:, :3] for name, value in weights.items()
        },
        "the factors of": weights | {a: torch.zeros(4, 31)},
    }
    for problem, wrong in cases.items():
        with pytest.raises(Refused, match=problem) as caught:
            load_adapter_model(model, tmp_path / "base", wrong, rule="lora_exact")
        assert caught.value.code is ErrorCode.BAD_UPDATE


@pytest.mark.parametrize("rank", [0, 5])
def test_a_rank_outside_the_tasks_is_refused(tmp_path: Path, rank: int) -> None:
    make(tmp_path / "base")
    model = spec("base")
    weights = initial_adapter(model, tmp_path / "base", seed=1)
    with pytest.raises(Refused, match="within the task's 1 to 4"):
        load_adapter_model(model, tmp_path / "base", weights, rule="lora_exact", rank=rank)


def test_a_base_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder, model = make(tmp_path / "base"), spec("base")
    weights = initial_adapter(model, folder, seed=1)
    held = load_file(folder / "model.safetensors")
    held.pop("model.layers.1.mlp.up_proj.weight")
    save_file(held, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(Refused, match=r"1 weights are missing, model\.layers\.1\.mlp\.up_proj\.weight among them"):
        load_adapter_model(model, folder, weights, rule="lora_exact")


def test_a_bfloat16_base_read_beside_other_threads_is_the_same_and_leaves_torchs_default_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "base")
    model = ModelSpec(id="hf:base", dtype="bfloat16")
    forget()
    ids = some_ids()
    usual = base_model(model, tmp_path / "base")
    forget()
    changed: list[torch.dtype] = []
    monkeypatch.setattr(torch, "set_default_dtype", changed.append)
    careful = base_model(model, tmp_path / "base", beside_others=True)
    forget()
    assert set(changed) <= {torch.float32}
    assert {weight.dtype for weight in careful.parameters()} == {torch.bfloat16}
    assert {buffer.dtype for buffer in careful.buffers()} == {buffer.dtype for buffer in usual.buffers()}
    with torch.inference_mode():
        assert torch.equal(careful(input_ids=ids).logits, usual(input_ids=ids).logits)
