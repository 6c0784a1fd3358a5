"""A real language model, and a small one on a speaker it has never read."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
import torch
from families import TINY_LLAMA
from torch.nn import functional as F

from federation.model_spec import LoraSpec, ModelSpec
from resources.models.language import bases
from resources.models.language.adapter_model import AdapterModel, load_adapter_model
from resources.models.language.generation import generate
from resources.models.language.skeleton import initial_adapter
from resources.models.language.tokenizers import load_tokenizer

NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
MODELS = Path(os.environ.get("POTLUCK_MODELS", "/nowhere"))
SPEECHES = Path(os.environ.get("POTLUCK_DATA", "/nowhere")) / "shakespeare" / "speeches.jsonl.gz"


def loss_of(model: AdapterModel, ids: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(model(ids)[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())


@pytest.mark.e2e
@pytest.mark.skipif(not (MODELS / NAME).is_dir(), reason=f"needs {NAME} in the folder POTLUCK_MODELS")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_smollm2_answers_and_a_step_of_its_adapters_lowers_the_loss(dtype: str) -> None:
    model = ModelSpec(id=f"hf:{NAME}", dtype=dtype, lora=LoraSpec(r=8))
    folder = bases.fetch(model, MODELS, bases.pin(model, MODELS))
    tokenizer = load_tokenizer(folder)
    mine = load_adapter_model(model, folder, initial_adapter(model, folder, seed=0), rule="lora_exact")
    assert sum(value.numel() for value in mine.parameters()) == 460_800
    (answer,) = generate(mine, tokenizer, ["What is the capital of France?"], max_tokens=20, seconds=100, chat=True)
    assert "Paris" in answer.text
    assert answer.finished == "eos"
    text = "O, that this too too solid flesh would melt, thaw, and resolve itself into a dew!"
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    optimizer = torch.optim.Adam(mine.train().parameters(), 1e-3)
    losses = []
    for _ in range(3):
        loss = loss_of(mine, ids)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[2] < losses[0] - 0.05


@pytest.mark.e2e
@pytest.mark.skipif(not SPEECHES.is_file(), reason="needs shakespeare/speeches.jsonl.gz in the folder POTLUCK_DATA")
def test_adapters_bring_the_tiny_llama_closer_to_a_speaker_it_has_never_read() -> None:
    with gzip.open(SPEECHES, "rt", encoding="utf8") as file:
        rows = [json.loads(line) for line in file]
    tokenizer = load_tokenizer(TINY_LLAMA)
    said = [row["text"] for row in rows if row["user"] == "hamlet/HAMLET"]
    stream = [token for text in said for token in [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]]
    ids = torch.tensor(stream[: len(stream) // 64 * 64]).reshape(-1, 64)
    held, own = ids[::5], ids[[place for place in range(len(ids)) if place % 5]]
    model = ModelSpec(id="hf:tiny_llama", lora=LoraSpec(r=8))
    mine = load_adapter_model(model, TINY_LLAMA, initial_adapter(model, TINY_LLAMA, seed=0), rule="lora_exact")
    draw = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        before = loss_of(mine.eval(), held).item()
    optimizer = torch.optim.Adam(mine.train().parameters(), 3e-3)
    for _ in range(40):
        loss = loss_of(mine, own[torch.randint(len(own), (8,), generator=draw)])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        after = loss_of(mine.eval(), held).item()
    assert after < before - 0.1, (before, after)
