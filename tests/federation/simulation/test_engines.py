"""Engines: the loop is what a node does; the others agree with it."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from typing import Any

import pytest
import torch
from small_world import (
    RAGGED,
    Images,
    WithBuffers,
    blobs,
    factory,
    gaps,
    mlp,
    population,
    ragged_clients,
    task,
    trained,
    weights_of,
    work_of,
)

from federation.errors import ErrorCode, Refused
from federation.examples import Examples
from federation.simulation.clients import Client, Work
from federation.simulation.engine import ModelFactory, suited_to
from federation.simulation.loop import LoopEngine
from federation.simulation.processes import ProcessesEngine
from federation.simulation.run import simulate
from federation.simulation.vectorized import VectorizedEngine
from federation.spec import TrainingSpec
from federation.training import train
from federation.weights import subtract

WAYS: dict[str, dict[str, Any]] = {
    "one step": {"max_steps": 1, "batch_size": 8, "learning_rate": 0.1},
    "sgd": {"epochs": 3, "batch_size": 8, "learning_rate": 0.1},
    "momentum and decay": {"epochs": 2, "batch_size": 5, "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.01},
    "adam": {"optimizer": "adam", "epochs": 2, "batch_size": 8, "learning_rate": 0.002, "weight_decay": 0.01},
    "few steps": {"epochs": 3, "batch_size": 4, "max_steps": 5, "learning_rate": 0.1},
    "whole shares": {"epochs": 2, "batch_size": 64, "learning_rate": 0.1},
}


@pytest.mark.parametrize("proximal", [0.0, 0.5])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("build", [mlp, Images])
def test_all_clients_at_once_learn_what_each_would_alone(build: ModelFactory, way: str, proximal: float) -> None:
    clients, pool = ragged_clients()
    spec, weights = TrainingSpec.model_validate(WAYS[way]), weights_of(build)
    alone = trained(LoopEngine(factory(build), pool, spec, proximal=proximal), weights, work_of(clients))
    together = trained(VectorizedEngine(factory(build), pool, spec, proximal=proximal), weights, work_of(clients))
    # Adam's first steps are the gradient's sign: where it is about zero, rounding decides.
    assert max(gaps(together.deltas, alone.deltas)) <= (1e-4 if way == "adam" else 1e-5)
    assert together.num_examples == alone.num_examples
    assert together.num_steps == alone.num_steps
    assert together.loss == pytest.approx(alone.loss, rel=1e-4)
    assert together.accuracy == pytest.approx(alone.accuracy, abs=1e-6)


def test_the_loop_is_a_nodes_training_to_the_bit() -> None:
    clients, pool = ragged_clients()
    spec, weights = TrainingSpec(epochs=2, batch_size=8, learning_rate=0.1, momentum=0.5), weights_of()
    found = trained(LoopEngine(factory(), pool, spec, proximal=0.3), weights, work_of(clients))
    for place, client in enumerate(clients):
        model = factory()()
        result = train(model, client.examples(pool), spec, seed=1000 + place, proximal=0.3)
        delta = subtract(model.state_dict(), weights)
        assert torch.equal(found.deltas[place], torch.cat([tensor.reshape(-1) for tensor in delta.values()]))
        assert (found.num_examples[place], found.num_steps[place]) == (result.num_examples, result.num_steps)
        assert (found.loss[place], found.accuracy[place]) == (result.loss, result.accuracy)


@pytest.mark.parametrize("engine", [LoopEngine, VectorizedEngine])
def test_a_proximal_term_changes_what_is_learnt(engine: Any) -> None:
    clients, pool = ragged_clients()
    spec, weights = TrainingSpec(epochs=3, batch_size=8, learning_rate=0.1), weights_of()
    free = trained(engine(factory(), pool, spec), weights, work_of(clients)).deltas
    held = trained(engine(factory(), pool, spec, proximal=2.0), weights, work_of(clients)).deltas
    assert bool((held.norm(dim=1) < free.norm(dim=1))[torch.tensor(RAGGED) > 8].all())


@pytest.mark.parametrize("engine", [LoopEngine, VectorizedEngine])
def test_a_client_that_lies_about_labels_learns_the_lie(engine: Any) -> None:
    clients, pool = ragged_clients()
    lies = [replace(clients[2], labels=3 - pool.y[clients[2].indices]), *clients[3:]]
    lied = Examples(pool.x, pool.y.clone())
    lied.y[clients[2].indices] = 3 - pool.y[clients[2].indices]
    spec, weights = TrainingSpec(epochs=2, batch_size=8, learning_rate=0.1), weights_of()
    stated = trained(engine(factory(), pool, spec), weights, work_of(lies))
    held = trained(engine(factory(), lied, spec), weights, work_of(clients[2:]))
    honest = trained(engine(factory(), pool, spec), weights, work_of(clients[2:]))
    assert torch.equal(stated.deltas, held.deltas)
    assert not torch.equal(stated.deltas[0], honest.deltas[0])
    assert torch.equal(stated.deltas[1:], honest.deltas[1:])


@pytest.mark.parametrize("engine", [LoopEngine, VectorizedEngine])
def test_the_same_seeds_give_the_same_bits_and_others_do_not(engine: Any) -> None:
    clients, pool = ragged_clients()
    spec, weights = TrainingSpec(epochs=2, batch_size=8), weights_of()
    once, again = (trained(engine(factory(), pool, spec), weights, work_of(clients)).deltas for _ in range(2))
    other = trained(engine(factory(), pool, spec), weights, [Work(client, 7) for client in clients]).deltas
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_a_client_learns_the_same_whoever_trains_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clients, pool = ragged_clients()
    spec, weights, work = TrainingSpec(epochs=2, batch_size=8), weights_of(), work_of(clients)
    together = trained(VectorizedEngine(factory(), pool, spec), weights, work).deltas
    plan = 8 * (2 * 4) * 8  # of the client with 32 examples: steps of 8, as int64
    monkeypatch.setattr("federation.simulation.vectorized._BUDGET", 3 * (4 * together.shape[1] + plan))
    engine = VectorizedEngine(factory(), pool, spec)
    assert [len(part) for part in engine.train(weights, work)] == [3, 3, 2]
    assert max(gaps(trained(engine, weights, work).deltas, together)) <= 1e-5


@pytest.mark.e2e
def test_processes_learn_the_loops_very_bits() -> None:
    clients, pool = ragged_clients()
    spec, weights, work = TrainingSpec(epochs=2, batch_size=8), weights_of(Images), work_of(clients * 2)
    alone = trained(LoopEngine(factory(Images), pool, spec, proximal=0.1), weights, work)
    with ProcessesEngine(factory(Images), pool, spec, proximal=0.1, workers=1) as engine:
        spread = trained(engine, weights, work)
        with pytest.raises(Refused, match="client-0") as caught:
            trained(engine, weights, [Work(Client("client-0", torch.empty(0, dtype=torch.int64)), 1)])
        again = trained(engine, weights, work[:2])
    assert caught.value.code is ErrorCode.BAD_DATA
    assert torch.equal(spread.deltas, alone.deltas)
    assert torch.equal(again.deltas, alone.deltas[:2])
    assert (spread.loss, spread.num_steps) == (alone.loss, alone.num_steps)


def _end_the_process() -> torch.nn.Module:
    if multiprocessing.parent_process() is not None:
        os._exit(3)
    return mlp()


@pytest.mark.e2e
def test_a_process_that_ends_too_early_is_a_refusal() -> None:
    clients, pool = ragged_clients((4, 4))
    with ProcessesEngine(_end_the_process, pool, TrainingSpec(), workers=1) as engine:
        with pytest.raises(Refused, match="a process of the simulation ended") as caught:
            trained(engine, weights_of(), work_of(clients))
    assert caught.value.code is ErrorCode.INTERNAL


@pytest.mark.parametrize("engine", [LoopEngine, VectorizedEngine])
def test_a_client_without_examples_is_refused_by_name(engine: Any) -> None:
    clients, pool = ragged_clients()
    nobody = Client("client-9", torch.empty(0, dtype=torch.int64))
    with pytest.raises(Refused, match="client-9") as caught:
        trained(engine(factory(), pool, TrainingSpec()), weights_of(), work_of([*clients, nobody]))
    assert caught.value.code is ErrorCode.BAD_DATA


@pytest.mark.parametrize("engine", [LoopEngine, VectorizedEngine])
def test_training_that_diverges_is_refused_with_the_client(engine: Any) -> None:
    clients, pool = ragged_clients((20, 20, 20))
    pool.x[clients[1].indices] *= 1e30
    with pytest.raises(Refused, match="client-1") as caught:
        trained(engine(factory(), pool, TrainingSpec(epochs=3, learning_rate=100)), weights_of(), work_of(clients))
    assert caught.value.code is ErrorCode.BAD_UPDATE


@pytest.mark.parametrize("engine", [LoopEngine, VectorizedEngine, ProcessesEngine])
def test_a_model_with_buffers_that_have_no_average_is_refused(engine: Any) -> None:
    with pytest.raises(Refused, match="num_batches_tracked") as caught:
        engine(factory(WithBuffers), blobs(8), TrainingSpec())
    assert caught.value.code is ErrorCode.INVALID_SPEC


def test_frozen_weights_are_not_for_all_at_once() -> None:
    def frozen() -> torch.nn.Module:
        model = mlp()
        next(model.parameters()).requires_grad_(False)
        return model

    with pytest.raises(Refused, match="frozen"):
        VectorizedEngine(frozen, blobs(8), TrainingSpec())
    assert suited_to(frozen()) == "loop"


def test_small_models_are_trained_all_at_once_and_large_ones_one_by_one() -> None:
    assert suited_to(mlp()) == "vectorized"
    assert suited_to(torch.nn.Linear(200, 100)) == "loop"
    assert suited_to(WithBuffers()) == "loop"


def test_a_convolutional_network_ends_within_a_point_whatever_the_engine() -> None:
    small = population(10, build=Images, each=30)
    spec = task(training={"learning_rate": 0.1, "batch_size": 10, "epochs": 3}, rounds=4)
    ends = {name: list(simulate(spec, small, engine=name))[-1] for name in ("loop", "vectorized")}  # type: ignore[arg-type]
    assert ends["loop"].accuracy is not None
    assert ends["vectorized"].accuracy is not None
    assert ends["loop"].accuracy > 0.9
    assert abs(ends["loop"].accuracy - ends["vectorized"].accuracy) <= 0.01
