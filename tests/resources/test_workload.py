from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from federation.errors import ErrorCode, Refused
from federation.spec import TaskSpec, parse_spec
from federation.training import train, trained_parameters
from resources.datasets import catalogue, named
from resources.datasets.resident import TestSets
from resources.models import catalogue as models
from resources.workload import Workload


def spec(**sections: Any) -> TaskSpec:
    return parse_spec({"name": "t", "model": {"id": "mlp"}, "data": {"id": "digits"}} | sections)


OWN = {"id": "own", "input_shape": [1, 2, 3], "num_classes": 3}


@pytest.fixture
def workload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workload:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return Workload(tmp_path)


def test_the_schema_is_the_data_sets_or_that_of_own_data(workload: Workload) -> None:
    assert workload.schema_for(spec()) == ((1, 8, 8), 10)
    assert workload.schema_for(spec(data=OWN)) == ((1, 2, 3), 3)


def test_initial_weights_depend_on_the_tasks_seed(workload: Workload) -> None:
    first, again = workload.initial_weights(spec(seed=1)), workload.initial_weights(spec(seed=1))
    other = workload.initial_weights(spec(seed=2))
    assert list(first) == ["hidden.weight", "hidden.bias", "output.weight", "output.bias"]
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["hidden.weight"], other["hidden.weight"])
    assert not any(tensor.requires_grad for tensor in first.values())


@pytest.mark.parametrize("model", ["mlp", "mnist_cnn", "logistic"])
def test_the_tensors_that_are_trained_are_those_of_the_model_that_nodes_build(workload: Workload, model: str) -> None:
    task = spec(model={"id": model}, data={"id": "mnist"})
    before = torch.get_rng_state()
    names = workload.trained(task)
    assert torch.equal(torch.get_rng_state(), before)
    assert (
        names == {name for name, _ in trained_parameters(workload.build(task))} <= set(workload.initial_weights(task))
    )


def test_buffers_and_frozen_weights_are_not_among_the_tensors_that_are_trained(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(shape: Any, classes: int, options: Any) -> nn.Module:
        model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, classes))
        model[0].requires_grad_(False)
        return model

    monkeypatch.setitem(models._FAMILIES, "mlp", replace(models._FAMILIES["mlp"], build=build))
    assert workload.trained(spec()) == {"1.weight", "1.bias", "2.weight", "2.bias"}


def test_a_trained_model_scores_better_than_its_initial_weights(workload: Workload) -> None:
    task = spec(training={"epochs": 5, "learning_rate": 0.1, "momentum": 0.9})
    model = workload.build(task)
    train(model, catalogue.load("digits", "train"), task.training, seed=0)
    before, after = (workload.evaluate(task, w) for w in (workload.initial_weights(task), model.state_dict()))
    assert before is not None
    assert after is not None
    assert before.num_examples == after.num_examples == 360
    assert before.accuracy < 0.3
    assert after.accuracy > 0.93


def test_own_data_cannot_be_scored_by_the_server(workload: Workload) -> None:
    task = spec(data=OWN)
    assert workload.evaluate(task, workload.initial_weights(task)) is None


def test_predictions_are_the_likeliest_classes(workload: Workload) -> None:
    task = spec()
    examples = catalogue.load("digits", "test")
    weights = workload.initial_weights(task)
    labels, probabilities = workload.predict(task, weights, examples.x[:4].tolist())
    assert labels == np.argmax(probabilities, axis=1).tolist()
    assert np.sum(probabilities, axis=1) == pytest.approx(np.ones(4))
    flat, _ = workload.predict(task, weights, examples.x[:4].flatten(1).tolist())
    assert flat == labels


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        ([], "inputs is empty"),
        ([[0.0] * 64, [0.0] * 63], "inputs[1] has shape [63]"),
        ([[[0.0] * 64]], "inputs[0] has shape [1, 64]"),
        ([0.5], "inputs[0] has shape []"),
        ([["x"] * 64], "inputs[0] is not an array of numbers"),
        ([None], "inputs[0] is not an array of numbers"),
        ([[[0.0], [0.0, 1.0]]], "inputs[0] is not an array of numbers"),
        ([[float("nan")] * 64], "inputs[0] holds NaN"),
        ([[1e39] * 64], "inputs[0] holds NaN or infinity"),
        ([[10**400] * 64], "inputs[0] is not an array of numbers"),
    ],
)
def test_inputs_of_the_wrong_kind_are_refused(workload: Workload, inputs: list[Any], problem: str) -> None:
    with pytest.raises(Refused) as caught:
        workload.predict(spec(), workload.initial_weights(spec()), inputs)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert caught.value.problem.startswith(problem)


def test_a_sound_spec_has_no_problems(workload: Workload) -> None:
    assert workload.check(spec(data={"id": "digits", "partition": {"kind": "dirichlet"}})) == []
    assert workload.check(spec(data=OWN)) == []


@pytest.mark.parametrize(
    ("sections", "field", "mend"),
    [
        ({"data": {"id": "imagenet"}}, "data.id", "digits"),
        ({"model": {"id": "resnet"}}, "model.id", "mnist_cnn"),
        ({"model": {"id": "mlp", "options": {"depth": 2}}}, "model.options.depth", "hidden"),
        ({"model": {"id": "mnist_cnn"}, "data": OWN}, "model.id", "mlp"),
        ({"data": {"id": "digits", "partition": {"parts": 200}}}, "data.partition", "143 or less"),
        ({"data": {"id": "digits", "partition": {"kind": "natural"}}}, "data.partition", "iid"),
        ({"data": {"id": "mnist"}}, "data.id", "evaluation.server"),
        ({"training": {"optimizer": "adam", "momentum": 0.9}}, "training.momentum", "sgd"),
    ],
)
def test_each_problem_names_its_field_and_the_mend(
    workload: Workload, sections: dict[str, Any], field: str, mend: str
) -> None:
    (problem,) = workload.check(spec(**sections))
    assert problem.field == field
    assert mend in problem.mend


def test_every_problem_is_told_at_once(workload: Workload) -> None:
    problems = workload.check(
        spec(
            model={"id": "resnet"}, data={"id": "digits", "partition": {"parts": 1000}}, training={"optimizer": "adam"}
        )
    )
    assert [problem.field for problem in problems] == ["model.id", "data.partition"]


def test_data_that_only_the_nodes_hold_will_do_where_only_they_score(workload: Workload) -> None:
    assert workload.check(spec(data={"id": "mnist"}, evaluation={"server": False})) == []


def test_a_budget_is_computed_from_the_spec(workload: Workload) -> None:
    budget = workload.estimate(spec(training={"epochs": 2, "batch_size": 16, "momentum": 0.9}))
    examples = round(1437 / 4 * 0.9)
    assert budget.parameters == 4810
    assert budget.model_bytes == 19_240
    assert budget.bytes_per_round_per_node == 38_480
    assert budget.flops_per_round_per_node == 3 * 2 * (64 * 64 + 64 * 10) * 2 * examples
    assert budget.memory_bytes == 5 * 19_240 + 3 * 4 * (64 + 64 + 10) * 16 + 4 * 64 * examples


def test_control_variates_double_the_bytes_each_way_and_take_four_more_models_of_memory(workload: Workload) -> None:
    plain = workload.estimate(spec())
    budget = workload.estimate(spec(aggregation={"rule": "scaffold"}))
    assert budget.bytes_per_round_per_node == 4 * 19_240
    assert budget.memory_bytes == plain.memory_bytes + 4 * 19_240


def test_a_limit_on_steps_limits_the_budget(workload: Workload) -> None:
    budget = workload.estimate(spec(training={"epochs": 100, "batch_size": 16, "max_steps": 3}))
    assert budget.flops_per_round_per_node == 3 * 2 * (64 * 64 + 64 * 10) * 3 * 16


def test_the_work_of_own_data_is_unknown(workload: Workload) -> None:
    assert workload.estimate(spec(data=OWN)).flops_per_round_per_node is None


def test_test_sets_are_loaded_once_by_many_threads_and_the_oldest_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    def load(spec: TaskSpec, split: str, *, folder: Path | None) -> Any:
        loaded.append(spec.name)
        return object()

    monkeypatch.setattr(named, "load", load)
    of = {name: spec(name=name, data={"id": id}) for name, id in (("a", "digits"), ("b", "mnist"), ("c", "cifar10"))}
    sets = TestSets(size=2)
    threads = [threading.Thread(target=sets.get, args=(of["a"],)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for id in ("b", "a", "c", "a", "b"):
        sets.get(of[id])
    assert loaded == ["a", "b", "c", "b"]


def test_a_static_check_downloads_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_network(*_: object) -> Path:
        raise AssertionError("a static check went to the Hub")

    monkeypatch.setattr("resources.datasets.parquet._from_hub", no_network)
    monkeypatch.setattr("resources.datasets.parquet.HubImages.present", lambda *_: False)
    spec = parse_spec({"name": "c", "model": {"id": "cifar10_cnn"}, "data": {"id": "cifar10"}})
    assert Workload(tmp_path).check(spec, fetch=False) == []


@pytest.mark.parametrize(
    ("model", "data", "field"),
    [
        ({"id": "resnet"}, {"id": "digits"}, "model.id"),
        ({"id": "mlp", "options": {"hidden": 0}}, {"id": "digits"}, "model.options.hidden"),
        ({"id": "mlp"}, {"id": "letters"}, "data.id"),
    ],
)
def test_a_problem_does_not_name_its_field_once_more(model: dict[str, Any], data: dict[str, Any], field: str) -> None:
    (problem,) = Workload().check(parse_spec({"name": "t", "model": model, "data": data}))
    assert problem.field == field
    assert field not in problem.problem
