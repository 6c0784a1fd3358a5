"""What the server knows of a task with a pretrained model: what is wrong with it, its cost, its scores, its texts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from families import TINY_LLAMA, make

from federation.coordinator.ports import Bounds
from federation.spec import TaskSpec, parse_spec
from resources.models.language.loaded import forget
from resources.workload import Workload

FIXTURES = TINY_LLAMA.parent


@pytest.fixture(autouse=True)
def no_weights_of_other_tests() -> Iterator[None]:
    forget()
    yield
    forget()


def spec(**changes: Any) -> TaskSpec:
    raw: dict[str, Any] = {
        "name": "speeches",
        "model": {"id": "hf:tiny_llama", "lora": {"r": 4}},
        "data": {"id": "shakespeare", "partition": {"parts": 2}, "text": {"max_length": 32}},
        "training": {"optimizer": "adam", "batch_size": 4},
        "evaluation": {"examples": 4},
    }
    return parse_spec(raw | changes)


@pytest.fixture(scope="module")
def workload() -> Workload:
    return Workload(FIXTURES, models=FIXTURES)


def test_a_sound_task_has_no_problems(workload: Workload) -> None:
    assert workload.check(spec()) == []


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"model": {"id": "hf:nobody/nothing/here"}}, "model.id", "there is no folder"),
        (
            {"model": {"id": "hf:tiny_llama", "lora": {"target_modules": ["query"]}}},
            "model.lora.target_modules",
            "no linear layer query",
        ),
        ({"model": {"id": "hf:tiny_llama", "lora": {"r": 256}}}, "model.lora.r", "rank 256"),
        (
            {"data": {"id": "shakespeare", "text": {"max_length": 4096}}},
            "data.text.max_length",
            "more than the 256 that the model takes",
        ),
        ({"data": {"id": "digits"}}, "data.id", "digits"),
        ({"data": {"id": "shakespeare", "partition": {"kind": "dirichlet"}}}, "data", "classes"),
        (
            {"training": {"optimizer": "adam", "momentum": 0.5}},
            "training.momentum",
            "momentum belongs to sgd",
        ),
    ],
)
def test_a_problem_is_named_by_its_field(workload: Workload, changes: dict[str, Any], field: str, says: str) -> None:
    problems = workload.check(spec(**changes))
    assert [problem.field for problem in problems] == [field]
    assert says in problems[0].problem
    assert problems[0].mend


def test_a_chat_template_that_the_tokenizer_does_not_have_is_a_problem(tmp_path: Path) -> None:
    make(tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").unlink()
    task = spec(model={"id": "hf:base"}, data={"id": "shakespeare", "text": {"max_length": 32, "template": "chat"}})
    (problem,) = Workload(FIXTURES, models=tmp_path).check(task)
    assert problem.field == "data.text"
    assert "chat template" in problem.problem


def test_the_server_needs_no_weights_unless_it_scores(tmp_path: Path) -> None:
    """Pinned by their hashes, the weights are read when the task is created, and never again in its rounds."""
    workload = Workload(FIXTURES, models=tmp_path)
    make(tmp_path / "base")
    task = spec(model={"id": "hf:base", "lora": {"r": 4}}, evaluation={"server": False})
    pin = workload.pin(task)
    assert pin is not None
    (tmp_path / "base" / "model.safetensors").unlink()
    weights = workload.initial_weights(task, pin)
    assert {tensor.shape[0] for name, tensor in weights.items() if "lora_A" in name} == {4}
    assert workload.schema_for(task, pin) == ((32,), 1024)
    assert workload.estimate(task).base_bytes > 0


def test_another_base_than_the_pinned_one_scores_and_writes_nothing(tmp_path: Path) -> None:
    workload = Workload(FIXTURES, models=tmp_path)
    make(tmp_path / "base")
    task = spec(model={"id": "hf:base", "lora": {"r": 4}})
    pin = workload.pin(task)
    assert pin is not None
    weights = workload.initial_weights(task, pin)
    shutil.rmtree(tmp_path / "base")
    make(tmp_path / "base", seed=1)
    with pytest.raises(Exception, match=r"weights of base .* where the task wants"):
        workload.evaluate(task, weights, pin)
    with pytest.raises(Exception, match=r"weights of base .* where the task wants"):
        workload.write(task, weights, ["To be"], pin, Bounds(4, 10))


def test_the_score_is_the_same_each_time_and_changes_with_the_adapters(workload: Workload) -> None:
    pin = workload.pin(spec())
    assert pin is not None
    weights = workload.initial_weights(spec(), pin)
    first, again = (workload.evaluate(spec(), weights, pin) for _ in range(2))
    assert first is not None
    assert first == again
    assert first.num_examples == 4
    assert first.accuracy is None
    assert 1 < first.loss < 7
    bent = {name: tensor + 0.05 * torch.ones_like(tensor) for name, tensor in weights.items()}
    changed = workload.evaluate(spec(), bent, pin)
    assert changed is not None
    assert changed.loss != first.loss


def test_texts_are_classified_with_probabilities(workload: Workload) -> None:
    task = spec(
        model={"id": "hf:tiny_llama", "task": "sequence_classification", "lora": {"r": 4}},
        data={"id": "own", "num_classes": 3, "text": {"max_length": 32}},
    )
    pin = workload.pin(task)
    assert pin is not None
    assert workload.schema_for(task, pin) == ((32,), 3)
    weights = workload.initial_weights(task, pin)
    labels, probabilities = workload.predict(task, weights, ["To be or not", "A horse!"], pin)
    assert [len(row) for row in probabilities] == [3, 3]
    assert [sum(row) for row in probabilities] == pytest.approx([1, 1], abs=1e-5)
    assert labels == [row.index(max(row)) for row in probabilities]
    alone, _ = workload.predict(task, weights, ["To be or not"], pin)
    assert alone == labels[:1]
    with pytest.raises(Exception, match=r"inputs\[1\] is no text"):
        workload.predict(task, weights, ["To be", [0.5]], pin)


def test_a_model_to_measure_takes_a_step_without_the_bases_weights(tmp_path: Path) -> None:
    make(tmp_path / "base")
    (tmp_path / "base" / "model.safetensors").write_bytes(b"not looked at")
    model = Workload(FIXTURES, models=tmp_path).build(spec(model={"id": "hf:base", "lora": {"r": 4}}))
    logits = model(torch.randint(3, 1024, (2, 8), generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (2, 8, 1024)
    logits.sum().backward()
    assert all(parameter.grad is not None for _, parameter in model.named_parameters())
