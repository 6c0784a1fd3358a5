"""The training of a generated client is the task's own, to rounding: from it people begin to change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edge_client.data import Share
from edge_client.models import Models
from edge_client.work import Update, make_update, update_by
from federation.examples import Examples
from federation.spec import TaskSpec, parse_spec
from federation.weights import load_bytes, to_bytes
from orchestrator.clients.template import Subject, client_of, training_of
from resources.models.catalogue import create_model
from resources.models.language.bases import pin
from resources.models.language.skeleton import initial_adapter

FIXTURES = Path(__file__).parents[1] / "fixtures"


def trained_both_ways(spec: TaskSpec, about: dict[str, Any], model: Path, share: Share) -> list[Update]:
    """By the node and by the client that is written for the task."""
    assignment = {"task_id": "task-abcdefghijklmnop", "round": 1, "model": {"version": 0, "sha256": "0" * 64}} | about
    subject = Subject("task-abcdefghijklmnop", spec, tuple(about["input_shape"]), about["num_classes"])
    names: dict[str, Any] = {"__name__": "client"}
    exec(client_of(subject, "pytorch", training_of("pytorch")), names)
    how: dict[str, Any] = {"seed": 5, "threads": 1, "models": Models(FIXTURES)}
    how |= {"on_progress": lambda progress: None, "should_stop": lambda: False}
    built_in = make_update(spec, assignment, model, share, **how)
    return [built_in, update_by(names["train"], spec, assignment, model, share, **how)]


def assert_alike(updates: list[Update]) -> None:
    own, generated = updates
    assert (generated.num_examples, generated.num_steps) == (own.num_examples, own.num_steps)
    found = load_bytes(generated.payload)
    moved = 0.0
    for name, tensor in load_bytes(own.payload).items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-5)
        moved = max(moved, float(tensor.abs().max()))
    assert moved > 1e-3
    for metric in ("train_loss", "train_accuracy", "eval_loss"):
        if metric in own.metrics:
            assert generated.metrics[metric] == pytest.approx(own.metrics[metric], rel=1e-3)


@pytest.mark.parametrize(
    ("training", "aggregation"),
    [
        ({"epochs": 2, "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01}, {}),
        ({"epochs": 3, "optimizer": "adam", "learning_rate": 0.01}, {}),
        ({"epochs": 2, "learning_rate": 0.1}, {"rule": "fedprox", "options": {"mu": 0.5}}),
        ({"epochs": 3, "max_steps": 3, "learning_rate": 0.1}, {}),
    ],
    ids=["momentum", "adam", "fedprox", "few steps"],
)
def test_of_a_classifier(training: dict[str, Any], aggregation: dict[str, Any], tmp_path: Path) -> None:
    asked = {"batch_size": 8} | training
    raw = {"name": "t", "model": {"id": "mlp"}, "data": {"id": "digits"}, "training": asked, "aggregation": aggregation}
    model = tmp_path / "model"
    model.write_bytes(to_bytes(create_model("mlp", input_shape=(1, 8, 8), num_classes=10, seed=3).state_dict()))
    generator = torch.Generator().manual_seed(1)
    examples = Examples(torch.rand(30, 1, 8, 8, generator=generator), torch.randint(10, (30,), generator=generator))
    share = Share(examples, examples.first(5))
    assert_alike(trained_both_ways(parse_spec(raw), {"input_shape": [1, 8, 8], "num_classes": 10}, model, share))


def test_of_a_model_that_writes(tmp_path: Path) -> None:
    model, file = {"id": "hf:tiny_llama", "lora": {"r": 4}}, tmp_path / "model"
    training = {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 4}
    spec = parse_spec({"name": "t", "model": model, "data": {"id": "shakespeare"}, "training": training})
    file.write_bytes(to_bytes(initial_adapter(spec.model, FIXTURES / "tiny_llama", seed=0)))
    tokens = torch.randint(3, 1024, (12, 16), generator=torch.Generator().manual_seed(1))
    labels = tokens.clone()
    labels[::2, 10:] = -100
    share = Share(Examples(tokens, labels), Examples(tokens[:2], labels[:2]))
    about = {"base": pin(spec.model, FIXTURES).as_dict(), "input_shape": [16], "num_classes": 1024}
    assert_alike(trained_both_ways(spec, about, file, share))
