"""What a step is estimated to cost is what it costs."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from families import TINY_LLAMA, make, some_ids, spec

from federation.model_spec import ModelSpec
from resources.models.language.adapter_model import load_adapter_model
from resources.models.language.configuration import skeleton
from resources.models.language.cost import bytes_kept, cost
from resources.models.language.skeleton import adapter_layout, initial_adapter


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_is_counted_without_memory_is_what_autograd_keeps(tmp_path: Path, family: str, dtype: str) -> None:
    folder = make(tmp_path / "base", family)
    model = spec("base").model_copy(update={"dtype": dtype})
    weights = initial_adapter(model, folder, seed=0)
    real = load_adapter_model(model, folder, weights, rule="lora_exact").train()
    own = {value.untyped_storage().data_ptr() for value in real.network.state_dict().values()}
    kept: dict[int, int] = {}

    def pack(value: torch.Tensor) -> torch.Tensor:
        if value.untyped_storage().data_ptr() not in own:
            kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        out = real.network.base_model(input_ids=some_ids(1, 61), use_cache=False)
    assert out.last_hidden_state.requires_grad
    assert bytes_kept(model, skeleton(model, folder)) == pytest.approx(sum(kept.values()) / 61, rel=0.15)


def test_parameters_and_bytes_are_those_of_the_files() -> None:
    from safetensors import safe_open

    model = spec("tiny_llama", r=8)
    found = cost(model, TINY_LLAMA, length=64, rows=4)
    with safe_open(TINY_LLAMA / "model.safetensors", "pt") as file:
        sizes = [file.get_tensor(name).numel() for name in file.keys()]  # noqa: SIM118 - it is no dict
    assert found.base_parameters == sum(sizes)
    assert found.base_bytes == 4 * sum(sizes)
    halved = cost(model.model_copy(update={"dtype": "bfloat16"}), TINY_LLAMA, length=64, rows=4)
    assert halved.base_bytes == 2 * sum(sizes)
    layout = adapter_layout(model, TINY_LLAMA)
    assert found.adapter_parameters == sum(info.num_values for info in layout.values())
    assert found.adapter_bytes == 4 * found.adapter_parameters
    norms = 9 * 128
    assert found.flops_per_token == 4 * (sum(sizes) - norms + found.adapter_parameters)


def test_activations_grow_with_the_tokens_and_checkpointing_saves_most_of_them() -> None:
    model = spec("tiny_llama")
    one, two, long = (cost(model, TINY_LLAMA, length=t, rows=n) for t, n in ((64, 1), (64, 2), (128, 1)))
    assert two.activation_bytes == long.activation_bytes == pytest.approx(2 * one.activation_bytes, abs=2)
    saving = cost(model, TINY_LLAMA, length=64, rows=1, gradient_checkpointing=True)
    assert saving.activation_bytes < 0.7 * one.activation_bytes
    assert saving.flops_per_token == 1.5 * one.flops_per_token
    assert replace(saving, activation_bytes=0, flops_per_token=0) == replace(one, activation_bytes=0, flops_per_token=0)


def test_adams_two_moments_cost_more_than_none() -> None:
    plain, adam = (
        cost(spec("tiny_llama"), TINY_LLAMA, length=64, rows=1, optimizer_states=states) for states in (0, 2)
    )
    assert adam.memory_bytes - plain.memory_bytes == 2 * plain.adapter_bytes


def test_a_classifiers_logits_are_one_row_a_text(tmp_path: Path) -> None:
    folder = make(tmp_path / "base")
    model = ModelSpec(id="hf:base", task="sequence_classification", lora=spec("base").lora)
    classes = cost(model, folder, length=64, rows=8, num_labels=5)
    texts = cost(spec("base"), folder, length=64, rows=8)
    assert classes.adapter_parameters == texts.adapter_parameters + 5 * 32
    assert texts.activation_bytes - classes.activation_bytes == 20 * (64 * 8 * 1024 - 8 * 5)


_STEP = """
import sys, torch
from pathlib import Path
from federation.model_spec import LoraSpec, ModelSpec
from resources.models.language.adapter_model import load_adapter_model
from resources.models.language.skeleton import initial_adapter
torch.set_num_threads(1)
folder, rows, saving = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True"
model = ModelSpec(id="hf:base", lora=LoraSpec(r=4))
weights = initial_adapter(model, folder, 0)
def memory(kind):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(kind))
import transformers.models.llama.modeling_llama
from peft import LoraModel
before = memory("VmRSS")
network = load_adapter_model(model, folder, weights, rule="lora_exact", gradient_checkpointing=saving).train()
optimizer = torch.optim.Adam(network.parameters(), 1e-3)
ids = torch.randint(3, 1024, (rows, 128))
Path("/proc/self/clear_refs").write_text("5")
for _ in range(3):
    logits = network(ids)
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(memory("VmHWM") - before)
"""


@pytest.mark.e2e
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is read from Linux's /proc")
@pytest.mark.parametrize("saving", [False, True])
def test_the_peak_of_a_real_step_is_near_the_estimate(saving: bool) -> None:
    estimate = cost(spec("base"), TINY_LLAMA, length=128, rows=24, gradient_checkpointing=saving).memory_bytes
    command = [sys.executable, "-c", _STEP, str(TINY_LLAMA), "24", str(saving)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True, env=environment)
    measured = int(done.stdout)
    assert 0.6 < measured / estimate < 1.8, (measured, estimate)
