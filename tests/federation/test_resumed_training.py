"""An interruption, wherever it falls, leaves no trace in the bits."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from federation.examples import Examples
from federation.spec import TrainingSpec
from federation.training import Checkpoint, Progress, Stopped, Training, run

SPECS: dict[str, dict[str, Any]] = {
    "plain": {"epochs": 3, "batch_size": 8, "learning_rate": 0.1},
    "momentum": {"epochs": 3, "batch_size": 8, "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01},
    "adam": {"epochs": 3, "batch_size": 8, "learning_rate": 0.01, "optimizer": "adam"},
    "max_steps": {"epochs": 9, "batch_size": 8, "learning_rate": 0.1, "momentum": 0.9, "max_steps": 13},
    "one_batch": {"epochs": 4, "batch_size": 64, "learning_rate": 0.1, "momentum": 0.5},
}


def examples() -> Examples:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(37) % 2
    return Examples(torch.randn(37, 5, generator=generator) + y[:, None], y)


def fresh(options: dict[str, Any], *, model_seed: int = 1, seed: int = 3) -> tuple[nn.Module, Training]:
    torch.manual_seed(model_seed)
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 2))
    return model, Training(model, examples(), TrainingSpec(**options), seed=seed)


def kept(training: Training) -> Checkpoint:
    return copy.deepcopy(training.checkpoint())


def bits(model: nn.Module) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in model.state_dict().values()]


@pytest.mark.parametrize("options", SPECS.values(), ids=SPECS.keys())
def test_training_resumed_after_any_step_makes_the_same_bits(options: dict[str, Any]) -> None:
    checkpoints: list[Checkpoint] = []
    model, training = fresh(options)
    expected = run(training, after_step=lambda training: checkpoints.append(kept(training)))
    assert len(checkpoints) == expected.num_steps > 3
    for checkpoint in checkpoints:
        other, resumed = fresh(options, model_seed=2)  # the weights come from the checkpoint, all of them
        resumed.restore(checkpoint)
        steps: list[Progress] = []
        result = run(resumed, on_progress=steps.append)
        assert bits(other) == bits(model)
        assert len(steps) == expected.num_steps - checkpoint.position.step
        assert (result.loss, result.accuracy) == (expected.loss, expected.accuracy)
        assert (result.num_examples, result.num_steps) == (expected.num_examples, expected.num_steps)
        assert result.seconds >= checkpoint.position.seconds


def test_a_training_interrupted_after_every_single_step_makes_the_same_bits() -> None:
    options = SPECS["momentum"]
    model, training = fresh(options)
    run(training)
    other, broken = fresh(options)
    while not broken.done:
        broken.step()
        checkpoint = kept(broken)
        other, broken = fresh(options, model_seed=2)
        broken.restore(checkpoint)
    assert bits(other) == bits(model)


def test_going_on_from_a_checkpoint_leaves_the_checkpoint_as_it_was() -> None:
    options = SPECS["momentum"]
    _, training = fresh(options)
    training.step()
    checkpoint = kept(training)
    before = copy.deepcopy(checkpoint)
    _, resumed = fresh(options)
    resumed.restore(checkpoint)
    resumed.step()
    assert checkpoint.position == before.position
    assert torch.equal(checkpoint.tensors["shuffle"], before.tensors["shuffle"])
    assert torch.equal(checkpoint.tensors["model/0.weight"], before.tensors["model/0.weight"])


@pytest.mark.parametrize(
    "damage",
    [
        lambda tensors: tensors.pop("model/0.weight"),
        lambda tensors: tensors.pop("shuffle"),
        lambda tensors: tensors.update({"model/0.weight": torch.zeros(5, 7)}),
        lambda tensors: tensors.update({"model/0.weight": torch.zeros(7, 5, dtype=torch.float64)}),
        lambda tensors: tensors.update({"optimizer/9/momentum_buffer": torch.zeros(7, 5)}),
        lambda tensors: tensors.update({"optimizer/0/momentum_buffer": torch.zeros(5, 7)}),
        lambda tensors: tensors.update({"model/9.weight": torch.zeros(7, 5)}),
    ],
)
def test_a_checkpoint_of_something_else_is_refused_and_changes_nothing(damage: Any) -> None:
    options = SPECS["momentum"]
    _, training = fresh(options)
    training.step()
    checkpoint = kept(training)
    damage(checkpoint.tensors)
    model, resumed = fresh(options)
    before = bits(model)
    with pytest.raises(ValueError, match=r"other tensors|belongs to no parameter|invalid literal"):
        resumed.restore(checkpoint)
    assert bits(model) == before
    assert resumed.at.step == 0
    undisturbed, training = fresh(options)
    run(training)
    run(resumed)
    assert bits(model) == bits(undisturbed)


def test_a_checkpoint_of_a_longer_training_is_refused() -> None:
    _, training = fresh(SPECS["momentum"])
    for _ in range(14):
        training.step()
    _, shorter = fresh(SPECS["max_steps"])
    with pytest.raises(ValueError, match="another length"):
        shorter.restore(kept(training))


def test_a_stopped_training_can_be_kept_and_gone_on_with() -> None:
    options = SPECS["adam"]
    model, training = fresh(options)
    with pytest.raises(Stopped):
        run(training, should_stop=lambda: training.at.step == 4)
    other, resumed = fresh(options, model_seed=2)
    resumed.restore(kept(training))
    run(resumed)
    run(training)
    assert bits(other) == bits(model)


def corrected(scale: float) -> tuple[nn.Module, Training]:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 2))
    correction = {name: torch.full_like(tensor, scale) for name, tensor in model.state_dict().items()}
    spec = TrainingSpec(epochs=2, batch_size=8, learning_rate=0.1)
    return model, Training(model, examples(), spec, seed=3, correction=correction)


def test_a_checkpoint_carries_the_correction_and_goes_on_under_no_other() -> None:
    checkpoints: list[Checkpoint] = []
    model, training = corrected(0.25)
    run(training, after_step=lambda training: checkpoints.append(kept(training)))
    for checkpoint in checkpoints:
        again, resumed = corrected(0.25)
        resumed.restore(checkpoint)
        run(resumed)
        assert bits(again) == bits(model)
        for other in (corrected(0.5), fresh({"epochs": 2, "batch_size": 8, "learning_rate": 0.1})):
            before = bits(other[0])
            with pytest.raises(ValueError, match=r"other control variates|belongs to no parameter|invalid literal"):
                other[1].restore(checkpoint)
            assert bits(other[0]) == before
    _, training = corrected(0.25)
    with pytest.raises(ValueError, match="other control variates"):
        training.restore(one_without_correction())


def one_without_correction() -> Checkpoint:
    _, training = fresh({"epochs": 2, "batch_size": 8, "learning_rate": 0.1})
    training.step()
    return kept(training)
