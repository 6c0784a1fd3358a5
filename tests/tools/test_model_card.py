"""The card that goes with an export says how the folder is loaded, and what is in it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from federation.base_pin import BasePin
from federation.coordinator.records import Task
from federation.rounds import TaskState
from federation.spec import parse_spec
from tools.model_card import model_card

LINEAGE: dict[str, Any] = {
    "version": 3,
    "parent": 2,
    "sha256": "ab" * 32,
    "made_of": [{"num_examples": 7}, {"num_examples": 5}],
    "metrics": {"loss": 2.0, "perplexity": 7.389, "eval_perplexity": 8.5},
}


def task(base: BasePin | None, **changes: Any) -> Task:
    raw = {"name": "speeches", "model": {"id": "hf:acme/tiny"}, "data": {"id": "shakespeare"}} | changes
    state = TaskState.FINISHED
    return Task("task-1", parse_spec(raw), (32,), 3, state, 3, 3, "", 0.0, 1.0, base=base)


PIN = BasePin("c0ffee", "12" * 32, "34" * 32)


def front_of(card: str) -> dict[str, Any]:
    return dict(yaml.safe_load(card.split("---\n")[1]))


def test_the_card_of_adapters_names_their_base_and_loads_it_as_it_was_pinned() -> None:
    card = model_card(task(PIN), LINEAGE)
    assert front_of(card) == {
        "library_name": "peft",
        "base_model": "acme/tiny",
        "pipeline_tag": "text-generation",
        "tags": ["federated-learning", "potluck", "lora", "lora_exact"],
    }
    assert 'AutoModelForCausalLM.from_pretrained("acme/tiny", revision="c0ffee")' in card
    assert 'PeftModel.from_pretrained(base, "this folder")' in card
    assert "7.389" in card
    assert "2 updates, 12 examples" in card


def test_the_card_of_a_classifier_says_how_many_classes_its_head_has() -> None:
    model = {"id": "hf:acme/tiny", "task": "sequence_classification"}
    card = model_card(task(PIN, model=model, data={"id": "own", "num_classes": 3, "text": {}}), LINEAGE)
    assert "num_labels=3" in card
    assert front_of(card)["pipeline_tag"] == "text-classification"


def test_the_card_of_a_merged_model_speaks_of_no_adapter_folder() -> None:
    card = model_card(task(PIN), LINEAGE, merged=True)
    assert front_of(card)["library_name"] == "transformers"
    assert "peft" not in card.lower()
    assert 'AutoModelForCausalLM.from_pretrained("this folder")' in card
    assert "SHA-256 of the adapters" in card


@pytest.mark.parametrize("merged", [False, True])
def test_the_card_of_a_whole_model_is_as_it_ever_was(merged: bool) -> None:
    card = model_card(task(None, model={"id": "mlp"}, data={"id": "digits"}), LINEAGE, merged=merged)
    assert front_of(card) == {"library_name": "pytorch", "tags": ["federated-learning", "potluck", "fedavg"]}
    assert "safetensors.torch.load_file" in card
