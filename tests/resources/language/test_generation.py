"""Texts from a model: as transformers writes them, and within every limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from families import TINY_LLAMA, spec

from federation.errors import Refused
from federation.model_spec import ModelSpec
from resources.models.language.adapter_model import AdapterModel, load_adapter_model
from resources.models.language.generation import generate
from resources.models.language.skeleton import initial_adapter
from resources.models.language.tokenizers import load_tokenizer


@pytest.fixture
def model() -> AdapterModel:
    tiny = spec("tiny_llama")
    return load_adapter_model(tiny, TINY_LLAMA, initial_adapter(tiny, TINY_LLAMA, seed=0), rule="lora_exact")


@pytest.fixture
def tokenizer() -> Any:
    return load_tokenizer(TINY_LLAMA)


def test_greedy_text_is_what_transformers_writes_one_prompt_at_a_time(model: AdapterModel, tokenizer: Any) -> None:
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(TINY_LLAMA, dtype=torch.float32)
    prompts = ["To be", "O, my lord, the king is", "I do"]
    for prompt, found in zip(prompts, generate(model, tokenizer, prompts, max_tokens=30, seconds=60), strict=True):
        ids = tokenizer(prompt, return_tensors="pt")
        written = network.generate(**ids, max_new_tokens=30, do_sample=False, pad_token_id=0)[
            0, ids["input_ids"].shape[1] :
        ]
        assert found.text == tokenizer.decode(written, skip_special_tokens=True)
        assert found.tokens == len(written)
        assert found.finished == ("eos" if int(written[-1]) == tokenizer.eos_token_id else "length")


def test_drawn_text_depends_on_the_seed_alone(model: AdapterModel, tokenizer: Any) -> None:
    before = torch.get_rng_state()

    def drawn(seed: int) -> list[str]:
        made = generate(model, tokenizer, ["To be", "The"], max_tokens=12, seconds=60, temperature=0.9, seed=seed)
        return [each.text for each in made]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert torch.equal(torch.get_rng_state(), before)


def test_draws_follow_the_softmax(model: AdapterModel, tokenizer: Any) -> None:
    with torch.inference_mode():
        logits = model(torch.tensor([tokenizer("To")["input_ids"]]))[0, -1]
    likely = int(logits.argmax())
    share = float((logits / 0.7).softmax(0)[likely])
    made = generate(model, tokenizer, ["To"] * 400, max_tokens=1, seconds=60, temperature=0.7, seed=3)
    hits = sum(each.text == tokenizer.decode([likely]) for each in made) / 400
    assert hits == pytest.approx(share, abs=4 * (share * (1 - share) / 400) ** 0.5)


def test_time_ends_a_text_between_two_tokens(model: AdapterModel, tokenizer: Any) -> None:
    def clock() -> Iterator[float]:
        yield from (0.0, 1.0, 2.0, 3.0, 99.0)

    ticks = clock()
    (found,) = generate(model, tokenizer, ["To be"], max_tokens=50, seconds=3.5, now=lambda: next(ticks))
    assert (found.tokens, found.finished) == (4, "time")
    (whole,) = generate(model, tokenizer, ["To be"], max_tokens=50, seconds=60)
    assert whole.text.startswith(found.text)


def test_a_chat_goes_through_the_tokenizers_template(model: AdapterModel, tokenizer: Any) -> None:
    said = generate(model, tokenizer, ["Who is there?"], max_tokens=8, seconds=60, chat=True)
    spelt = generate(model, tokenizer, ["user: Who is there?\nassistant: "], max_tokens=8, seconds=60)
    assert said == spelt


def test_what_cannot_be_continued_is_refused(model: AdapterModel, tokenizer: Any) -> None:
    import copy

    long = "I do " * 99
    n = len(tokenizer(long)["input_ids"])
    with pytest.raises(Refused, match=rf"prompts\[1\] has {n} tokens; with {257 - n} more it passes the 256"):
        generate(model, tokenizer, ["To be", long], max_tokens=257 - n, seconds=1)
    with pytest.raises(Refused, match="no prompts"):
        generate(model, tokenizer, [], max_tokens=6, seconds=1)
    mute = copy.deepcopy(tokenizer)
    mute.chat_template = None
    with pytest.raises(Refused, match="no chat template"):
        generate(model, mute, ["Who?"], max_tokens=6, seconds=1, chat=True)
    classes = ModelSpec(id="hf:tiny_llama", task="sequence_classification", lora=spec("x").lora)
    weights = initial_adapter(classes, TINY_LLAMA, seed=0, num_labels=2)
    classifier = load_adapter_model(classes, TINY_LLAMA, weights, rule="ffa", num_labels=2)
    with pytest.raises(Refused, match="answers with classes"):
        generate(classifier, tokenizer, ["Who?"], max_tokens=6, seconds=1)


def test_an_empty_prompt_begins_a_text(model: AdapterModel, tokenizer: Any) -> None:
    (found,) = generate(model, tokenizer, [""], max_tokens=5, seconds=60)
    assert 1 <= found.tokens <= 5
